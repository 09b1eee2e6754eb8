"""Lists and JSON files that come with corpora: decoding, parsing, and the names in them, which become paths."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError

LONGEST_NAME = 200  # bytes: file systems allow 255, and suffixes are added to a name


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without the byte order mark that some editors put first.

    Raises:
        InputError: If it cannot be read, or is in another encoding; the message names the file.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte 0x{error.object[error.start]:02x} at position {error.start}); save it as "
            "UTF-8"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: If it cannot be read, is no JSON, or is nested too deeply; the message names the file.
    """
    return parse_json(read_text(path), str(path))


def parse_json(text: str | bytes, where: str) -> Any:
    """Parse JSON.

    Args:
        text: The JSON.
        where: File, or file and line, for the message.

    Raises:
        InputError: If it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    # RecursionError: a few kilobytes of brackets are enough
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{where} is no JSON ({reason}); replace or correct it") from error


def check_name(name: object) -> str:
    r"""Return a name from a list that stays inside its folder: every reader builds paths from such names.

    Raises:
        InputError: If it has ``/``, ``\``, control characters, more than :data:`LONGEST_NAME` bytes, or is empty,
            ``.`` or ``..``.
    """
    if (
        not isinstance(name, str)
        or name in ("", ".", "..")
        or "/" in name
        or "\\" in name
        # control characters, halves of surrogate pairs, line and paragraph separators
        or any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)
        or len(name.encode()) > LONGEST_NAME
    ):
        raise InputError(
            f"{ascii(name)[:80]} cannot name a video: a name has 1 to {LONGEST_NAME} bytes and no '/', '\\', '..' or "
            "control characters"
        )
    return name
