"""`avsp explain` on short runs: pictures, numbers, right and wrong sound, and averages over test videos."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import TINY_NETWORK, fit_arguments
from PIL import Image

from lightning_avsp.cli import main


@pytest.fixture(scope="module")
def checkpoint(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with gates, hardly trained."""
    folder = tmp_path_factory.mktemp("gates") / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps = ("--trainer.val_check_interval=1.0", "--trainer.max_steps=2")
        main(
            fit_arguments(corpus, folder, *TINY_NETWORK, "--figures=0", *steps, experiment="synthetic_mubic")
        )
    return folder / "checkpoints" / "last.ckpt"


def test_a_clip_is_drawn_and_its_numbers_are_printed_and_averaged(
    checkpoint: Path, corpus: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--device=cpu", "--frame=9", "--summary", "--every=12"]
    main(["explain", str(checkpoint), f"--root={corpus}", *options])
    shown = capsys.readouterr().out
    folder = next((checkpoint.parents[1] / "explain").iterdir())
    assert folder.name.endswith("_00009")
    pictures = sorted(folder.glob("*.png"))
    assert pictures
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width > 200
    record = json.loads((folder / "explain.json").read_text())
    assert {row["audio"] for row in record["values"]} == {"own audio", "another video's audio"}
    assert all(isinstance(row["value"], float) for row in record["values"])
    assert "own audio" in shown
    own = {(r["name"], r["label"]): r["value"] for r in record["values"] if r["audio"] == "own audio"}
    other = {(r["name"], r["label"]): r["value"] for r in record["values"] if r["audio"] != "own audio"}
    assert own.keys() == other.keys()
    assert any(own[key] != other[key] for key in own)

    rows = record["summary"]  # averages over the test videos, by condition
    groups = {row["group"] for row in rows}
    assert "all videos" in groups
    assert any("SYNTHETIC" in group for group in groups)
    everything = [row for row in rows if row["group"] == "all videos"]
    assert all(row["videos"] >= 1 and row["mean"] == row["mean"] for row in everything)


def test_mistakes_are_reported(checkpoint: Path, corpus: Path, refused: Callable[..., str]) -> None:
    for more, message in (
        (["--video=absent"], "'absent' is no test video; these are:"),
        (["--frame=999"], "has no scored frame 999"),
        (["--captions=somewhere"], "reads no text, but --captions somewhere is given"),
    ):
        assert message in refused(["explain", checkpoint, f"--root={corpus}", "--device=cpu", *more])


def test_a_network_without_explanations_is_refused(
    corpus: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    visual = ("--model.network.modality=v", *(word for word in TINY_NETWORK if "audio" not in word))
    main(fit_arguments(corpus, tmp_path, *visual, "--figures=0"))
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert "DiffSal has no explanations" in refused(["explain", last, f"--root={corpus}", "--device=cpu"])


def test_words_and_their_caption_are_shown(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Figure 6 of TAVDiff: each word's map, the same times the ground truth, and the caption."""
    pytest.importorskip("transformers")
    captions = tmp_path / "captions"
    main(["caption", str(corpus), "--corpus=AVAD", "--synthetic", f"--out={captions}", "--device=cpu"])
    own = (f"--data.captions.folder={captions}", "--data.captions.tokens=16")
    steps = ("--trainer.val_check_interval=1.0", "--trainer.max_steps=2")
    run = tmp_path / "run"
    main(
        fit_arguments(corpus, run, *TINY_NETWORK, "--figures=0", *own, *steps, experiment="synthetic_tavdiff")
    )
    capsys.readouterr()
    out = tmp_path / "shown"
    checkpoint = run / "checkpoints" / "last.ckpt"
    main(["explain", str(checkpoint), f"--root={corpus}", "--device=cpu", f"--out={out}"])
    record = json.loads((out / "explain.json").read_text())
    assert record["tokens"] == record["caption"].split()  # the tiny text model reads whole words
    assert f"caption: {record['caption']}" in capsys.readouterr().out
    for row in range(1, len(record["tokens"]) + 1):
        assert (out / f"sitr_token{row:02d}.png").is_file()
        assert (out / f"sitr_token{row:02d}_truth.png").is_file()
    labels = [value["label"] for value in record["values"] if value["name"] == "sitr_overlap"]
    assert f"token {len(record['tokens'])}" in labels
