"""The data module: parts, batches, protocols, settings."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from rounding import LOG_MEL

from lightning_avsp.data.augmentation import Augmentation
from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.clips import evaluation_clips, validation_step
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.lists import list_path
from lightning_avsp.data.options import EvaluationOptions, LoadingOptions, TrainingOptions, ValidationOptions
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.media.audio import LogMel
from lightning_avsp.structures import ClipPolicy, SaliencyBatch

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")

SMALL: dict[str, Any] = {
    "size": (16, 32),
    "audio": LogMel(size=(8, 12)),
    "batch_size": 3,
    "loading": LoadingOptions(eval_batch_size=16),
    "num_workers": 0,
}


def module(root: Path, **settings: Any) -> AVSaliencyDataModule:
    return AVSaliencyDataModule(root, **{**SMALL, **settings})


def scored(batches: Any) -> Counter[tuple[str, str, int]]:
    return Counter(
        key
        for batch in batches
        for key in zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True)
    )


def test_batches_and_the_global_generator_that_they_leave_alone(corpus_root: Path) -> None:
    data = module(corpus_root)
    data.setup("fit")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    batch: SaliencyBatch = next(iter(data.train_dataloader()))
    assert batch["video"].shape == (3, 16, 16, 32, 3)
    assert batch["audio"].shape == (3, 1, 9, 8, 12)
    assert batch["saliency"].shape == (3, 1, 16, 32)
    assert "ground_truth" not in batch
    batch = next(iter(data.val_dataloader()))
    assert batch["video"].shape == (16, 16, 16, 32, 3)
    assert batch["ground_truth"][0].shape == (64, 128)
    assert batch["frame"].tolist() == list(range(1, 17))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_all_splits_at_once_neither_train_nor_test(corpus_root: Path, stage: str) -> None:
    data = module(corpus_root, split="all")
    with pytest.raises(
        InputError, match=r"--data\.split 1`; .*--data\.split 2`; .*--data\.split 3`; or sweep"
    ):
        data.setup(stage)
    for read in (data.train_dataloader, lambda: data.entries("validation")):
        with pytest.raises(InputError, match="split: all"):
            read()


def test_all_splits_read_every_listed_video_once(corpus_root: Path) -> None:
    corpora = ["AVAD", "Coutrot1", "Coutrot2"]
    data = module(corpus_root, corpora=corpora, split="all")
    data.setup("predict")
    listed = {
        key for split in (1, 2, 3) for key in module(corpus_root, corpora=corpora, split=split).videos("test")
    }
    assert len(data.videos("test")) == 6 + 3 + 3
    assert set(data.videos("test")) >= listed
    assert data.videos("train") == data.videos("validation") == []
    assert scored(data.predict_dataloader()) == Counter(
        {(*key, frame): 1 for key in data.videos("test") for frame in range(1, 41)}
    )


@pytest.mark.parametrize(("split", "stage"), [(1, "fit"), ("all", "predict")])
def test_a_video_of_both_lists_of_a_split_is_refused(own_root: Path, split: int | str, stage: str) -> None:
    paths = [list_path(own_root, find_corpus("AVAD"), part, 1) for part in ("train", "test")]
    paths[0].write_text(paths[0].read_text() + paths[1].read_text())
    with pytest.raises(InputError, match="both in a training and in a test list"):
        module(own_root, split=split).setup(stage)


RELEASED: dict[str, Any] = {
    "test": EvaluationOptions(frames="released"),
    "clip": ClipPolicy(crop="centre", short_videos="loop"),
}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        # one video of each corpus, both of one name
        (
            {"corpora": ["Coutrot1", "Coutrot2"], "clip": ClipPolicy(start_padding="skip")},
            "test: 16 frames at the start of 2 videos are not scored (clip.start_padding: skip, at most 8 a video)",
        ),
        (RELEASED, "test.frames: released, at most 8 a video"),
        ({}, ""),
    ],
)
def test_unscored_frames_are_counted_and_logged(
    corpus_root: Path, settings: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    module(corpus_root, **settings).setup("test")
    assert message in caplog.text
    assert ("not scored" in caplog.text) == bool(message)


def test_balanced_mix(corpus_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = module(
        corpus_root,
        corpora=["AVAD", "Coutrot1"],
        training=TrainingOptions(balance="uniform"),
        clip=ClipPolicy(draw="random"),
        batch_size=1,
    )
    data.setup("fit")
    with caplog.at_level(logging.INFO):
        loader = data.train_dataloader()
    # 3 training videos of AVAD, 1 of Coutrot1; 40 frames hold 2 clips each
    assert "balance: uniform: an epoch of 8 clips draws 4 of AVAD's 6, 4 of Coutrot1's 2" in caplog.text
    assert Counter(batch["corpus"][0] for batch in loader) == {"AVAD": 4, "Coutrot1": 4}


def test_redrawn_clips_are_counted_and_logged(own_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = module(own_root, clip=ClipPolicy(draw="random"))
    data.setup("fit")
    blank = data.entries("train")[0]
    for number in range(1, 41):
        Image.new("L", (128, 64)).save(blank.maps.path(number))  # type: ignore[attr-defined]
    loader = data.train_dataloader()
    with caplog.at_level(logging.INFO):
        batches = list(loader)
    assert all("redrawn" not in batch for batch in batches)
    assert loader.redrawn == 2
    assert "epoch 0: 2 of 6 training clips replace clips" in caplog.text


def test_a_prepared_cache_is_used_where_it_is_named(
    own_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Any] = []

    def attach(entries: Any, cache: Path, size: tuple[int, int]) -> Any:
        asked.append((len(entries), cache, size))
        return [replace(entry, fps=entry.fps * 2) for entry in entries]

    monkeypatch.setattr("lightning_avsp.data.datamodule.attach_cache", attach)
    data = module(own_root, loading=LoadingOptions(cache=tmp_path / "prepared"))
    data.setup("test")
    assert asked == [(2, tmp_path / "prepared", (16, 32))]
    assert {entry.fps for entry in data.entries("test")} == {25.0}
    assert data.hparams["data"]["loading"]["cache"] == str(tmp_path / "prepared")
    (own_root / "cache").mkdir()
    with caplog.at_level(logging.INFO):
        module(own_root).setup("test")
    assert len(asked) == 1
    assert f"{own_root / 'cache'} exists and is not used" in caplog.text


def test_videos_of_a_part_not_in_use_are_named_without_opening_them(own_root: Path) -> None:
    data = module(own_root)
    (own_root / "annotations" / "AVAD" / data.videos("test")[0][1]).rename(own_root / "elsewhere")
    data.setup("fit")
    assert len(data.videos("test")) == 2
    with pytest.raises(CorpusNotFoundError):
        data.setup("test")


@pytest.mark.parametrize(("settings", "first"), [({}, 1), (RELEASED, 9)])
def test_every_frame_is_scored_once_but_a_released_start(
    corpus_root: Path, settings: dict[str, Any], first: int
) -> None:
    data = module(corpus_root, corpora=["AVAD", "Coutrot1"], **settings)
    data.setup("test")
    wanted = {(*key, frame): 1 for key in data.videos("test") for frame in range(first, 41)}
    assert scored(data.test_dataloader()) == Counter(wanted)


def test_validation_may_score_every_tenth_frame(corpus_root: Path) -> None:
    data = module(corpus_root, validation=ValidationOptions(every=10))
    data.setup("validate")
    assert sorted({frame for _, _, frame in scored(data.val_dataloader())}) == [6, 16, 26, 36]
    data.setup("test")
    assert len(scored(data.test_dataloader())) == 80  # a test is not thinned out


def test_a_fit_validates_at_most_a_fifth_of_its_clips_and_each_video(corpus_root: Path) -> None:
    data = module(corpus_root, clip=ClipPolicy(draw="every"))
    data.trainer = SimpleNamespace(
        state=SimpleNamespace(fn="fit"), global_rank=0, world_size=1, strategy=None
    )
    data.setup("fit")
    clips = len(data.train_dataloader().dataset)
    validated = data.val_dataloader().dataset
    assert 1 <= len(validated) <= clips // 5 < 40  # one video of 40 frames is held out
    data.trainer.state.fn = "validate"
    assert len(data.val_dataloader().dataset) == 40


@pytest.mark.parametrize(("frames", "clips"), [((100, 300), 40), ((40,) * 17, 10), ((7, 900), 10**6)])
def test_validation_step_is_cheap_enough_and_not_much_cheaper(frames: tuple[int, ...], clips: int) -> None:
    def count(step: int) -> int:
        return sum(len(evaluation_clips(n, ClipPolicy(), every=step)) for n in frames)

    most = max(clips // 5, len(frames))
    assert 0.8 * min(most, sum(frames)) <= count(validation_step(frames, clips)) <= most


@pytest.mark.parametrize(("trained", "tested"), [(["AVAD"], "Coutrot1"), (["AVAD", "Coutrot1"], "AVAD")])
def test_some_of_the_trained_corpora_or_others_may_be_tested(
    corpus_root: Path, trained: list[str], tested: str
) -> None:
    data = module(corpus_root, corpora=trained, test=EvaluationOptions(corpora=[tested]))
    assert {name for name, _ in data.videos("train")} == set(trained)
    data.setup("test")
    assert {name for name, _, _ in scored(data.test_dataloader())} == {tested}
    assert set(data.synthetic) == {*trained, tested}


def test_selection_on_the_test_list_is_labelled(corpus_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = module(corpus_root, validation=ValidationOptions(selection="test"))
    with caplog.at_level(logging.WARNING):
        data.setup("fit")
    assert data.videos("validation") == data.videos("test")
    assert len(data.videos("train")) == 4
    assert "TEST list" in data.selection_label
    assert "TEST list" in caplog.text
    assert data.hparams["data"]["validation"]["selection"] == "test"
    assert "validation" in module(corpus_root).selection_label


def as_bytes(batches: Any) -> list[bytes]:
    names = ("video", "audio", "saliency", "frame", "has_audio", "ground_truth", "fixations")
    tensors = [batch[name] for batch in batches for name in names if name in batch]
    return [
        each.numpy().tobytes() for some in tensors for each in (some if isinstance(some, list) else [some])
    ]


MIX: dict[str, Any] = {
    "corpora": ["AVAD", "Coutrot1"],
    "training": TrainingOptions(
        Augmentation(flip=0.5, brightness=0.2, contrast=0.2, saturation=0.2, gain_db=3.0), "sqrt"
    ),
}


@pytest.mark.parametrize("settings", [{}, MIX], ids=["plain", "balanced and augmented"])
def test_workers_change_nothing_and_the_seed_all_clips(corpus_root: Path, settings: dict[str, Any]) -> None:
    seen = []
    for workers, seed in ((0, 0), (2, 0), (0, 1)):
        data = module(corpus_root, num_workers=workers, seed=seed, clip=ClipPolicy(draw="random"), **settings)
        data.setup("fit")
        data.setup("test")
        train = data.train_dataloader()
        epochs = []
        for epoch in (0, 1):
            train.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            epochs.append(as_bytes(train))
        assert epochs[0] != epochs[1]
        seen.append((epochs, as_bytes(data.test_dataloader())))
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[2][0]
    assert seen[0][1] == seen[2][1]


def test_mismatched_audio_and_silence_change_audio_alone(corpus_root: Path) -> None:
    batches = {}
    for sound in ("true", "other_video", "silent"):
        data = module(corpus_root, test=EvaluationOptions(audio=sound), corpora=["AVAD", "Coutrot1"])
        data.setup("test")
        batches[sound] = list(data.test_dataloader())
    for true, other, silent in zip(*batches.values(), strict=True):
        for name in ("video", "saliency", "frame"):
            assert torch.equal(true[name], other[name])
            assert torch.equal(true[name], silent[name])
        assert not torch.equal(true["audio"], other["audio"])
        assert other["has_audio"].all()
        assert not silent["has_audio"].any()
        silence = torch.full_like(silent["audio"], 0.01).log()
        torch.testing.assert_close(silent["audio"], silence, rtol=0, atol=LOG_MEL)


def test_missing_audio_may_be_silence(own_root: Path) -> None:
    _, silent = module(own_root).videos("test")[0]
    (own_root / "video_audio" / "AVAD" / silent / f"{silent}.wav").unlink()
    kept = module(own_root, loading=LoadingOptions(missing_audio="silence"))
    kept.setup("test")
    flags = set()
    for batch in kept.test_dataloader():
        flags |= set(zip(batch["video_id"], batch["has_audio"].tolist(), strict=True))
    assert (silent, False) in flags
    assert len(flags) == 2


def test_input_spec_and_a_limit_on_videos(corpus_root: Path) -> None:
    settings = {"map_size": (8, 16), "clip": ClipPolicy(frames=8, target="last")}
    data = module(corpus_root, loading=LoadingOptions(limit_videos=1), **settings)
    spec = data.input_spec()
    assert (spec.size, spec.map_size, spec.clip) == ((16, 32), (8, 16), data.clip)
    assert type(spec).from_plain(spec.as_plain()) == spec
    data.setup("fit")
    assert [len(data.videos(part)) for part in ("train", "validation", "test")] == [1, 1, 1]


def test_synthetic_data_is_logged(own_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = module(own_root, corpora=["AVAD", "Coutrot1"])
    with caplog.at_level(logging.WARNING):
        data.setup("test")
    assert data.synthetic == ["AVAD", "Coutrot1"]
    assert "SYNTHETIC data" in caplog.text
    (own_root / "synthetic.json").unlink()
    assert data.synthetic == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: module(root, corpora=[]), "at least one corpus"),
        (lambda root: module(root, corpora=["AVAD", "AVAD"]), "each once"),
        (lambda root: module(root, corpora=["Coutrot_db1", "Coutrot1"]), "each once"),
        (lambda root: module(root, corpora=["AVDA"]), "did you mean 'AVAD'"),
        (
            lambda root: module(root, test=EvaluationOptions(corpora=[])),
            "test.corpora must name at least one",
        ),
        (lambda root: module(root, split=4), "split 4: AVAD has 1, 2, 3"),
        (lambda root: module(root, batch_size=0), "batch_size=0 is out of range: give a number at least 1"),
        (lambda root: module(root, num_workers=-1), "num_workers"),
        (lambda root: module(root / "absent").setup("fit"), r"no folder at .*absent"),
        (lambda _: ValidationOptions(every=0), "validation.every=0"),
        (lambda _: EvaluationOptions(every=0), "test.every=0"),
        (lambda _: EvaluationOptions(audio_shift=float("inf")), "audio_shift"),
        (lambda _: LoadingOptions(limit_videos=0), "loading.limit_videos=0"),
        (lambda _: LoadingOptions(eval_batch_size=0), "loading.eval_batch_size=0"),
    ],
)
def test_impossible_settings(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(tmp_path)


def test_settings_from_a_configuration(corpus_root: Path) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AVSaliencyDataModule, "data")
    options = "size=[16, 32]|corpora=[AVAD, Coutrot1]|clip.frames=8|clip.stride=2|audio.alignment=released"
    options += "|num_workers=0|training.augmentation.flip=0.5|training.balance=sqrt|split=2"
    arguments = [f"--data.{option}" for option in (f"root={corpus_root}", *options.split("|"))]
    data = parser.instantiate(parser.parse_args(arguments)).data
    assert data.clip == ClipPolicy(frames=8, stride=2)
    assert data.training.augmentation == Augmentation(flip=0.5)
    assert (data.training.balance, data.split) == ("sqrt", 2)
    assert data.audio == LogMel(alignment="released")
    assert data.size == (16, 32)
    assert data.corpora == ["AVAD", "Coutrot1"]
    data.setup("fit")
    assert parser.instantiate(parser.parse_args([*arguments, "--data.split=all"])).data.split == "all"


class Nothing(LightningModule):
    """Trains nothing; only there so that a checkpoint holds the data module's settings."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: SaliencyBatch, batch_idx: int) -> torch.Tensor:
        return self.weight.square()

    def predict_step(self, batch: SaliencyBatch, batch_idx: int) -> list[tuple[str, int]]:
        return list(zip(batch["video_id"], batch["frame"].tolist(), strict=True))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_settings_in_a_checkpoint_load_without_code(corpus_root: Path, tmp_path: Path) -> None:
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = Trainer(accelerator="cpu", max_steps=1, limit_val_batches=0, default_root_dir=tmp_path, **quiet)
    data, model = module(corpus_root), Nothing()
    trainer.fit(model, datamodule=data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    kept = torch.load(tmp_path / "a.ckpt", weights_only=True)["datamodule_hyper_parameters"]["data"]
    assert kept["root"] == str(corpus_root)
    assert kept["clip"]["frames"] == 16
    assert kept["validation"]["selection"] == "validation"
    predicted = trainer.predict(model, datamodule=data)
    assert predicted is not None
    assert len({key for batch in predicted for key in batch}) == 80  # type: ignore[union-attr]


def test_workers_that_shared_memory_has_no_room_for_are_refused(
    corpus_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(free=2**20)
    monkeypatch.setattr("lightning_avsp.data.loader.shutil.disk_usage", lambda _: free)
    data = module(corpus_root, num_workers=2, batch_size=30)
    data.setup("fit")
    with pytest.raises(
        InputError, match=r"2 dataloader workers keep \d+ MiB .* has 1 MiB free: .*--shm-size"
    ):
        data.train_dataloader()
    free.free = 2**40
    data.train_dataloader()
    free.free = 0
    data = module(corpus_root)
    data.setup("fit")
    data.train_dataloader()  # this process needs none
