from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_avsp.predict.maps import open_maps


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).random((5, 12, 20)).astype(np.float32)


def test_npz(tmp_path: Path, maps) -> None:
    sink = open_maps(tmp_path, "npz")
    for saliency in maps:
        sink.write(saliency)
    sink.close(np.arange(5) / 25)
    with np.load(tmp_path / "maps.npz") as stored:
        assert stored["maps"].dtype == np.float16
        np.testing.assert_allclose(stored["maps"], maps, atol=3e-4)
        np.testing.assert_array_equal(stored["times"], np.arange(5) / 25)
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]


@pytest.mark.parametrize(("format", "top"), [("png", 255), ("png16", 65535)])
def test_png(tmp_path: Path, maps, format, top) -> None:
    sink = open_maps(tmp_path, format)
    for saliency in maps:
        sink.write(saliency)
    sink.close(np.zeros(5))
    paths = sorted((tmp_path / "maps").iterdir())
    assert [path.name for path in paths] == [f"{i:06d}.png" for i in range(1, 6)]
    for path, saliency in zip(paths, maps, strict=True):
        with Image.open(path) as image:
            stored = np.asarray(image)
        assert np.array_equal(stored, np.round(saliency * top))
