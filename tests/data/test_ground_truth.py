"""Maps and fixations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from lightning_avsp.data.maps import read_fixations, read_map, resize_map
from lightning_avsp.errors import InputError


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, bool])
def test_fixations_are_points_whatever_the_type(tmp_path: Path, dtype: type) -> None:
    matrix = np.zeros((48, 64), dtype)
    matrix[3, 5] = matrix[47, 63] = matrix[10, 0] = 1
    path = tmp_path / "fixMap_00001.mat"
    savemat(path, {"eyeMap": matrix})
    points = read_fixations(path, (48, 64))
    assert points.dtype == torch.int64
    assert points.tolist() == [[3, 5], [10, 0], [47, 63]]


def test_nobody_recorded(tmp_path: Path) -> None:
    path = tmp_path / "fixMap_00001.mat"
    savemat(path, {"eyeMap": np.zeros((48, 64))})
    assert read_fixations(path, (48, 64)).shape == (0, 2)


def test_wrong_key(tmp_path: Path) -> None:
    path = tmp_path / "fixMap_00001.mat"
    savemat(path, {"fixations": np.zeros((48, 64)), "other": np.zeros(1)})
    with pytest.raises(InputError, match="no matrix 'eyeMap'; its matrices: fixations, other"):
        read_fixations(path, (48, 64))


def test_wrong_size(tmp_path: Path) -> None:
    path = tmp_path / "fixMap_00001.mat"
    savemat(path, {"eyeMap": np.zeros((64, 48))})
    with pytest.raises(InputError, match="64 x 48, but the map of this frame is 48 x 64"):
        read_fixations(path, (48, 64))


@pytest.mark.parametrize("content", [b"", b"garbage" * 40])
def test_broken_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fixMap_00009.mat"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"fixMap_00009\.mat cannot be read"):
        read_fixations(path, (48, 64))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fixMap_00009\.mat is missing"):
        read_fixations(tmp_path / "fixMap_00009.mat", (48, 64))


def test_map_keeps_its_size_and_target_has_the_networks(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:96, 0:128]
    blob = 255 * np.exp(-((rows - 40) ** 2 + (columns - 100) ** 2) / 400)
    path = tmp_path / "eyeMap_00001.jpg"
    Image.fromarray(blob.astype(np.uint8)).save(path, quality=95)
    saliency = read_map(path)
    assert saliency.shape == (96, 128)
    assert saliency.dtype == torch.uint8
    target = resize_map(saliency, (24, 40))
    assert target.shape == (24, 40)
    assert target.dtype == torch.uint8
    peak = int(target.argmax())  # to a pixel
    assert abs(peak // 40 - 40 / 4) <= 1
    assert abs(peak % 40 - 100 / 3.2) <= 1
