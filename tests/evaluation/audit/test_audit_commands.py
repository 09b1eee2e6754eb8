"""The audits on real runs: a trained network without sound, and a run that goes on from another split's."""

import json
from pathlib import Path

import pytest
import torch
from commandline import fit_arguments
from rounding import LOG_MEL

from lightning_avsp.cli import main
from lightning_avsp.cli.audit import audio, leak, noise
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.options import EvaluationOptions
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import LogMel
from lightning_avsp.tasks.loading import load_model


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` trains without sound on split 1; `two` goes on from it on split 2, and once more on its own."""
    folder = tmp_path_factory.mktemp("runs")
    options = ("--model.network.modality=v", "--model.network.variant=released", "--figures=0")
    main(fit_arguments(corpus, folder / "one", *options, "--seed_everything=3"))
    last = folder / "one" / "checkpoints" / "last.ckpt"
    for index, checkpoint in enumerate((str(last), "last")):
        # allowed, or the second would be refused
        more = ("--data.split=2", f"--ckpt_path={checkpoint}", "--allow_seen_test_videos=true")
        main(fit_arguments(corpus, folder / "two", *options, *more, f"--trainer.max_epochs={2 + index}"))
    return folder


def test_a_trained_network_without_audio_does_not_use_audio(
    runs: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    noise(checkpoint, root=corpus, every=10, samples=2, device="cpu", out=tmp_path / "n.json")
    assert "exactly independent of the noisy map and of t: a regressor" in capsys.readouterr().out
    assert json.loads((tmp_path / "n.json").read_text())["samples_identical"] is True


def test_a_run_that_went_on_from_another_split_leaks(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leak([runs / "one"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as raised:
        leak([runs])
    assert raised.value.code == 1
    text = capsys.readouterr().out
    assert "1 with a leak, 0 unknown, 1 clean" in text
    assert "from which it started (ckpt_path (earlier command 1))" in text
    # the last command went on from the run's own checkpoint; the first one's origin is not forgotten
    one, two = (json.loads((runs / name / "run.json").read_text()) for name in ("one", "two"))
    assert (one["started_from"], one["earlier"], two["started_from"]) == ({}, [], {})
    origin = str((runs / "one" / "checkpoints" / "last.ckpt").resolve())
    assert [part["started_from"] for part in two["earlier"]] == [{"ckpt_path": origin}]


def test_no_checkpoint_is_one_clear_error(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file at"):
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


def test_shifted_audio_is_the_audio_of_another_moment(corpus: Path) -> None:
    def waves(shift: float) -> torch.Tensor:
        options = {"audio": LogMel(size=(64, 64)), "test": EvaluationOptions(audio_shift=shift)}
        data = AVSaliencyDataModule(corpus, size=(16, 32), num_workers=0, batch_size=30, **options)
        data.setup("test")
        return next(iter(data.test_dataloader()))["audio"]

    true, late, early, gone = map(waves, (0.0, 0.16, -0.16, 1e4))
    # 0.16 s are 2 frames at 12.5 frames per second
    torch.testing.assert_close(late[10], true[8], rtol=0, atol=LOG_MEL)
    torch.testing.assert_close(early[10], true[12], rtol=0, atol=LOG_MEL)
    assert (true[10] - late[10]).abs().max() > 1
    torch.testing.assert_close(gone, torch.full_like(gone, 0.01).log(), rtol=0, atol=LOG_MEL)
    with pytest.raises(InputError, match=r"test\.audio_shift"):
        EvaluationOptions(audio_shift=float("inf"))
