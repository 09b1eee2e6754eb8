"""Cached features of a frozen encoder: the same training without running the encoder twice, or a clear refusal."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import quiet_trainer
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from rounding import NETWORK
from torch import Tensor

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.registry import build_video_encoder
from lightning_avsp.data.augmentation import Augmentation
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.options import EvaluationOptions, TrainingOptions, ValidationOptions
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import LogMel
from lightning_avsp.papers.avrsp import AVRSP
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.papers.mubic import MUBiC
from lightning_avsp.papers.tavdiff import TAVDiff
from lightning_avsp.structures import ClipPolicy, SaliencyBatch, SaliencyNetwork
from lightning_avsp.tasks import DiffusionSaliencyTask, DirectSaliencyTask, SaliencyTask
from lightning_avsp.tasks.feature_cache import FeatureCache, TaskFeatures, cached_encoder

SIZE = (64, 128)
TINY: dict[str, Any] = {
    "video_encoder": "tiny",
    "audio_encoder": "tiny",
    "freeze_video": True,
    "video_weights": "random",
}


def network(**options: Any) -> DiffSal:
    torch.manual_seed(0)
    return DiffSal(**{**TINY, **options})


def data(corpus: Path, **options: Any) -> AVSaliencyDataModule:
    settings: dict[str, Any] = {
        "size": SIZE,
        "clip": ClipPolicy(crop="centre"),
        "audio": LogMel(size=(32, 64)),
        "batch_size": 2,
        "num_workers": 0,
        "validation": ValidationOptions(every=20),
        "test": EvaluationOptions(every=20),
    }
    return AVSaliencyDataModule(corpus, **{**settings, **options})


class Watch(Callback):
    """Losses of all steps and the encoder's passes in each epoch."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.clips: list[int] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.clips.append(0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"].clone())


def fit(corpus: Path, folder: Path, cache: FeatureCache | None, **options: Any) -> tuple[Watch, SaliencyTask]:
    task = DiffusionSaliencyTask(network(), metrics=("cc",), feature_cache=cache)
    watch = Watch()
    encoder = cached_encoder(task.network)
    encoder.register_forward_hook(
        lambda _, inputs, __: (
            watch.clips.__setitem__(-1, watch.clips[-1] + len(inputs[0])) if task.trainer.training else None
        )
    )
    trainer = quiet_trainer(folder, max_epochs=2, num_sanity_val_steps=0, callbacks=[watch], **options)
    trainer.fit(task, datamodule=data(corpus))
    return watch, task


