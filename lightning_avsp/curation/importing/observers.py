"""Positions by observer beside the merged maps, for human ceilings and the consistency of observers."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from lightning_avsp.curation.importing.frames import FrameGaze
from lightning_avsp.errors import InputError

OBSERVERS = "observers.npz"
"""In a video's annotation folder."""


def write_observers(folder: Path, gaze: FrameGaze) -> None:
    """Write the position of each observer in each frame: ``frame`` (from 0), ``observer``, ``x``, ``y``, ``names``."""
    arrays = {name: gaze.positions[name].to_numpy() for name in ("frame", "observer", "x", "y")}
    np.savez_compressed(folder / OBSERVERS, names=np.array(gaze.observers, dtype=np.str_), **arrays)


def read_observers(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read the positions of a video by observer: ``frame``, ``observer``, ``x``, ``y`` (shares), and their names.

    Raises:
        InputError: If the file is missing or damaged.
    """
    path = folder / OBSERVERS
    try:
        with np.load(path, allow_pickle=False) as file:
            table = pd.DataFrame({name: file[name] for name in ("frame", "observer", "x", "y")})
            return table, [str(name) for name in file["names"]]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read ({error}); import the video again with --overwrite"
        ) from error
