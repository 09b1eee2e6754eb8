"""A killed training is taken up in mid-epoch with exactly the batches it would have seen."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import SequentialSampler

from lightning_avsp.data.augmentation import Augmentation
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.loader import ResumableDataLoader, ResumeWarning, worker_context
from lightning_avsp.data.options import LoadingOptions, TrainingOptions, ValidationOptions
from lightning_avsp.data.samplers import EpochShuffleSampler
from lightning_avsp.media.audio import LogMel
from lightning_avsp.structures import ClipPolicy, SaliencyBatch

# Lightning advises on worker numbers, logging intervals and leftover checkpoint folders
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")

Seen = list[tuple[int, int, list[tuple[str, int]]]]


# A data set that gives back what it is asked for; a plain dict, which loader processes can take apart and rebuild.
PAIRS: Any = {(index, epoch): (index, epoch) for index in range(10) for epoch in range(5)}


def pairs(batch_size: int = 3, seed: int = 0, workers: int = 0) -> ResumableDataLoader:
    sampler = EpochShuffleSampler(range(10), seed=seed)
    settings: dict[str, Any] = {"collate_fn": list, "num_workers": workers, "persistent_workers": workers > 0}
    settings["multiprocessing_context"] = worker_context() if workers else None
    return ResumableDataLoader(PAIRS, batch_size, sampler=sampler, **settings)  # type: ignore[arg-type]


def epoch_of(loader: ResumableDataLoader, epoch: int) -> list[Any]:
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return list(loader)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_state_taken_up(done: int, workers: int) -> None:
    whole = [epoch_of(pairs(), epoch) for epoch in (2, 3)]
    loader = pairs(workers=workers)
    loader.sampler.set_epoch(2)  # type: ignore[attr-defined]
    iterator = iter(loader)
    for _ in range(done):
        next(iterator)
    state = loader.state_dict()
    assert (state["epoch"], state["batches"]) == (2, done)
    resumed = pairs(workers=workers)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert list(resumed) == whole[0][done:]
    assert epoch_of(resumed, 3) == whole[1]


def test_a_position_counts_only_in_its_own_epoch_and_a_finished_one_means_the_next() -> None:
    loader, resumed = pairs(), pairs()
    next(iter(loader))
    resumed.load_state_dict(loader.state_dict())
    assert epoch_of(resumed, 1) == epoch_of(pairs(), 1)
    epoch_of(loader, 1)
    resumed.load_state_dict(loader.state_dict())
    assert list(resumed) == epoch_of(pairs(), 2)


@pytest.mark.parametrize("change", [{"batch_size": 2}, {"seed": 1}])
def test_changed_data_starts_the_epoch_again_with_a_warning(change: dict[str, int]) -> None:
    loader = pairs()
    next(iter(loader))
    resumed = pairs(**change)
    with pytest.warns(ResumeWarning, match="starts from its beginning"):
        resumed.load_state_dict(loader.state_dict())
    assert list(resumed) == epoch_of(pairs(**change), 0)


def test_another_sampler_drops_seen_batches() -> None:
    def sequential() -> ResumableDataLoader:
        return ResumableDataLoader(range(10), 3, sampler=SequentialSampler(range(10)), collate_fn=list)  # type: ignore[arg-type]

    loader = sequential()
    iterator = iter(loader)
    next(iterator)
    resumed = sequential()
    resumed.load_state_dict(loader.state_dict())
    assert list(resumed) == list(iterator)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_loader_processes_may_start_in_any_way_but_do_not_fork_unless_told(method: str) -> None:
    assert worker_context().get_start_method() in ("forkserver", "spawn")
    context = worker_context(method)  # type: ignore[arg-type]
    assert context.get_start_method() == method
    settings: Any = {"num_workers": 1, "multiprocessing_context": context, "collate_fn": list}
    loader = ResumableDataLoader(PAIRS, 3, sampler=EpochShuffleSampler(range(10)), **settings)
    assert list(loader) == list(pairs())


class Probe(LightningModule):
    """Learns a little from every batch and remembers which clips it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(24, 1)
        self.seen: Seen = []

    def training_step(self, batch: SaliencyBatch, batch_idx: int) -> Tensor:
        keys = list(zip(batch["video_id"], batch["frame"].tolist(), strict=True))
        self.seen.append((self.current_epoch, batch_idx, keys))
        predicted = self.linear(batch["audio"].mean((1, 2, 3)))  # (B, 1)
        brightness = batch["video"].float().mean((1, 2, 3, 4)) / 255  # (B,)
        return (predicted[:, 0] - brightness).square().mean()

    def validation_step(self, batch: SaliencyBatch, batch_idx: int) -> None:
        self.log("score", batch["saliency"].float().mean(), batch_size=len(batch["frame"]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def fit(
    root: Path,
    folder: Path,
    *,
    workers: int = 0,
    resume: Path | None = None,
    data: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[Probe, Trainer]:
    seed_everything(7, verbose=False)
    datamodule = AVSaliencyDataModule(
        root,
        size=(16, 32),
        audio=LogMel(size=(8, 24)),
        clip=ClipPolicy(frames=4, draw="random"),
        batch_size=7,
        loading=LoadingOptions(eval_batch_size=8),
        num_workers=workers,
        validation=ValidationOptions(every=10),
        **(data or {}),
    )
    model = Probe()
    keep = ModelCheckpoint(folder, filename="{step}", save_top_k=-1, every_n_train_steps=1, save_last=False)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        callbacks=[keep],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **settings,
    )
    trainer.fit(model, datamodule=datamodule, ckpt_path=resume)
    return model, trainer


@pytest.fixture(scope="module")
def uninterrupted(corpus_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Probe, Path]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    model, trainer = fit(corpus_root, folder)
    assert trainer.global_step == 15  # 3 videos, 10 clips each: 5 batches an epoch, shuffled anew
    epochs = [[keys for epoch, _, keys in model.seen if epoch == wanted] for wanted in range(3)]
    assert [len(batches) for batches in epochs] == [5, 5, 5]
    assert epochs[0] != epochs[1] != epochs[2]
    return model, folder


# in the first epoch, in mid-epoch, after the last batch of an epoch, after the first of the next
@pytest.mark.parametrize(("step", "workers"), [(2, 0), (5, 0), (6, 0), (8, 0), (8, 2), (10, 0), (14, 0)])
def test_lightning_resumes_with_the_same_batches_and_weights(
    corpus_root: Path, tmp_path: Path, uninterrupted: tuple[Probe, Path], step: int, workers: int
) -> None:
    whole, folder = uninterrupted
    resumed, trainer = fit(corpus_root, tmp_path, resume=folder / f"step={step}.ckpt", workers=workers)
    assert trainer.global_step == 15
    assert resumed.seen == whole.seen[step:]
    assert torch.equal(resumed.linear.weight, whole.linear.weight)
    assert torch.equal(resumed.linear.bias, whole.linear.bias)


MIX: dict[str, Any] = {
    "corpora": ["AVAD", "Coutrot1"],
    "training": TrainingOptions(Augmentation(flip=0.5, brightness=0.3, gain_db=6.0), "uniform"),
}


@pytest.fixture(scope="module")
def mixed(corpus_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Probe, Path]:
    folder = tmp_path_factory.mktemp("mixed")
    model, trainer = fit(corpus_root, folder, data=MIX)
    assert trainer.global_step == 18  # 4 videos, 10 clips each: 6 batches an epoch
    return model, folder


@pytest.mark.parametrize(("step", "workers"), [(2, 0), (6, 0), (9, 2), (13, 0)])
def test_a_balanced_and_augmented_mix_resumes(
    corpus_root: Path, tmp_path: Path, mixed: tuple[Probe, Path], step: int, workers: int
) -> None:
    whole, folder = mixed
    resumed, _ = fit(corpus_root, tmp_path, resume=folder / f"step={step}.ckpt", workers=workers, data=MIX)
    assert resumed.seen == whole.seen[step:]
    assert torch.equal(resumed.linear.weight, whole.linear.weight)  # so pictures and sound were the same too


def test_epochs_cut_short_by_a_limit(corpus_root: Path, tmp_path: Path) -> None:
    whole, _ = fit(corpus_root, tmp_path / "whole", limit_train_batches=3)
    for step in (2, 3, 4, 6):
        resumed, _ = fit(
            corpus_root,
            tmp_path / str(step),
            limit_train_batches=3,
            resume=tmp_path / "whole" / f"step={step}.ckpt",
        )
        assert resumed.seen == whole.seen[step:]


@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_overfitting_one_batch(corpus_root: Path, tmp_path: Path) -> None:
    model, _ = fit(corpus_root, tmp_path, overfit_batches=1)
    assert len({str(keys) for _, _, keys in model.seen}) == 1
