"""`avsp figure`: a model beside maps of any program, and frames chosen where they differ."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rounding import NETWORK

from lightning_avsp.cli import main
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.figure import FigureColumn, FigureFrames, FolderMaps, ModelMaps, draw_figure
from lightning_avsp.tasks.loading import load_model


@pytest.fixture
def videos(corpus: Path) -> list[VideoEntry]:
    return read_videos(corpus, ["AVAD"], 1, "test")


@pytest.fixture
def truth(corpus: Path, videos: list[VideoEntry], tmp_path: Path) -> Path:
    """The ground truth of the test videos as somebody's maps."""
    for one in videos:
        maps = corpus / "annotations" / "AVAD" / one.video / "maps"
        shutil.copytree(maps, tmp_path / "theirs" / one.video)
    return tmp_path / "theirs"


def test_a_model_stands_beside_maps_of_any_program(
    checkpoint: Path, corpus: Path, videos, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    name = videos[1].video
    np.save(tmp_path / "uniform.npy", np.ones((videos[1].n_frames, 36, 64), np.float32))
    shared = [f"--root={corpus}", "--device=cpu", f"--videos={name}", "--frames=3,11"]
    columns = [f"Ours={checkpoint}", str(truth), f"Uniform={tmp_path / 'uniform.npy'}"]
    main(["figure", *columns, *shared, f"--out={tmp_path / 'new' / 'figure'}"])
    assert f"AVAD/{name}, frame 3\nAVAD/{name}, frame 11\n" in capsys.readouterr().out
    with Image.open(tmp_path / "new" / "figure.png") as image:
        # in whole pixels: frame, truth, three columns
        assert image.width == pytest.approx(5 * 2.2 * 200, abs=1)
    assert (tmp_path / "new" / "figure.pdf").read_bytes().startswith(b"%PDF")
    main(["figure", str(truth), *shared, "--style=overlay", f"--out={tmp_path / 'one.pdf'}"])
    main(["figure", str(truth), *shared, "--style=both", f"--out={tmp_path / 'both.png'}"])
    with Image.open(tmp_path / "both.png") as image:
        assert image.width == pytest.approx(4 * 2.2 * 200, abs=1)  # frame, truth, the map, and over the frame
    assert not (tmp_path / "one.png").exists()


class Fixed:
    """Maps that are flat in one half; from a frame on it is the other half."""

    def __init__(self, turn: dict[str, int]) -> None:
        self.turn = turn

    def lacking(self, entry, numbers):
        return [number for number in numbers if number > 20]

    def read(self, entry, numbers):
        for number in numbers:
            saliency = torch.zeros(8, 8)
            saliency[:, 4:] = number < self.turn.get(entry.video, 99)
            saliency[:, :4] = 1 - saliency[:, 4:]
            yield number, saliency


def test_frames_are_chosen_where_maps_differ_most_and_of_different_videos(videos) -> None:
    first, second = videos[:2]
    columns: dict[str, FigureColumn] = {"a": Fixed({}), "b": Fixed({first.video: 12, second.video: 18})}
    frames = FigureFrames(videos, [], [], every=3)
    shown = frames.choose(columns, 2)
    assert [(one.entry.video, one.number) for one in shown] == [(first.video, 13), (second.video, 19)]
    assert [one.number for one in frames.choose(columns, 3)] == [13, 16, 19]
    assert FigureFrames(videos, [second.video], [7], every=3).choose(columns, 5)[0].number == 7


def test_maps_are_those_of_a_test_and_of_a_folder(
    checkpoint: Path, corpus: Path, videos, truth: Path
) -> None:
    from lightning_avsp.evaluation.audit.data import AuditData

    model, data = load_model(checkpoint), AuditData(corpus, every=1, batch=4)
    found = dict(ModelMaps(model, data).read(videos[0], [3, 4]))
    module = data.module(model)
    module.setup("test")
    batch = next(iter(module.test_dataloader()))
    maps = model.sample(model.encode(model.inputs(batch)), batch)  # type: ignore[arg-type]
    frames = batch["frame"].tolist()
    for number, saliency in found.items():
        wanted = maps[frames.index(number), 0]
        torch.testing.assert_close(saliency, wanted, rtol=0, atol=NETWORK)
    theirs = FolderMaps(truth, corpus, 1)
    ((number, saliency),) = theirs.read(videos[0], [4])
    assert number == 4
    assert torch.equal(saliency, videos[0].maps.map(4))
    assert FolderMaps(corpus, corpus, 1).lacking(videos[0], [1, 2]) == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--videos=absent"], "absent: no test videos of this split; these are: "),
        (["--frames=99"], "has no frame 99; it has frames 1 to"),
        (["--frames=a"], "give numbers with commas"),
        (["--colours=none"], "no colour map is called 'none'"),
        (["--rows=0"], "give a number at least 1"),
        (["missing.ckpt"], "missing.ckpt is not there"),
        (["a={truth}", "a={truth}"], "two columns are called a"),
        (["{root}/fold_lists"], "no test video has maps of all of fold_lists"),
        ([f"--out={__file__}/figure.png"], "cannot write"),
    ],
)
def test_mistakes_are_reported_before_a_model_is_loaded(
    arguments: list[str],
    message: str,
    corpus: Path,
    truth: Path,
    tmp_path: Path,
    refused: Callable[..., str],
) -> None:
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"no checkpoint")
    given = [one.format(truth=truth, root=corpus) for one in arguments]
    assert message in refused(["figure", broken, *given, f"--root={corpus}", "--device=cpu"])


def test_videos_of_one_name_in_two_corpora_are_kept_apart(tmp_path: Path, videos) -> None:
    one, other = videos[0], replace(videos[1], corpus="Coutrot1", video=videos[0].video)
    with pytest.raises(InputError, match=f"name one of AVAD/{one.video}, Coutrot1/{one.video}"):
        FigureFrames([one, other], [one.video], [3], 1)
    fixed: dict[str, FigureColumn] = {"theirs": Fixed({one.video: 2})}
    shown = FigureFrames([one, other], [f"AVAD/{one.video}", f"Coutrot1/{one.video}"], [3], 1).choose(
        fixed, 2
    )
    assert [frame.entry for frame in shown] == [one, other]
    draw_figure([tmp_path / "both.png"], shown, fixed)  # a panel too many for its row raises
    assert (tmp_path / "both.png").is_file()
