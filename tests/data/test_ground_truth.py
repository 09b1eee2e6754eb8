"""Maps and fixations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from lightning_avsp.data.sources import MatFixations, PictureMaps
from lightning_avsp.errors import InputError
from lightning_avsp.media.images import resize


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, bool])
def test_fixations_are_points_whatever_the_type(tmp_path: Path, dtype: type) -> None:
    matrix = np.zeros((48, 64), dtype)
    source = MatFixations(tmp_path, "fixMap_{:05d}.mat")
    for number, fixated in enumerate(([], [[3, 5], [10, 0], [47, 63]]), start=1):
        for row, column in fixated:
            matrix[row, column] = 1
        savemat(source.path(number), {"eyeMap": matrix})
        points = source.points(number, (48, 64))
        assert points.dtype == torch.int64
        assert points.shape == (len(fixated), 2)
        assert points.tolist() == fixated


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: savemat(path, {"fixations": np.zeros((48, 64)), "other": np.zeros(1)}),
            "no matrix 'eyeMap'; its matrices: fixations, other",
        ),
        (
            lambda path: savemat(path, {"eyeMap": np.zeros((64, 48))}),
            "64 x 48, but the map of this frame is 48 x 64",
        ),
        (lambda path: path.write_bytes(b""), r"fixMap_00009\.mat cannot be read"),
        (lambda path: path.write_bytes(b"garbage" * 40), r"fixMap_00009\.mat cannot be read"),
        (lambda path: None, r"fixMap_00009\.mat is missing"),
    ],
)
def test_unusable_fixations_are_named(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    source = MatFixations(tmp_path, "fixMap_{:05d}.mat")
    write(source.path(9))
    with pytest.raises(InputError, match=message):
        source.points(9, (48, 64))


def test_map_keeps_its_size_and_target_has_the_networks(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:96, 0:128]
    blob = 255 * np.exp(-((rows - 40) ** 2 + (columns - 100) ** 2) / 400)
    Image.fromarray(blob.astype(np.uint8)).save(tmp_path / "eyeMap_00001.jpg", quality=95)
    saliency = PictureMaps(tmp_path, "eyeMap_{:05d}.jpg").map(1)
    assert (saliency.shape, saliency.dtype) == ((96, 128), torch.uint8)
    target = resize(saliency.numpy(), (24, 40))
    assert (target.shape, target.dtype) == ((24, 40), np.uint8)
    row, column = np.unravel_index(target.argmax(), target.shape)
    assert abs(row - 40 / 4) <= 1
    assert abs(column - 100 / 3.2) <= 1