def test_training_is_the_same_bit_for_bit_and_the_second_epoch_runs_no_encoder(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain, without = fit(corpus, tmp_path, None)
    with caplog.at_level(logging.INFO, logger="lightning_avsp"):
        cached, task = fit(corpus, tmp_path, FeatureCache(tmp_path / "features"))
        again, third = fit(corpus, tmp_path, FeatureCache(tmp_path / "features"))
    assert len(plain.losses) == len(cached.losses) > 2
    clips = plain.clips[0]
    assert plain.clips == [clips, clips]
    assert cached.clips == [clips, 0]
    assert again.clips == [0, 0]  # a second run finds them too
    for other in (cached, again):
        assert torch.equal(torch.stack(plain.losses), torch.stack(other.losses))
    for other in (task, third):
        pairs = zip(without.state_dict().items(), other.state_dict().values(), strict=True)
        assert all(torch.equal(one, two) for (_, one), two in pairs)
    assert (
        f"training, epoch 1: features of {clips} of {clips} clips came from {tmp_path / 'features'}, 0 were"
        in caplog.text
    )
    frames = len(data(corpus).videos("validation"))  # one of each is scored
    assert f"validation: features of {frames} of {frames} clips came" in caplog.text


def batch_of(clips: int, frames: int, sound: Tensor, text: Tensor | None = None) -> SaliencyBatch:
    batch: SaliencyBatch = {
        "video": torch.randint(0, 256, (clips, frames, *SIZE, 3), dtype=torch.uint8),
        "audio": sound,
        "saliency": torch.randint(0, 256, (clips, 1, *SIZE), dtype=torch.uint8),
        "corpus": ["A"] * clips,
        "video_id": [f"v{place}" for place in range(clips)],
        "frame": torch.arange(clips) + 1,
    }
    if text is not None:
        batch["text"] = text
    return batch


def mel(clips: int) -> Tensor:
    return torch.randn(clips, 1, 9, 32, 64)


def cases() -> dict[str, Any]:
    return {
        "diffsal": (lambda: DiffSal(**TINY), mel(3), None),
        "diffsal_released": (lambda: DiffSal(variant="released", **TINY), mel(3), None),
        "mubic": (lambda: MUBiC(**TINY), mel(3), None),
        "tavdiff": (lambda: TAVDiff(**TINY, text_width=24), torch.randn(3, 1, 35280), torch.randn(3, 8, 24)),
        "avrsp": (lambda: AVRSP(**TINY), torch.randn(3, 1, 70560), None),
    }


class Stand:
    """As much of a trainer as attaching needs."""

    strategy: Any = None


@pytest.mark.parametrize("name", ["diffsal", "diffsal_released", "mubic", "tavdiff", "avrsp"])
@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
def test_every_papers_network_predicts_and_trains_alike_from_stored_features(
    name: str, corpus: Path, tmp_path: Path
) -> None:
    build, sound, text = cases()[name]
    built: SaliencyNetwork = build()
    cache = FeatureCache(tmp_path, tests=True)
    task: SaliencyTask[Any] = (
        DirectSaliencyTask(built, feature_cache=cache)  # type: ignore[arg-type]
        if name == "avrsp"
        else DiffusionSaliencyTask(built, feature_cache=cache)  # type: ignore[arg-type]
    )
    batch = batch_of(3, built.clip_frames, sound, text)
    encoder = cached_encoder(built)
    seen: list[int] = []
    encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))

    start = {name: value.clone() for name, value in built.state_dict().items()}

    def run() -> tuple[Tensor, Tensor]:
        built.load_state_dict(
            start
        )  # batch norms have moved; the encoder's weights are written to, and the same
        with torch.inference_mode():
            maps = task.eval().predict_maps(batch)
        torch.manual_seed(3)
        return maps, task.train().training_step(batch, 0)

    maps, loss = run()
    assert seen == [3, 3]
    task.features.attach(built, Stand(), data(corpus), "test")  # type: ignore[arg-type]
    for passes in ([3, 3, 3], [3, 3, 3]):  # computed and stored, then read
        stored_maps, stored_loss = run()
        assert seen == passes
        assert torch.equal(stored_maps, maps)
        assert torch.equal(stored_loss, loss)
        stored_loss.backward()  # what was read under no_grad can be saved for the backward pass
    trained = [p for p in built.parameters() if p.requires_grad]
    assert any(p.grad is not None and p.grad.any() for p in trained)


def test_other_frames_and_other_weights_are_computed_anew(corpus: Path, tmp_path: Path) -> None:
    task = DiffusionSaliencyTask(network(), feature_cache=FeatureCache(tmp_path, tests=True)).eval()
    task.features.attach(task.network, Stand(), data(corpus), "test")  # type: ignore[arg-type]
    store = cached_encoder(task.network).stored.store
    batch = batch_of(2, 16, mel(2))

    def read() -> int:
        before = store.read_clips
        with torch.no_grad():
            task.predict_maps(dict(batch))
        return store.read_clips - before

    assert [read(), read()] == [0, 2]
    batch["video"][0, 0, 0, 0, 0] ^= 1  # one grey level of one pixel
    assert [read(), read()] == [1, 2]
    with torch.no_grad():
        next(cached_encoder(task.network).parameters()).add_(1e-3)
    assert [read(), read()] == [0, 2]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert [read(), read()] == [0, 2]
    assert read() == 2


def test_a_batch_of_known_and_new_clips_runs_the_new_ones_alone(corpus: Path, tmp_path: Path) -> None:
    task = DiffusionSaliencyTask(network(), feature_cache=FeatureCache(tmp_path, tests=True)).eval()
    batch = batch_of(3, 16, mel(3))
    seen: list[int] = []
    encoder = cached_encoder(task.network)
    encoder.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    with torch.no_grad():
        plain = task.predict_maps(batch)
        task.features.attach(task.network, Stand(), data(corpus), "test")  # type: ignore[arg-type]
        half: Any = {key: value[1:2] for key, value in batch.items()}
        task.predict_maps(half)
        mixed = task.predict_maps(batch)
    assert seen == [3, 1, 2]
    torch.testing.assert_close(mixed, plain, rtol=0, atol=NETWORK)
    assert (mixed[1:2] - plain[:1]).abs().max() > 1e-2


