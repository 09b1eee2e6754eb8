"""The average of the weights: its arithmetic and who uses it; test_stopping.py resumes it."""

from pathlib import Path

import pytest
import torch
from commandline import quiet_trainer
from lightning.pytorch import Callback, Trainer
from rounding import assert_close

from lightning_avsp.callbacks.ema import WeightAverage
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import LogMel
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.tasks import DiffusionSaliencyTask


class Watch(Callback):
    """Keeps the head's weight after every step, and during every validation."""

    def __init__(self) -> None:
        self.trained: list[torch.Tensor] = []
        self.validated: list[torch.Tensor] = []

    def _weight(self, module) -> torch.Tensor:
        return next(p for n, p in module.named_parameters() if p.requires_grad).detach().clone()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.trained.append(self._weight(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0) -> None:
        self.validated.append(self._weight(pl_module))


def fit(
    corpus: Path, folder: Path, average: WeightAverage, watch: Watch, frozen: bool = False, **kwargs
) -> Trainer:
    torch.manual_seed(0)
    weights = "random" if frozen else None
    network = DiffSal(video_encoder="tiny", audio_encoder="tiny", freeze_video=frozen, video_weights=weights)
    task = DiffusionSaliencyTask(network, optimizer=lambda p: torch.optim.SGD(p, lr=1e-3))
    data = AVSaliencyDataModule(
        corpus, size=(64, 64), audio=LogMel(size=(32, 64)), batch_size=2, num_workers=0
    )
    settings = {"max_steps": 4, "limit_train_batches": 4, "num_sanity_val_steps": 0}
    trainer = quiet_trainer(folder, callbacks=[watch, average], **settings | kwargs)
    trainer.fit(task, datamodule=data)
    return trainer


def test_the_average_is_the_warmed_up_recursion_and_validation_sees_it(corpus: Path, tmp_path: Path) -> None:
    average, watch = WeightAverage(decay=0.6, warmup=3), Watch()
    trainer = fit(corpus, tmp_path, average, watch)
    torch.manual_seed(0)
    start = DiffusionSaliencyTask(DiffSal(video_encoder="tiny", audio_encoder="tiny"))
    expected = next(p for p in start.parameters() if p.requires_grad).detach().clone()
    for step, weight in enumerate(watch.trained):
        decay = min(0.6, (1 + step) / (3 + step))
        expected = decay * expected + (1 - decay) * weight
    # after fit the module holds the average, as its checkpoints do
    kept = next(p for p in trainer.lightning_module.parameters() if p.requires_grad)
    for found in (watch.validated[-1], kept.detach()):
        assert_close(found, expected, operations=4 * 3)  # in four steps
    assert not torch.equal(watch.validated[-1], watch.trained[-1])


def test_gradients_that_are_still_being_accumulated_count_once(corpus: Path, tmp_path: Path) -> None:
    average = WeightAverage(decay=0.5)
    fit(corpus, tmp_path, average, Watch(), max_steps=2, accumulate_grad_batches=2)
    assert average.updates == 2


def test_frozen_parts_are_not_copied(corpus: Path, tmp_path: Path) -> None:
    average = WeightAverage(decay=0.5)
    fit(corpus, tmp_path, average, Watch(), frozen=True, max_steps=1)
    assert average.average
    assert not any("video_encoder" in name for name in average.average)


@pytest.mark.parametrize(("decay", "warmup"), [(0.0, 1), (1.0, 1), (0.9, 0.5)])
def test_impossible_settings_are_refused(decay: float, warmup: float) -> None:
    with pytest.raises(InputError, match="ema"):
        WeightAverage(decay, warmup)
