"""The public names: their examples run as they are printed, and an exported model predicts what its checkpoint does."""

from __future__ import annotations

import doctest
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lightning_avsp as avsp
from lightning_avsp import api
from lightning_avsp.cli import main
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.errors import InputError, MissingDependencyError
from lightning_avsp.tasks.loading import load_model


@pytest.fixture
def desk(
    checkpoint: Path,
    corpus: Path,
    make_film: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The current folder of the examples: best.ckpt, exported/, video.mp4, data/, and maps/ of its test videos."""
    make_film("video.mp4", frames=12)
    shutil.copy(checkpoint, tmp_path / "best.ckpt")
    (tmp_path / "data").symlink_to(corpus)
    grey = np.random.default_rng(0).integers(0, 255, (64, 128), dtype=np.uint8)
    for entry in read_videos(corpus, ["AVAD"], 1, "test"):
        folder = tmp_path / "maps" / entry.video
        folder.mkdir(parents=True)
        for frame in range(1, entry.n_frames + 1):
            Image.fromarray(grey).save(folder / f"{frame:05d}.png")
    monkeypatch.chdir(tmp_path)
    main(["export", str(checkpoint), "--out", "exported"])
    return tmp_path


@pytest.mark.parametrize("name", ["Model", "Prediction", "evaluate", "load"])
def test_example(desk: Path, name: str) -> None:
    assert name in avsp.__all__
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    tests = [
        t for t in doctest.DocTestFinder(recurse=False).find(getattr(avsp, name), name, api) if t.examples
    ]
    assert tests
    for test in tests:
        test.globs = {"avsp": avsp}
        runner.run(test)
    assert runner.summarize().failed == 0


def test_an_exported_model_predicts_what_its_checkpoint_does(desk: Path, checkpoint: Path) -> None:
    maps = [avsp.load(path).predict("video.mp4", stride=5).maps for path in (checkpoint, "exported")]
    assert np.array_equal(*maps)  # the same operations in the same order
    assert load_model(desk / "exported").seed == 3
    written = {path.name for path in (desk / "exported").iterdir()}
    assert written == {"config.json", "model.safetensors", "README.md"}
    assert "somebody" not in (desk / "exported" / "config.json").read_text()
    card = (desk / "exported" / "README.md").read_text()
    assert all(text in card for text in ("# DiffSal", "diffsal_tiny", "SYNTHETIC", "- test/CC: 0.2500"))
    with pytest.raises(SystemExit):
        main(["export", str(checkpoint), "--out", "exported"])
    main(["export", "exported", "--out", "again"])
    assert (desk / "again" / "model.safetensors").read_bytes() == (
        desk / "exported" / "model.safetensors"
    ).read_bytes()


def test_saved_maps_are_those_of_the_command(desk: Path) -> None:
    prediction = avsp.load("best.ckpt", seed=0).predict("video.mp4")
    prediction.save("ours")
    prediction.save("ours", "png")
    main(["predict", "video.mp4", "--checkpoint", "best.ckpt", "--out", "theirs"])
    ours, theirs = np.load("ours/maps.npz"), np.load("theirs/maps.npz")
    assert all(np.array_equal(ours[name], theirs[name]) for name in ("maps", "times"))
    assert np.array_equal(prediction.times, theirs["times"])
    assert len(list(Path("ours/maps").glob("*.png"))) == len(prediction.frames) == 12
    with pytest.raises(InputError, match="exists"):
        prediction.save("ours")


def test_folders_that_are_no_model(desk: Path) -> None:
    with pytest.raises(InputError, match=r"lacks config\.json or model"):
        avsp.load("maps")
    shutil.copytree("exported", "torn")
    Path("torn/model.safetensors").write_bytes(Path("torn/model.safetensors").read_bytes()[:-9])
    with pytest.raises(InputError, match="torn is damaged"):
        avsp.load("torn")
    config = json.loads(Path("exported/config.json").read_text())
    config["hyper_parameters"]["network"]["class_path"] = "os.system"
    shutil.copytree("exported", "hostile")
    Path("hostile/config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"names os\.system, not one of"):
        avsp.load("hostile")


def test_a_hub_name_is_fetched_or_refused_in_one_line(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", lambda name, allow_patterns: str(desk / "exported"))
    assert avsp.load("someone/diffsal").loaded.source == "trained DiffSal"

    def offline(name: str, allow_patterns: list[str]) -> str:
        raise ConnectionError(name)

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(InputError, match=r"someone/diffsal is neither .* \(ConnectionError\)"):
        avsp.load("someone/diffsal")
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match="pip install huggingface_hub"):
        avsp.load("someone/diffsal")