# ---- what is refused


def attach(task: SaliencyTask[Any], module: AVSaliencyDataModule, strategy: Any = None) -> None:
    stand = Stand()
    stand.strategy = strategy
    task.features.attach(task.network, stand, module, "fit")  # type: ignore[arg-type]


def test_what_cannot_be_cached_is_refused(corpus: Path, tmp_path: Path) -> None:
    sharded = ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
    drawn = data(corpus, training=TrainingOptions(Augmentation(contrast=0.2, flip=0.5)))
    thawed = network()
    next(cached_encoder(thawed).parameters()).requires_grad_(True)
    for built, module, strategy, message in (
        (network(freeze_video=False), None, None, r"core.video_encoder is trained \(\d+ .*freeze_video=true"),
        (thawed, None, None, "is trained"),
        (network(modality="a", video_weights=None), None, None, "DiffSal has 0 video encoders"),
        (network(), drawn, None, r"data.training.augmentation.contrast=0.2 a clip has other colours"),
        (network(), None, sharded, "under FSDP2 all processes must run the encoder together"),
    ):
        task = DiffusionSaliencyTask(built, feature_cache=FeatureCache(tmp_path))
        with pytest.raises(InputError, match=message):
            attach(task, module or data(corpus), strategy)
    mirrored = DiffusionSaliencyTask(network(), feature_cache=FeatureCache(tmp_path))
    attach(mirrored, data(corpus, training=TrainingOptions(Augmentation(flip=0.5, gain_db=3))))
    assert cached_encoder(mirrored.network).stored is not None


def test_a_network_that_changes_the_frames_is_refused(corpus: Path, tmp_path: Path) -> None:
    class Halved(DiffSal):
        def encode(self, video: Tensor | None, *rest: Any, **named: Any) -> Any:
            assert video is not None
            return super().encode(video[..., :64], *rest, **named)

    task = DiffusionSaliencyTask(Halved(**TINY), feature_cache=FeatureCache(tmp_path))
    attach(task, data(corpus))
    with pytest.raises(InputError, match=r"frames \(2, 3, 16, 64, 128\) and gave its encoder others"):
        task.predict_maps(batch_of(2, 16, mel(2)))


def test_random_crops_are_advised_against(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attach(DiffusionSaliencyTask(network(), feature_cache=FeatureCache(tmp_path)), data(corpus))
    assert "sampled at random" not in caplog.text
    task = DiffusionSaliencyTask(network(), feature_cache=FeatureCache(tmp_path))
    module = data(corpus, clip=ClipPolicy())
    attach(task, module)
    windows = sum(entry.n_frames - 15 for entry in module.entries("train"))
    assert f"clip.crop=random) out of up to {windows} different ones" in caplog.text


# ---- where it does nothing


def test_without_the_option_nothing_is_touched() -> None:
    features = TaskFeatures(None)
    built = network()
    features.attach(built, Stand(), None, "fit")  # type: ignore[arg-type]
    assert cached_encoder(built).stored is None
    features.log("epoch 0")


def test_tests_unless_asked_and_an_encoder_outside_of_a_task_store_nothing(
    corpus: Path, tmp_path: Path
) -> None:
    task = DiffusionSaliencyTask(network(), feature_cache=FeatureCache(tmp_path)).eval()
    task.features.attach(task.network, Stand(), data(corpus), "test")  # type: ignore[arg-type]
    with torch.no_grad():
        task.predict_maps(batch_of(2, 16, mel(2)))
    encoder, _ = build_video_encoder("tiny", frozen=True)
    assert isinstance(encoder, VideoEncoder)
    task = DiffusionSaliencyTask(network(), feature_cache=FeatureCache(tmp_path))
    attach(task, data(corpus))
    condition = task.network.encode(torch.randn(1, 3, 16, *SIZE), mel(1))
    assert condition.video
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_does_not_carry_the_folder(tmp_path: Path) -> None:
    task = DiffusionSaliencyTask(network(), feature_cache=FeatureCache(tmp_path))
    key = task.CHECKPOINT_HYPER_PARAMS_KEY
    checkpoint = {key: {"seed": 3, "feature_cache": {"folder": str(tmp_path), "max_gib": None}}}
    task.on_save_checkpoint(checkpoint)
    assert checkpoint[key] == {"seed": 3}
