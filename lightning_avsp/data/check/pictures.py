"""One picture file: is it there whole, how large is it, is it blank? Without torch, so that processes start fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Depth = Literal["header", "ends", "whole"]
"""``header``: size and header. ``ends``: also the end marker, decoding where it is not where it should be.
``whole``: every pixel's code is read."""

_JPEG = (".jpg", ".jpeg")
#: Enough for the header of nearly every JPEG; those with long embedded profiles are read whole.
_HEAD = 16_384


@dataclass(frozen=True)
class PictureState:
    """What was found of a picture."""

    size: tuple[int, int] | None = None
    """(height, width) in pixels, or None where it cannot be known."""
    problem: Literal["zero_byte", "truncated"] | None = None
    detail: str = ""
    blank: bool | None = None
    """Whether every pixel is 0; None if nobody looked."""


def inspect_picture(path: Path, depth: Depth, want_blank: bool = False) -> PictureState:
    """State of a picture; never raises for what the file holds.

    Args:
        path: JPEG, or anything else that Pillow reads.
        depth: How closely to look.
        want_blank: Whether to say if it is blank; needs ``whole``.
    """
    try:
        length = path.stat().st_size
        if length == 0:
            return PictureState(problem="zero_byte", detail="0 bytes")
        if path.suffix.lower() in _JPEG:
            return _inspect_jpeg(path, length, depth, want_blank)
        return _inspect_other(path, length, depth, want_blank)
    except OSError as error:
        return PictureState(problem="truncated", detail=f"cannot be read: {error}")


def _inspect_jpeg(path: Path, length: int, depth: Depth, want_blank: bool) -> PictureState:
    import simplejpeg

    with path.open("rb") as file:
        data = file.read() if depth == "whole" else file.read(_HEAD)
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        except ValueError as error:
            data += file.read()  # a long header, or a broken one
            try:
                height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            except ValueError:
                return PictureState(problem="truncated", detail=f"{length} bytes, no whole header: {error}")
        size = (int(height), int(width))
        if depth == "header":
            return PictureState(size)
        if depth == "ends":
            file.seek(-2, 2)
            if file.read(2) == b"\xff\xd9":
                return PictureState(size)
            file.seek(0)
            data = file.read()
    # No end marker at the end: cut off, or only followed by something else. Decoding tells.
    try:
        small = simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:
        return PictureState(size, "truncated", f"{length} bytes: {error}")
    if not want_blank:
        return PictureState(size)
    # An eighth of the size rounds specks away, so blankness is confirmed at full size.
    blank = not small.any() and not simplejpeg.decode_jpeg(data, "GRAY").any()
    return PictureState(size, blank=blank)


def _inspect_other(path: Path, length: int, depth: Depth, want_blank: bool) -> PictureState:
    from PIL import Image

    try:
        with Image.open(path) as image:
            size = (image.height, image.width)
            if depth == "header":
                return PictureState(size)
            if depth == "ends" and image.format == "PNG" and _ends_like_png(path):
                return PictureState(size)
        with Image.open(path) as image:
            image.verify()  # checksums of the parts: Pillow shows a PNG whose last bytes are gone without a word
        with Image.open(path) as image:
            image.load()
            blank = image.convert("L").getextrema()[1] == 0 if want_blank else None
            return PictureState(size, blank=blank)
    except (OSError, SyntaxError, ValueError) as error:
        return PictureState(problem="truncated", detail=f"{length} bytes: {error}")


def _ends_like_png(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-12, 2)
        return file.read() == b"\x00\x00\x00\x00IEND\xaeB`\x82"
