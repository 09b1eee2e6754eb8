"""Images from disk, read as the types that they are, and images at the network's size.

A JPEG is decoded at the smallest of libjpeg's scales (k/8) that still covers the wanted size, then resized
with a triangle filter whose support grows with the reduction (antialiased bilinear). Against decoding at full
size and resizing with the same filter this differs by 51 to 53 dB on natural 720p frames and is two to three
times as fast.
"""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError

from lightning_avsp.errors import InputError

MOST_PIXELS = 1 << 27
"""Pixels beyond which an image is refused by its header: 134 million, 16 times an 8K frame."""
GREY_TOLERANCE = 2
"""Levels by which the channels of a grey image may differ: lossy coders round each of them."""
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, zlib.error)
"""Errors that Pillow, numpy and simplejpeg raise for damaged files."""
_ORIENTATION, _PHOTOMETRIC = 274, 262  # tags of EXIF and TIFF


def image_size(path: Path) -> tuple[int, int]:
    """Read the (height, width) of an image, as it is shown, from its header alone.

    Raises:
        InputError: If the file is missing or no image.
    """
    with _named_damage(path), _open(path) as image:
        turned = "exif" in image.info and image.getexif().get(_ORIENTATION, 1) > 4
        return (image.width, image.height) if turned else (image.height, image.width)


def read_image(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image as uint8 (H, W, 3), RGB, upright.

    Deeper images are scaled over the range of their type.

    Args:
        path: JPEG, or anything else that Pillow reads.
        size: Wanted (height, width) in pixels; None keeps the image's own.

    Raises:
        InputError: If the file is missing, truncated, no image, or of a type without a range; the message names it.
    """
    with _named_damage(path):
        pixels = _decode(path, size)
    return pixels if size is None else resize(pixels, size)


def read_grey(path: Path, deep: bool = True) -> np.ndarray:
    """Read a grey image (H, W).

    Args:
        path: JPEG, or anything else that Pillow reads.
        deep: Values as they are stored, of any type, and float32 where channels differ a little; else all scaled to
            uint8 (:func:`as_bytes`).

    Raises:
        InputError: If it cannot be read, is in colour, CMYK or partly transparent.
    """
    with _named_damage(path):
        data = path.read_bytes()
        if data[:2] == b"\xff\xd8" and _jpeg_header(data)[2] == "Gray" and not _has_exif(data):
            return decode_jpeg(data, "GRAY")
        with _open(io.BytesIO(data)) as image:
            # Of several channels Pillow keeps the upper bytes alone.
            if not image.mode.startswith("I;16") and ";16" in str(getattr(image, "tile", "")):
                raise InputError(f"{path} has 16 bits in each of several channels: save it in grey")
            image.load()
            values = _stored_values(ImageOps.exif_transpose(image), path)
        grey = reduce_channels(values, GREY_TOLERANCE, path) if values.ndim == 3 else values
        if deep:
            return grey
        return as_bytes(np.round(grey).astype(np.uint8) if values.ndim == 3 else grey, path)


def as_bytes(values: np.ndarray, name: object) -> np.ndarray:
    """Scale grey values to uint8 over the range of their type: 255 is 1 of bool, 65535 of uint16, 1.0 of floats.

    Args:
        values: Result of :func:`read_grey`, any shape.
        name: Name of the image, for messages.

    Raises:
        InputError: If the type has no range (32-bit integers, floats outside 0 to 1).
    """
    kind = values.dtype.newbyteorder("=")  # TIFF may be big-endian
    if kind == np.uint8:
        return values
    if kind == np.bool_:
        return values.astype(np.uint8) * 255
    if kind == np.uint16:
        # 65535 / 255 = 257, rounded; in 16 bits the sum would overflow
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if kind.kind != "f" or not (low >= 0 and high <= 1):  # False for NaN too
        raise InputError(
            f"{name} holds values of type {kind} from {low:g} to {high:g}, whose full range is not known: save it with "
            "8 or 16 bits, or as floats in 0 to 1"
        )
    return np.round(values * 255).astype(np.uint8)


def reduce_channels(pixels: np.ndarray, tolerance: int, name: object) -> np.ndarray:
    """Reduce an image (H, W, C) whose channels agree to one (H, W): of its type, or their mean in float32.

    Raises:
        InputError: If they differ by more than ``tolerance`` levels.
    """
    spread = int((pixels.max(axis=-1).astype(np.int64) - pixels.min(axis=-1)).max(initial=0))
    if spread > tolerance:
        raise InputError(
            f"{name} is in colour (its channels differ by up to {spread} levels), but a map is grey: "
            "give the maps themselves, not heat maps or overlays"
        )
    if spread == 0:
        return np.ascontiguousarray(pixels[..., 0])
    return pixels.mean(axis=-1).astype(np.float32)


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image, uint8 (h, w, 3) or (h, w), to (height, width), antialiased bilinear."""
    if pixels.shape[:2] == size:
        return pixels
    image = torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1)[None]  # (1, C, h, w), channels last
    resized = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0).reshape(*size, *pixels.shape[2:]).numpy()


