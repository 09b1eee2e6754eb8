"""Means of what a network shows over test videos, by what decides where people look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from statistics import fmean, stdev
from typing import Any

from lightning_avsp.data.entries import VideoKey
from lightning_avsp.evaluation.audit.subject import video_groups
from lightning_avsp.evaluation.explain.clips import Explained
from lightning_avsp.evaluation.explain.drawing import numbers

Row = dict[str, Any]


def summarise(
    explained: Explained, batch: int = 8, progress: Callable[[int, int], None] | None = None
) -> list[Row]:
    """Mean over videos of the mean over frames of every number, by group of videos and by sound.

    Args:
        explained: The test frames.
        batch: Clips per forward pass.
        progress: Called with frames done and frames in all.

    Returns:
        Rows with ``group``, ``sound``, ``name``, ``label``, ``mean``, ``sd`` (over videos) and ``videos``.
    """
    found: dict[tuple[str, str, str], dict[VideoKey, list[float]]] = defaultdict(lambda: defaultdict(list))
    total = len(explained.frames)
    for start in range(0, total, batch):
        heard = explained.explain(list(range(start, min(start + batch, total))))
        keys = list(zip(heard.batch["corpus"], heard.batch["video_id"], strict=True))
        for sound, name, labels, values in numbers(heard):
            for column, label in enumerate(labels):
                for key, value in zip(keys, values[:, column].tolist(), strict=True):
                    if value == value:  # not-a-number: this clip has no such value, e.g. no caption
                        found[sound, name, label][key].append(value)
        if progress is not None:
            progress(min(start + batch, total), total)
    rows = []
    groups = video_groups(explained.module, explained.module.videos("test"))
    for group, members in groups.items():
        for (sound, name, label), by_video in found.items():
            means = [fmean(by_video[key]) for key in members if by_video.get(key)]
            if means:
                spread = stdev(means) if len(means) > 1 else None
                rows.append(
                    {
                        "group": group,
                        "sound": sound,
                        "name": name,
                        "label": label,
                        "mean": fmean(means),
                        "sd": spread,
                        "videos": len(means),
                    }
                )
    return rows
