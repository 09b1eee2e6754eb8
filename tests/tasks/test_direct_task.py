"""Networks that predict the map in one pass: training and prediction."""

import warnings
from pathlib import Path

import pytest
import torch
from commandline import quiet_trainer
from lightning.pytorch import Trainer
from torch import Tensor, nn

from lightning_avsp.backbones.tiny_audio import TinyWaveformEncoder
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.options import EvaluationOptions
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import LogMel
from lightning_avsp.media.waveform import Waveform
from lightning_avsp.structures import ClipPolicy, DirectNetwork, SaliencyBatch
from lightning_avsp.tasks import DirectSaliencyTask
from lightning_avsp.tasks.prediction import (
    encode,
    network_inputs,
    sample_maps,
    used_modalities,
)

SIZE = (32, 64)


class Mean(DirectNetwork):
    """Brightness of the last frame, scaled by the loudness of the sound."""

    clip_frames = 8
    audio_form = "waveform"

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 2, 3, padding=1)
        self.head = nn.Conv2d(2, 1, 1)

    def forward(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Tensor:
        assert video is not None
        loud = 0.0 if audio is None else audio.abs().mean(dim=(1, 2))[:, None, None, None] / 100
        return torch.sigmoid(self.head(self.encoder(video[:, :, -1])) + loud)


@pytest.fixture
def data(corpus: Path) -> AVSaliencyDataModule:
    return AVSaliencyDataModule(
        corpus,
        size=SIZE,
        clip=ClipPolicy(frames=8, target="last"),
        audio=Waveform(),
        batch_size=2,
        num_workers=0,
        test=EvaluationOptions(every=10),
    )


def trainer(folder: Path, steps: int = 2) -> Trainer:
    return quiet_trainer(folder, max_steps=steps, limit_test_batches=1)


def test_training_moves_the_weights_and_a_test_scores_every_metric(
    data: AVSaliencyDataModule, tmp_path: Path
) -> None:
    network = Mean()
    before = network.head.weight.detach().clone()
    task = DirectSaliencyTask(network)
    fitting = trainer(tmp_path)
    fitting.fit(task, datamodule=data)
    assert not torch.equal(network.head.weight, before)
    assert {"train/loss", "val/cc", "val/loss"} <= set(fitting.callback_metrics)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few frames of few videos: averages over them warn
        (found,) = trainer(tmp_path).test(task, datamodule=data, verbose=False)
    assert {"test/cc", "test/sim", "test/nss", "test/auc_judd"} <= set(found)


def test_data_with_another_form_of_sound_are_refused(corpus: Path, tmp_path: Path) -> None:
    data = AVSaliencyDataModule(
        corpus,
        size=SIZE,
        clip=ClipPolicy(frames=8, target="last"),
        audio=LogMel(size=(32, 64)),
        num_workers=0,
    )
    with pytest.raises(
        InputError, match=r"audio as log_mel but Mean reads waveform; set data.audio=Waveform"
    ):
        trainer(tmp_path).fit(DirectSaliencyTask(Mean()), datamodule=data)


def test_parts_of_a_network_have_learning_rates_of_their_own() -> None:
    network = Mean()
    network.lr_scales = {"encoder.": 0.1}
    task = DirectSaliencyTask(network, optimizer=lambda params: torch.optim.AdamW(params, lr=1e-2))
    optimizer = task.configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW)
    rates = {group["name"]: (group["lr"], len(group["params"])) for group in optimizer.param_groups}
    assert rates == {"rest": (1e-2, 2), "encoder.": (pytest.approx(1e-3), 2)}
    network.encoder = TinyWaveformEncoder()  # at random: nothing of it is to be kept by a small rate
    network.encoder.prepare(None, frozen=False)
    assert [group["lr"] for group in task.configure_optimizers().param_groups] == [1e-2]
    network.lr_scales = {"absent.": 0.1}
    with pytest.raises(InputError, match=r"'absent.', of which no parameter is trainable"):
        task.configure_optimizers()


def test_a_direct_network_returns_its_map_whatever_the_seed() -> None:
    network = Mean().eval()
    batch: SaliencyBatch = {
        "video": torch.randint(0, 256, (2, 8, *SIZE, 3), dtype=torch.uint8),
        "audio": torch.randn(2, 1, Waveform().samples(8)),
        "corpus": ["AVAD"] * 2,
        "video_id": ["a", "b"],
        "frame": torch.tensor([3, 4]),
    }
    inputs = network_inputs(network, batch)
    encoded = encode(network, inputs)
    for seed in (0, 1):
        maps = sample_maps(network, encoded, SIZE, [seed, seed], None, None)
        assert torch.equal(maps, network(*inputs))  # the same operations
    assert used_modalities(network, inputs, encoded) == "av"
    assert used_modalities(network, inputs._replace(audio=None), encoded) == "v"
    network.uses_audio = False
    assert used_modalities(network, inputs, encoded) == "v"
    samples = sample_maps(network, encoded, SIZE, [0, 0], None, None, average=False)
    assert samples.shape == (2, 1, 1, *SIZE)
