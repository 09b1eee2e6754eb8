"""On the command line: no test video of a split reaches its training; every corpus trains with the others."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import TINY_NETWORK, fit_arguments

from lightning_avsp.cli import main
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.options import TrainingOptions
from lightning_avsp.evaluation.audit.leaks import audit_leaks
from lightning_avsp.media.audio import LogMel

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*is smaller than the logging interval.*",
    "ignore:.*You're resuming from a checkpoint that ended before the epoch ended.*",
    "ignore::UserWarning:lightning",
)


@pytest.mark.parametrize("balance", ["none", "uniform"])
def test_clips_that_train_come_from_training_videos_in_every_split(corpus_root: Path, balance: str) -> None:
    tested: Counter[tuple[str, str]] = Counter()
    for split in (1, 2, 3):
        data = AVSaliencyDataModule(
            corpus_root,
            corpora=["AVAD", "Coutrot1", "Coutrot2"],
            split=split,
            size=(16, 32),
            audio=LogMel(size=(8, 12)),
            training=TrainingOptions(balance=balance),  # type: ignore[arg-type]
            num_workers=0,
        )
        data.setup("fit")
        test = set(data.videos("test"))
        seen: set[tuple[str, str]] = set()
        loader = data.train_dataloader()
        for epoch in range(3):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            for batch in loader:
                seen |= set(zip(batch["corpus"], batch["video_id"], strict=True))
        assert seen == set(data.videos("train"))
        assert not seen & test
        assert not set(data.videos("validation")) & (test | seen)
        tested.update(test)
    assert len(tested) == 12  # every video is tested once over the splits of generated corpora
    assert set(tested.values()) == {1}
    assert {("Coutrot1", "clip1"), ("Coutrot2", "clip1")} <= set(tested)


@pytest.fixture(scope="module")
def first(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of split 1."""
    run = tmp_path_factory.mktemp("chain") / "split1"
    main(fit_arguments(corpus, run, *TINY_NETWORK, "--figures=0"))
    return run


@pytest.mark.parametrize("option", ["init_from", "ckpt_path"])
def test_another_split_may_not_start_from_it(
    first: Path, corpus: Path, tmp_path: Path, refused: Callable[..., str], option: str
) -> None:
    start = f"--{option}={first / 'checkpoints' / 'last.ckpt'}"
    run = tmp_path / "split2"
    message = refused(fit_arguments(corpus, run, *TINY_NETWORK, "--data.split=2", start, "--figures=0"))
    assert "of 2 test videos were seen by training of" in message
    assert "each split is a model of its own" in message
    assert not list(run.glob("checkpoints/*.ckpt"))


def test_going_on_in_its_own_folder_with_another_split_is_refused_too(
    first: Path, corpus: Path, refused: Callable[..., str]
) -> None:
    (finding,) = audit_leaks([first])
    assert finding.leaks == []
    more = ("--data.split=2", "--ckpt_path=last", "--trainer.max_epochs=2", "--figures=0")
    assert "test videos were seen by" in refused(fit_arguments(corpus, first, *TINY_NETWORK, *more))


CORPORA = ("AVAD", "Coutrot1", "Coutrot2", "DIEM", "ETMD", "SumMe", "DHF1K", "Hollywood2", "UCF", "CrowdSAL")


def test_synthesised_checked_trained_and_tested(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root, listing = tmp_path / "data", tmp_path / "check.json"
    small = ("--videos=6", "--seconds=2", "--workers=1", "--height=64", "--width=128")
    for name in CORPORA:
        main(["data", "synth", f"--root={root}", f"--corpus={name}", *small])
    main(["data", "check", str(root), f"--json={listing}", "--workers=1"])  # exits with 1 on errors
    capsys.readouterr()
    corpora = f"--data.corpora=[{','.join(CORPORA)}]"
    more = (corpora, "--data.test.every=25", "--trainer.limit_test_batches=1.0", "--test_after_fit=true")
    main(fit_arguments(root, tmp_path / "run", *TINY_NETWORK, *more, "--figures=0"))
    shown = capsys.readouterr().out
    for name in CORPORA:
        assert name in listing.read_text()
        assert f"test/{name}/cc" in shown


def test_fit_refuses_all_splits_at_once(corpus: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    run = tmp_path / "all"
    message = refused(fit_arguments(corpus, run, *TINY_NETWORK, "--data.split=all", "--figures=0"))
    assert "`lightning fit ... --data.split 1`" in message
    assert not list(run.glob("checkpoints/*.ckpt"))
