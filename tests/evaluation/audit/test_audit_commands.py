"""The audits on real runs: a trained network without sound, and a run that goes on from another split's."""

import json
from pathlib import Path

import pytest
import torch
from commandline import fit_arguments

from lightning_avsp.cli import main
from lightning_avsp.cli.audit import audio, leak, noise, progress
from lightning_avsp.data import AVSaliencyDataModule, LogMel
from lightning_avsp.data.options import EvaluationOptions
from lightning_avsp.errors import InputError
from lightning_avsp.tasks.loading import load_model

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` trains without sound on split 1; `two` goes on from it on split 2, and once more on its own."""
    folder = tmp_path_factory.mktemp("runs")
    options = ("--model.network.modality=v", "--model.network.variant=released", "--figures=0")
    main(fit_arguments(corpus, folder / "one", *options, "--seed_everything=3"))
    last = folder / "one" / "checkpoints" / "last.ckpt"
    for index, checkpoint in enumerate((str(last), "last")):
        main(
            fit_arguments(
                corpus,
                folder / "two",
                *options,
                "--data.split=2",
                f"--ckpt_path={checkpoint}",
                "--allow_seen_test_videos=true",  # or the second would be refused
                f"--trainer.max_epochs={2 + index}",
            )
        )
    return folder


def test_a_trained_network_without_sound_does_not_use_audio(
    runs: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = runs / "one" / "checkpoints" / "last.ckpt"
    audio(checkpoint, root=corpus, every=10, samples=2, device="cpu")
    text = capsys.readouterr().out
    assert "verdict: does not use audio" in text
    assert "no audio encoder" in text
    assert "all differences are exactly 0" in text
    found = json.loads((runs / "one" / "results" / "audit_audio_last.json").read_text())
    assert found["exactly_0"] is True
    assert found["seed"] == 3
    assert all(change["largest"] == 0 for change in found["pixel_changes"].values())


def test_the_released_network_without_sound_is_a_regressor(
    runs: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise(
        runs / "one" / "checkpoints" / "last.ckpt",
        root=corpus,
        every=10,
        samples=2,
        device="cpu",
        out=tmp_path / "n.json",
    )
    assert "exactly independent of the noisy map and of t: a regressor" in capsys.readouterr().out
    assert json.loads((tmp_path / "n.json").read_text())["samples_identical"] is True


def test_a_run_that_went_on_from_another_split_leaks(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leak([str(runs / "one")])
    capsys.readouterr()
    with pytest.raises(SystemExit) as raised:
        leak([str(runs)])
    assert raised.value.code == 1
    text = capsys.readouterr().out
    assert "1 with a leak, 0 unknown, 1 clean" in text
    assert "from which it started (ckpt_path (earlier command 1))" in text


def test_the_record_keeps_what_was_started_from(runs: Path) -> None:
    one, two = (json.loads((runs / name / "run.json").read_text()) for name in ("one", "two"))
    assert one["started_from"] == {}
    assert one["earlier"] == []
    # the last command went on from the run's own checkpoint; the first one's origin is not forgotten
    assert two["started_from"] == {}
    origin = str((runs / "one" / "checkpoints" / "last.ckpt").resolve())
    assert [part["started_from"] for part in two["earlier"]] == [{"ckpt_path": origin}]


def test_no_checkpoint_is_one_clear_error(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint at"):
        audio(tmp_path / "none.ckpt", root=corpus)
    torch.save({"a": torch.zeros(1)}, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match="give one of these"):
        noise(tmp_path / "odd.ckpt", root=corpus)


def test_a_model_has_the_settings_of_its_checkpoint(runs: Path) -> None:
    checkpoint = runs / "one" / "checkpoints" / "last.ckpt"
    model = load_model(checkpoint, "cpu", steps=7)
    assert model.seed == 3
    assert model.steps == model.sampling.steps == 7
    assert not model.network.training
    assert load_model(checkpoint, "cpu", seed=9).seed == 9
    with pytest.raises(InputError, match="cannot visit"):
        load_model(checkpoint, "cpu", steps=1001)


def test_progress_speaks_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    progress("clips")(1, 2)
    assert capsys.readouterr().err == ""
    progress("clips", seconds=0)(1, 2)
    assert capsys.readouterr().err == "1 of 2 clips\n"


def test_shifted_sound_is_the_sound_of_another_moment(corpus: Path) -> None:
    def sounds(shift: float) -> torch.Tensor:
        audio_settings = LogMel(size=(64, 64))
        data = AVSaliencyDataModule(
            corpus,
            size=(16, 32),
            audio=audio_settings,
            num_workers=0,
            batch_size=30,
            test=EvaluationOptions(audio_shift=shift),
        )
        data.setup("test")
        return next(iter(data.test_dataloader()))["audio"]

    true, late, early, gone = sounds(0.0), sounds(0.16), sounds(-0.16), sounds(1e4)
    frames = 2  # 0.16 s at 12.5 frames per second
    assert not torch.equal(true[10], late[10])
    # what frame k hears late is what frame k - 2 hears in time
    torch.testing.assert_close(late[10], true[10 - frames])
    torch.testing.assert_close(early[10], true[10 + frames])
    torch.testing.assert_close(gone, torch.full_like(gone, 0.01).log())
    with pytest.raises(InputError, match=r"test\.audio_shift"):
        EvaluationOptions(audio_shift=float("inf"))
