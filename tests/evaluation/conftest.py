"""Predictions made on the spot: ground-truth maps of the small corpus, in the folder layout of any program."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.entries import VideoEntry


@pytest.fixture
def entries(corpus: Path) -> list[VideoEntry]:
    """Test videos of split 1."""
    return read_videos(corpus, ["AVAD"], 1, "test")


@pytest.fixture
def copy_truth(corpus: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes each video's own ground-truth maps as its predictions; returns the folder."""

    def copy(name: str = "predictions", below: str = "AVAD", split: int | None = None) -> Path:
        folder = tmp_path / name
        for video in sorted((corpus / "annotations" / "AVAD").iterdir()):
            if split is None or _tested(corpus, split, video.name):
                shutil.copytree(video / "maps", folder / below / video.name)
        return folder

    return copy


def _tested(root: Path, split: int, video: str) -> bool:
    return any(entry.video == video for entry in read_videos(root, ["AVAD"], split, "test"))