def decode_jpeg(
    data: bytes | memoryview,
    mode: Literal["RGB", "GRAY"] = "RGB",
    at_least: tuple[int, int] | None = None,
    into: np.ndarray | None = None,
) -> np.ndarray:
    """Decode a JPEG as uint8, (H, W, 3) or (H, W) for ``GRAY``, as it is stored.

    Args:
        data: The file's bytes.
        mode: Colour or grey.
        at_least: Decode at the smallest of libjpeg's scales that covers this (height, width); at full size if None.
        into: Array of the image's size to decode into, without a copy.

    Raises:
        ValueError: If the bytes are no whole JPEG.
    """
    import simplejpeg

    height, width = at_least or (0, 0)  # 0: no scaling
    # Strict, so that a truncated file raises instead of showing a grey lower half.
    pixels = simplejpeg.decode_jpeg(
        data, colorspace=mode, min_height=height, min_width=width, buffer=into, strict=True
    )
    return pixels if mode == "RGB" else pixels[..., 0]


def _decode(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    data = path.read_bytes()
    # By its first bytes: what is named .jpg may be anything.
    if data[:2] == b"\xff\xd8" and not _has_exif(data):
        _jpeg_header(data)
        return decode_jpeg(data, at_least=size)
    with _open(io.BytesIO(data)) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
            return np.repeat(as_bytes(np.array(upright), path)[..., None], 3, axis=2)
        opaque = _without_alpha(upright, path)
        # The gamma of a linear image is 1; stored values of all others follow sRGB nearly enough.
        if abs(float(image.info.get("gamma", 1 / 2.2)) - 1) < 0.01:
            raise InputError(f"{path} is stored in linear light (gamma 1): save it as sRGB")
        return np.array(opaque.convert("RGB"))  # a copy: torch wants it writable


def _stored_values(image: Image.Image, path: Path) -> np.ndarray:
    """Values of a grey image, (H, W), or (H, W, 3) with channels."""
    opaque = _without_alpha(image, path)
    mode = {"1": "L", "P": "RGB"}.get(opaque.mode, opaque.mode)  # indices of a palette are no grey values
    values = np.array(opaque if mode == opaque.mode else opaque.convert(mode))
    if values.ndim == 3 and mode != "RGB":
        raise InputError(f"{path} is an image of mode {image.mode}, not a map: save it in grey")
    return values


def _without_alpha(image: Image.Image, path: Path) -> Image.Image:
    """Drop a transparency that hides nothing, and refuse any other."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        if coloured.getchannel("A").getextrema() != (255, 255):
            raise InputError(
                f"{path} is partly transparent, which has no meaning here: save it without alpha"
            )
        return coloured.convert("L" if image.mode in ("L", "LA", "La") else "RGB")
    return image


def _open(source: Path | io.BytesIO) -> Image.Image:
    """Open an image, and refuse absurd sizes before anything is allocated for them; pixels are read from bytes only."""
    # of a path, Pillow maps an uncompressed TIFF into memory, and scrambles one that lies on its side
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images, which have a limit of their own here
        image = Image.open(source)
    _check_size(image.height, image.width)
    if image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
        raise ValueError("its 16 bits count from white (0) to black, save it with 0 for black")
    return image


def _jpeg_header(data: bytes) -> tuple[int, int, str]:
    """(height, width, colour space) of a JPEG; refuses one that is too large."""
    import simplejpeg

    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    _check_size(height, width)
    return height, width, space


def _check_size(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise ValueError(f"its header states {height} x {width} pixels, more than {MOST_PIXELS:,} in all")


def _has_exif(data: bytes) -> bool:
    """True if a JPEG may be stored rotated or mirrored."""
    return b"Exif\0\0" in data


@contextmanager
def _named_damage(path: Path) -> Iterator[None]:
    """Turn an error of a decoder into one that names the file; ours name it already."""
    try:
        yield
    except InputError:
        raise
    except UNREADABLE as error:
        if not path.exists():
            raise InputError(f"{path} is missing; unpack the corpus again") from error
        # Pillow would name the buffer that the bytes were read into
        why = "of no known format" if isinstance(error, UnidentifiedImageError) else error
        state = f"{path} ({path.stat().st_size} bytes)"
        raise InputError(f"{state} cannot be read as an image: {why}; replace this file") from error
