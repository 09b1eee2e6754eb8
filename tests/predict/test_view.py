from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lightning_avsp.cli import main
from lightning_avsp.media.mp4_writer import Mp4Writer
from lightning_avsp.media.video import decode_video, open_video
from lightning_avsp.predict.view import read_entropy


def write_prediction(folder: Path, video: Path, spread: int) -> Path:
    """A prediction as `avsp predict` leaves it: a white square of ``spread`` pixels in every frame."""
    folder.mkdir()
    info = open_video(video)
    writer, count = Mp4Writer(folder / "saliency.mp4", info), 0
    for pts, _ in decode_video(info):
        levels = np.zeros((info.height, info.width), np.uint8)
        levels[:spread, :spread] = 255
        writer.write(levels, pts)
        count += 1
    writer.close()
    record = {"video": {"path": str(video)}, "frames": count, "network": "DiffSal", "modality": "av"}
    (folder / "prediction.json").write_text(json.dumps(record))
    return folder


def test_two_models_on_one_page(make_film: Callable[..., Path], tmp_path: Path) -> None:
    video = make_film("video.mp4", frames=10)
    folders = [
        write_prediction(tmp_path / f"{name}<script>", video, spread)
        for name, spread in (("a", 8), ("b", 48))
    ]
    main(["view", *map(str, folders), "--out", str(tmp_path / "view.html")])
    page = (tmp_path / "view.html").read_text()
    assert page.count("<script") == page.count("</script>") == 2  # none of a name
    assert not re.search(r'(src|href)="?http|url\(http|@RED@|@DATA@', page)
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [model["name"][0] for model in data["models"]] == ["a", "b"]
    assert len(data["times"]) == len(data["models"][0]["curve"]) == 10
    assert data["times"][:2] == pytest.approx([0, 0.04])  # milliseconds, exact in the file
    narrow, wide = (np.mean(model["curve"]) for model in data["models"])
    assert 0 < narrow < wide <= 1
    assert read_entropy(folders[1] / "saliency.mp4") == data["models"][1]["curve"]

    tables = [tmp_path / f"{name}_frames.csv" for name in "ab"]
    for table, score in zip(tables, (0.25, 0.5), strict=True):
        rows = [f"1,AVAD,{video.stem},{frame},{score}" for frame in range(3, 11)]
        table.write_text("\n".join(["split,corpus,video,frame,cc", "1,AVAD,other,1,0.9", *rows]))
    main(
        [
            "view",
            *map(str, folders),
            "--scores",
            ",".join(map(str, tables)),
            "--out",
            str(tmp_path / "cc.html"),
        ]
    )
    data = json.loads((tmp_path / "cc.html").read_text().split('id="data">')[1].split("</script>")[0])
    assert data["curve"] == "cc of each frame"
    assert [model["curve"] for model in data["models"]] == [[None] * 2 + [score] * 8 for score in (0.25, 0.5)]


def test_folders_that_cannot_be_shown(
    make_film: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = make_film("first.mp4", frames=3), make_film("second.mp4", frames=4)
    folders = [write_prediction(tmp_path / path.stem, path, 8) for path in (first, second)]
    (tmp_path / "frames.csv").write_text("video,frame,cc\nsecond,1,0.5\n")
    table = ["--scores", tmp_path / "frames.csv"]
    for arguments, message in (
        (folders, "of 2 videos"),
        ([tmp_path], "holds no prediction"),
        ([folders[0], *table], "has no cc of a video first"),
        ([folders[1], *table, "--metric", "nss"], "has no nss"),
        ([folders[1], "--scores", "a.csv,b.csv"], "2 tables of scores for 1 predictions"),
        ([folders[1], "--scores", tmp_path / "none.csv"], "has no cc of a video second"),
    ):
        with pytest.raises(SystemExit):
            main(["view", *map(str, arguments)])
        assert message in capsys.readouterr().err
    first.unlink()
    with pytest.raises(SystemExit):
        main(["view", str(folders[0])])
    assert "put the video back" in capsys.readouterr().err
