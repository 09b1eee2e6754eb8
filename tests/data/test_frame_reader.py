"""Frames of clips, read with and without a memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_avsp.data.frame_reader import FrameReader
from lightning_avsp.data.sources import PictureFrames
from lightning_avsp.media.images import read_image


def test_clip_of_frames_with_repeats(corpus_root: Path) -> None:
    folder = next((corpus_root / "video_frames" / "AVAD").iterdir())
    clip = FrameReader((32, 48)).read(PictureFrames(folder, "img_{:05d}.jpg"), (1, 1, 2, 3))
    assert clip.shape == (4, 32, 48, 3)
    assert clip.dtype == torch.uint8
    assert torch.equal(clip[0], clip[1])
    assert not torch.equal(clip[1], clip[2])


def test_memory_changes_nothing_and_is_bounded(corpus_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = next((corpus_root / "video_frames" / "AVAD").iterdir())
    source = PictureFrames(folder, "img_{:05d}.jpg")
    decoded: list[Path] = []

    def counting(path: Path, size: tuple[int, int]) -> np.ndarray:
        decoded.append(path)
        return read_image(path, size)

    monkeypatch.setattr("lightning_avsp.data.sources.read_image", counting)
    kept, forgetful = FrameReader((32, 48), capacity=4), FrameReader((32, 48))
    for start in range(17):
        window = range(start + 1, start + 5)
        assert torch.equal(kept.read(source, window), forgetful.read(source, window))
    assert len(decoded) == 20 + 17 * 4  # remembered: each frame once
