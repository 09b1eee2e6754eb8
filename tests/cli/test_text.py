"""A network that reads text gets its captions in predictions, audits and explanations, or an error that says so."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commandline import fit_arguments
from rounding import HALF

from lightning_avsp.cli import main

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def captions(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    main(["caption", str(corpus), "--corpus=AVAD", "--synthetic", f"--out={folder}", "--device=cpu"])
    return folder


@pytest.fixture(scope="module")
def checkpoint(corpus: Path, captions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("tavdiff") / "run"
    options = (
        f"--data.captions.folder={captions}",
        f"--data.captions.features={captions / 'features'}",
        "--figures=0",
        "--trainer.val_check_interval=1.0",
        "--trainer.max_steps=2",
        "--model.sampling.steps=2",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(fit_arguments(corpus, run, *options, experiment="synthetic_tavdiff"))
    return run / "checkpoints" / "last.ckpt"


@pytest.fixture
def video(make_film: Callable[..., Path]) -> Path:
    return make_film("clip.mp4", frames=4, size=(64, 128), channels=0)


def predict(video: Path, checkpoint: Path, out: Path, *more: str) -> np.ndarray:
    main(["predict", str(video), f"--checkpoint={checkpoint}", f"--out={out}", "--device=cpu", *more])
    return np.load(out / "maps.npz")["maps"].astype(float)


def test_a_prediction_depends_on_its_caption(
    checkpoint: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    one = predict(video, checkpoint, tmp_path / "one", "--caption=the sound comes from the red disc")
    two = predict(video, checkpoint, tmp_path / "two", "--caption=a blue disc moves")
    none = predict(video, checkpoint, tmp_path / "none", "--captions=none")
    assert "this network reads text, but is given no captions" in capsys.readouterr().out
    assert min(np.abs(one - two).max(), np.abs(one - none).max()) > 1e-4
    records = [json.loads((tmp_path / name / "prediction.json").read_text()) for name in ("one", "none")]
    assert [record["captions"] for record in records] == [{"1": "the sound comes from the red disc"}, None]
    assert [record["modality_used"] for record in records] == ["tv", "v"]
    table = tmp_path / "table.csv"
    rows = [
        ("clip", 1, "the sound comes from the red disc"),
        ("clip", 4, "a blue disc moves"),
        ("b", 1, "other"),
    ]
    table.write_text("video,frame,text\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows))
    mixed = predict(video, checkpoint, tmp_path / "mixed", f"--captions={table}")
    np.testing.assert_allclose(mixed[:2], one[:2], rtol=0, atol=HALF)
    np.testing.assert_allclose(mixed[3], two[3], rtol=0, atol=HALF)


def test_captions_are_never_dropped_silently(
    checkpoint: Path, video: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    common = ("predict", video, f"--checkpoint={checkpoint}", f"--out={tmp_path / 'out'}", "--device=cpu")
    error = refused(common)
    assert "--caption TEXT" in error
    assert "--captions FILE" in error
    assert "both given" in refused([*common, "--caption=a", "--captions=b.csv"])
    other = refused([*common, "--caption=a", "--text_model=tiny-random-32"])
    assert "was trained with features of tiny-random" in other
    table = tmp_path / "table.csv"
    table.write_text("video,frame,text\na,1,a disc\nb,1,a disc\n")
    assert "none of 'clip'" in refused([*common, f"--captions={table}"])
    assert not (tmp_path / "out").exists()


def test_the_text_audit_uses_the_captions_of_the_training(
    checkpoint: Path, corpus: Path, captions: Path, capsys: pytest.CaptureFixture, refused: Callable[..., str]
) -> None:
    options = (f"--root={corpus}", "--every=12", "--samples=1", "--device=cpu")
    main(["audit", "text", str(checkpoint), *options])
    assert "another video's caption" in capsys.readouterr().out
    found = json.loads((checkpoint.parents[1] / "results" / "audit_text_last.json").read_text())
    assert found["captions"]["folder"] == str(captions)
    assert found["modality"] == "text"
    assert all(found["pixel_changes"][name]["largest"] > 0 for name in ("empty", "mismatched", "none"))
    main(["audit", "audio", str(checkpoint), *options, "--shift=0"])
    audio = json.loads((checkpoint.parents[1] / "results" / "audit_audio_last.json").read_text())
    own = {
        (row["setting"], row["group"]): row["cc"]["value"] for row in found["rows"] if row["input"] == "own"
    }
    heard = {
        (row["setting"], row["group"]): row["cc"]["value"] for row in audio["rows"] if row["input"] == "own"
    }
    assert own == heard  # the audio audit reads the captions too
    error = refused(["audit", "text", checkpoint, *options, "--captions=none"])
    assert "needs captions: give --captions FOLDER" in error
