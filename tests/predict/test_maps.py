from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_avsp.predict.maps import MapSpool

TIMES = np.arange(5) / 25


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).random((5, 12, 20)).astype(np.float32)


def write(folder: Path, maps: np.ndarray, format) -> None:
    """Write three maps and half of the fourth, as a killed process does, then the rest in a second start."""
    first = MapSpool(folder / "raw", format, (12, 20))
    for saliency in maps[:3]:
        first.append(saliency)
    first.close()
    with (folder / "raw").open("ab") as file:
        file.write(bytes(first.bytes // 2))
    second = MapSpool(folder / "raw", format, (12, 20))
    assert len(second) == 3
    second.truncate(2)
    for saliency in maps[2:]:
        second.append(saliency)
    second.write_result(folder, TIMES)
    second.close()


def test_npz(tmp_path: Path, maps) -> None:
    write(tmp_path, maps, "npz")
    with np.load(tmp_path / "maps.npz") as stored:
        assert stored["maps"].dtype == np.float16
        assert np.array_equal(stored["maps"], maps.astype(np.float16))
        assert np.array_equal(stored["times"], TIMES)


def test_maps_of_frames_that_were_lost_are_left_out(tmp_path: Path, maps) -> None:
    spool = MapSpool(tmp_path / "raw", "npz", (12, 20))
    for saliency in maps:
        spool.append(saliency)
    spool.write_result(tmp_path, TIMES[:3])
    spool.close()
    with np.load(tmp_path / "maps.npz") as stored:
        assert np.array_equal(stored["maps"], maps[:3].astype(np.float16))


@pytest.mark.parametrize(("format", "top"), [("png", 255), ("png16", 65535)])
def test_png(tmp_path: Path, maps, format, top) -> None:
    write(tmp_path, maps, format)
    paths = sorted((tmp_path / "maps").iterdir())
    assert [path.name for path in paths] == [f"{i:06d}.png" for i in range(1, 6)]
    for path, saliency in zip(paths, maps, strict=True):
        with Image.open(path) as image:
            stored = np.asarray(image)
        assert np.array_equal(stored, np.round(saliency * top))
