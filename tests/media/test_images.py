"""Images and matrices of every type: decoding, resizing, broken files, memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from scipy import sparse
from scipy.io import savemat

from lightning_avsp.errors import InputError
from lightning_avsp.media.images import decode_jpeg, image_size, read_grey, read_image, resize
from lightning_avsp.media.matrices import read_matrix


def smooth_picture(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width] / 40
    channels = [np.sin(rows + shift) * np.cos(columns - shift) for shift in (0.0, 1.0, 2.0)]
    return (127 + 100 * np.stack(channels, -1)).astype(np.uint8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "img_00001.jpg"
    Image.fromarray(smooth_picture(480, 640)).save(path, quality=95)
    return path


@pytest.mark.parametrize("size", [(224, 384), (112, 192), (480, 640), (600, 700), (64, 64)])
def test_scaled_decoding_agrees_with_full_decoding(picture: Path, size: tuple[int, int]) -> None:
    pixels = read_image(picture, size)
    with Image.open(picture) as image:
        full = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
    assert pixels.shape == (*size, 3)
    assert pixels.dtype == np.uint8
    error = np.mean((pixels.astype(float) - full) ** 2)
    assert 10 * np.log10(255**2 / max(error, 1e-9)) > 40


def test_sizes_channels_and_formats(picture: Path, tmp_path: Path) -> None:
    assert image_size(picture) == (480, 640)
    Image.new("RGB", (32, 32), (250, 10, 30)).save(tmp_path / "red.jpg", quality=95)
    assert read_image(tmp_path / "red.jpg").mean(axis=(0, 1)) == pytest.approx([250, 10, 30], abs=3)
    pixels = smooth_picture(48, 64)
    Image.fromarray(pixels).save(tmp_path / "0001.png")
    assert np.array_equal(read_image(tmp_path / "0001.png"), pixels)
    assert read_image(tmp_path / "0001.png", (24, 32)).shape == (24, 32, 3)
    named = tmp_path / "eyeMap_00001.jpg"  # a PNG by another name
    named.write_bytes(write_type("png16", tmp_path).read_bytes())
    np.testing.assert_array_equal(read_grey(named, deep=False), LEVELS)


@pytest.mark.parametrize("shape", [(90, 120, 3), (90, 120)])
def test_resize_is_antialiased(shape: tuple[int, ...]) -> None:
    board = (np.indices(shape[:2]).sum(0) % 2 * 255).astype(np.uint8)  # the finest checkerboard
    pixels = np.broadcast_to(board[..., None], shape).copy() if len(shape) == 3 else board
    small = resize(pixels, (30, 40))
    assert small.shape == (30, 40, *shape[2:])
    assert small[2:-2, 2:-2].std() < 8  # without antialiasing: near 127


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: path.read_bytes()[:4000], r"img_00001\.jpg \(4000 bytes\) cannot be read"),
        (lambda path: b"", r"img_00001\.jpg"),
        (lambda path: b"not a picture at all", r"img_00001\.jpg"),
        (None, r"img_00001\.jpg is missing"),
    ],
)
def test_what_is_no_picture_is_named(
    content: Callable[[Path], bytes] | None, message: str, picture: Path
) -> None:
    if content is None:
        picture.unlink()
    else:
        picture.write_bytes(content(picture))
    with pytest.raises(InputError, match=message):
        read_image(picture, (224, 384))
    if content is None or picture.stat().st_size < 4000:  # a cut picture has its header
        with pytest.raises(InputError, match=message):
            image_size(picture)


def test_decoding_into_a_clip_is_the_same(picture: Path) -> None:
    clip = np.zeros((2, 480, 640, 3), np.uint8)
    decode_jpeg(memoryview(picture.read_bytes()), into=clip[1])
    assert np.array_equal(clip[1], read_image(picture))
    assert not clip[0].any()
    with pytest.raises(ValueError, match=r"."):
        decode_jpeg(picture.read_bytes()[:4000], into=clip[0])


LEVELS = np.array([[0, 51], [102, 255]], np.uint8)  # multiples of 51: whole numbers at 2, 4, 8 and 16 bits


def png_bytes(bits: int, values: np.ndarray) -> bytes:
    """A grey PNG of 1, 2 or 4 bits, or one of 3 x 16 bits, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0"
        + (
            np.repeat(row, 3).astype(">u2")
            if bits == 16
            else np.packbits(np.unpackbits(row[:, None].astype(np.uint8), axis=1)[:, 8 - bits :])
        ).tobytes()
        for row in values
    )
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 2 * (bits == 16), 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def write_type(kind: str, folder: Path) -> Path:
    """LEVELS as an image of some type."""
    tiff = kind in ("white16", "tiff16", "big_endian", "float", "float255", "int32", "colour")
    path = folder / f"map.{'tif' if tiff else 'png'}"
    grey = Image.fromarray(LEVELS)
    deep = LEVELS.astype(np.uint16) * 257
    match kind:
        case "1":
            path.write_bytes(png_bytes(1, LEVELS // 255))
        case "2" | "4":
            path.write_bytes(png_bytes(int(kind), LEVELS // (85 if kind == "2" else 17)))
        case "rgb16":
            path.write_bytes(png_bytes(16, deep))
        case "white16":  # 0 is white
            Image.fromarray(deep).save(path, tiffinfo={262: 0})
        case "palette":
            image = Image.fromarray(np.array([[3, 2], [1, 0]], np.uint8), "P")
            image.putpalette([255] * 3 + [102] * 3 + [51] * 3 + [0] * 3)
            image.save(path)
        case "png16" | "tiff16":
            Image.fromarray(deep).save(path)
        case "big_endian":
            Image.frombytes("I;16B", (2, 2), deep.astype(">u2").tobytes()).save(path)
        case "float" | "float255":
            Image.fromarray((LEVELS / (255 if kind == "float" else 1)).astype(np.float32)).save(path)
        case "int32":
            Image.fromarray(deep.astype(np.int32)).save(path)
        case "transparent":
            image = grey.convert("RGBA")
            image.putalpha(Image.fromarray(LEVELS))
            image.save(path)
        case "cmyk":
            path = path.with_suffix(".jpg")
            Image.new("CMYK", (2, 2), (0, 80, 80, 0)).save(path)
        case "colour":
            Image.new("RGB", (2, 2), (250, 10, 30)).save(path)
        case "linear":
            chunks = PngImagePlugin.PngInfo()
            chunks.add(b"gAMA", struct.pack(">I", 100_000))
            grey.save(path, pnginfo=chunks)
        case ".jpg" | ".png" | ".tif":
            path = path.with_suffix(kind)
            orientation = Image.Exif()
            orientation[274] = 8  # the first row stored is the left side shown
            Image.fromarray(np.repeat(np.repeat(np.rot90(LEVELS, -1), 8, 0), 16, 1)).save(
                path, exif=orientation
            )
            if kind == ".jpg":  # orientation may come behind a colour profile
                data, profile = path.read_bytes(), bytes(9998)
                path.write_bytes(data[:2] + b"\xff\xe2" + struct.pack(">H", 10_000) + profile + data[2:])
        case _:
            grey.convert(kind).save(path)
    return path


@pytest.mark.parametrize(
    "kind", ["L", "RGB", "RGBA", "LA", "palette", "png16", "tiff16", "big_endian", "float"]
)
def test_every_type_of_map_gives_the_same_values(kind: str, tmp_path: Path) -> None:
    path = write_type(kind, tmp_path)
    np.testing.assert_array_equal(read_grey(path, deep=False), LEVELS)
    np.testing.assert_array_equal(read_image(path), np.repeat(LEVELS[..., None], 3, 2))
    own = read_grey(path).astype(float)  # at its own depth, in proportion
    np.testing.assert_allclose(own / own.max(), LEVELS / 255, rtol=1e-7)  # rounding of a float32


@pytest.mark.parametrize(
    ("kind", "expected"), [("1", [[0, 0], [0, 255]]), ("2", [[0, 0], [85, 255]]), ("4", LEVELS)]
)
def test_few_bits_fill_the_range(kind: str, expected: list, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_grey(write_type(kind, tmp_path), deep=False), expected)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("int32", "type int32 from 0 to 65535"),
        ("float255", "type float32 from 0 to 255"),
        ("transparent", "partly transparent"),
        ("cmyk", "mode CMYK, not a map"),
        ("colour", "in colour"),
        ("rgb16", "16 bits in each of several channels"),
        ("white16", "count from white"),
        ("linear", "linear light"),
    ],
)
def test_an_image_without_a_meaning_is_refused_by_name(kind: str, cause: str, tmp_path: Path) -> None:
    path = write_type(kind, tmp_path)
    with pytest.raises(InputError, match=rf"{path.name} .*{cause}"):
        read_image(path) if kind == "linear" else read_grey(path, deep=False)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".tif"])
