"""One file of fixations: readable, with the right matrix, of which size, with how many points."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lightning_avsp.data.check.pictures import inspect_picture

#: As ``lightning_avsp.data.maps.FIXATION_KEY``, which cannot be imported without torch.
MATRIX = "eyeMap"


@dataclass(frozen=True)
class FixationState:
    """What was found of a file of fixations."""

    size: tuple[int, int] | None = None
    points: int | None = None
    """Fixated pixels; None where they were not counted."""
    problem: Literal["zero_byte", "unreadable", "key", "size"] | None = None
    detail: str = ""


def inspect_fixations(path: Path, content: bool = True, key: str = MATRIX) -> FixationState:
    """State of a MATLAB file or a binary picture of fixations; never raises for what the file holds.

    Args:
        path: The file; ``.mat`` is read as MATLAB, anything else as a picture.
        content: Whether to read the file, or only to see that it is not empty.
        key: Name of the matrix in a MATLAB file.
    """
    if path.suffix.lower() != ".mat":
        return _inspect_picture(path, content)
    try:
        if not content:
            empty = path.stat().st_size == 0
            return FixationState(problem="zero_byte", detail="0 bytes") if empty else FixationState()
        data = path.read_bytes()
    except OSError as error:
        return FixationState(problem="unreadable", detail=f"cannot be read: {error}")
    if not data:
        return FixationState(problem="zero_byte", detail="0 bytes")
    return _inspect_matrix(data, key)


def _inspect_matrix(data: bytes, key: str) -> FixationState:
    from scipy.io import loadmat

    try:
        found = loadmat(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001  # scipy lets zlib, struct and index errors of garbage through
        return FixationState(problem="unreadable", detail=f"{len(data)} bytes, no MATLAB file: {error}")
    matrices = {name: np.asarray(value) for name, value in found.items() if not name.startswith("__")}
    shapes = {name: matrix.shape for name, matrix in matrices.items()}
    if key in matrices and matrices[key].dtype.kind not in "biuf":
        detail = f"{key} holds {matrices[key].dtype}, not numbers"
        return FixationState(problem="unreadable", detail=detail)
    points = int(np.count_nonzero(matrices[key])) if key in matrices else None
    return _judge(shapes, points, key)


def _judge(shapes: dict[str, tuple[int, ...]], points: int | None, key: str) -> FixationState:
    if key not in shapes:
        held = ", ".join(sorted(shapes)) or "none"
        return FixationState(problem="key", detail=f"no matrix {key!r}; its matrices: {held}")
    shape = shapes[key]
    if len(shape) != 2 or 0 in shape:
        text = " x ".join(map(str, shape))
        return FixationState(problem="size", detail=f"{key} is {text}, not a matrix of pixels")
    return FixationState((int(shape[0]), int(shape[1])), points)


def _inspect_picture(path: Path, content: bool) -> FixationState:
    state = inspect_picture(path, "whole" if content else "header")
    if state.problem is not None:
        problem: Literal["zero_byte", "unreadable"] = (
            "zero_byte" if state.problem == "zero_byte" else "unreadable"
        )
        return FixationState(state.size, None, problem, state.detail)
    if not content:
        return FixationState(state.size)
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    return FixationState(state.size, int(np.count_nonzero(pixels)))
