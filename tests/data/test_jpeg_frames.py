"""Frames: decoding, resizing, broken files, memory."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_avsp.errors import InputError
from lightning_avsp.media.images import decode_jpeg, image_size, read_image, resize


def smooth_picture(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width] / 40
    channels = [np.sin(rows + shift) * np.cos(columns - shift) for shift in (0.0, 1.0, 2.0)]
    return (127 + 100 * np.stack(channels, -1)).astype(np.uint8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "img_00001.jpg"
    Image.fromarray(smooth_picture(480, 640)).save(path, quality=95)
    return path


def test_size_from_the_header(picture: Path) -> None:
    assert image_size(picture) == (480, 640)


@pytest.mark.parametrize("size", [(224, 384), (112, 192), (480, 640), (600, 700), (64, 64)])
def test_scaled_decoding_agrees_with_full_decoding(picture: Path, size: tuple[int, int]) -> None:
    pixels = read_image(picture, size)
    with Image.open(picture) as image:
        full = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
    assert pixels.shape == (*size, 3)
    assert pixels.dtype == np.uint8
    error = np.mean((pixels.astype(float) - full) ** 2)
    assert 10 * np.log10(255**2 / max(error, 1e-9)) > 40


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    path = tmp_path / "red.jpg"
    Image.new("RGB", (32, 32), (250, 10, 30)).save(path, quality=95)
    assert read_image(path).mean(axis=(0, 1)) == pytest.approx([250, 10, 30], abs=3)


def test_grey(picture: Path) -> None:
    assert read_image(picture, mode="GRAY").shape == (480, 640)
    assert read_image(picture, (30, 40), mode="GRAY").shape == (30, 40)


def test_png_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "0001.png"
    pixels = smooth_picture(48, 64)
    Image.fromarray(pixels).save(path)
    assert np.array_equal(read_image(path), pixels)
    assert read_image(path, (24, 32)).shape == (24, 32, 3)


@pytest.mark.parametrize("shape", [(90, 120, 3), (90, 120)])
def test_resize_is_antialiased(shape: tuple[int, ...]) -> None:
    board = (np.indices(shape[:2]).sum(0) % 2 * 255).astype(np.uint8)  # the finest checkerboard
    pixels = np.broadcast_to(board[..., None], shape).copy() if len(shape) == 3 else board
    small = resize(pixels, (30, 40))
    assert small.shape == (30, 40, *shape[2:])
    assert small[2:-2, 2:-2].std() < 8  # without antialiasing: near 127


def test_truncated_jpeg_is_named(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"img_00001\.jpg \(4000 bytes\) cannot be read"):
        read_image(picture, (224, 384))


@pytest.mark.parametrize("content", [b"", b"not a picture at all"])
def test_not_a_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "img_00002.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"img_00002\.jpg"):
        read_image(path)
    with pytest.raises(InputError, match=r"img_00002\.jpg"):
        image_size(path)


def test_missing_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"img_00003\.jpg is missing"):
        read_image(tmp_path / "img_00003.jpg")


def test_decoding_into_a_clip_is_the_same(picture: Path) -> None:
    clip = np.zeros((2, 480, 640, 3), np.uint8)
    decode_jpeg(memoryview(picture.read_bytes()), into=clip[1])
    assert np.array_equal(clip[1], read_image(picture))
    assert not clip[0].any()
    with pytest.raises(ValueError, match=r"."):
        decode_jpeg(picture.read_bytes()[:4000], into=clip[0])