def test_images_are_upright(kind: str, tmp_path: Path) -> None:
    path = write_type(kind, tmp_path)
    assert image_size(path) == (32, 16)
    upright = np.repeat(np.repeat(LEVELS, 16, 0), 8, 1)
    # JPEG at Pillow's quality of 75
    assert np.abs(read_image(path)[..., 0].astype(int) - upright).max() < 12
    assert np.abs(read_grey(path).astype(int) - upright).max() < 12


@pytest.mark.parametrize(("side", "cause"), [(65_500, "pixels"), (65_535, "cannot be read")])
def test_an_absurd_header_is_refused_before_memory_is_taken(side: int, cause: str, picture: Path) -> None:
    data = bytearray(picture.read_bytes())
    place = data.find(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", side, side)
    picture.write_bytes(bytes(data))
    for read in (read_image, read_grey, image_size):
        with pytest.raises(InputError, match=cause):
            read(picture)


FIXATED = np.array([[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    "matrix",
    [FIXATED.astype(bool), FIXATED.astype(np.float64), sparse.csc_matrix(FIXATED.astype(float)), FIXATED * 7],
    ids=["logical", "double", "sparse", "int64"],
)
@pytest.mark.parametrize("compressed", [True, False])
def test_matrices_of_every_type_are_the_same_points(matrix: object, compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / "fixMap_00001.mat"
    savemat(path, {"eyeMap": matrix}, do_compression=compressed)
    np.testing.assert_array_equal(read_matrix(path, "eyeMap") != 0, FIXATED)


@pytest.mark.parametrize(
    ("matrix", "cause"),
    [
        (FIXATED * 1j, "complex numbers"),
        (np.array([[FIXATED, 1]], object), "a cell array"),
        ({"a": FIXATED}, "a structure"),
        ("text", "text"),
        (np.zeros((0, 0)), "has size 0 x 0"),
        (np.zeros((2, 3, 4)), "has size 2 x 3 x 4"),
        (np.where(FIXATED, np.nan, 0), "2 values that are NaN or infinite"),
        (np.full((2, 3), np.inf), "6 values that are NaN or infinite"),
    ],
)
def test_what_is_no_matrix_is_refused_by_name(matrix: object, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "fixMap_00001.mat"
    savemat(path, {"eyeMap": matrix})
    with pytest.raises(InputError, match=rf"fixMap_00001\.mat: eyeMap .*{cause}"):
        read_matrix(path, "eyeMap")


def test_version_7_3_has_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "fixMap_00001.mat"
    path.write_bytes(
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM" + b"\x89HDF" + bytes(600)
    )
    with pytest.raises(InputError, match="save it with `save -v7`"):
        read_matrix(path, "eyeMap")
