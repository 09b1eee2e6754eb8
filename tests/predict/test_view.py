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
    assert len(data["times"]) == len(data["models"][0]["entropy"]) == 10
    assert data["times"][:2] == pytest.approx([0, 0.04])  # milliseconds, exact in the file
    narrow, wide = (np.mean(model["entropy"]) for model in data["models"])
    assert 0 < narrow < wide <= 1
    assert read_entropy(folders[1] / "saliency.mp4") == data["models"][1]["entropy"]


def test_folders_that_cannot_be_shown(
    make_film: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = make_film("first.mp4", frames=3), make_film("second.mp4", frames=4)
    folders = [write_prediction(tmp_path / path.stem, path, 8) for path in (first, second)]
    for arguments, message in (
        (folders, "different videos"),
        ([tmp_path], "holds no prediction"),
    ):
        with pytest.raises(SystemExit):
            main(["view", *map(str, arguments)])
        assert message in capsys.readouterr().err
    first.unlink()
    with pytest.raises(SystemExit):
        main(["view", str(folders[0])])
    assert "put the video back" in capsys.readouterr().err
