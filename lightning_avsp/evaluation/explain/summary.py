"""Means of a network's explanations over test videos, by the condition that decides where observers look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from statistics import fmean, stdev
from typing import Any

from lightning_avsp.data.entries import VideoKey
from lightning_avsp.evaluation.audit.data import video_groups
from lightning_avsp.evaluation.explain.clips import Explainer
from lightning_avsp.evaluation.explain.drawing import numbers


def summarise(
    explainer: Explainer, batch: int = 8, progress: Callable[[int, int], None] | None = None
) -> list[dict[str, Any]]:
    """Average every number over frames and videos, by group of videos and by audio.

    Args:
        explainer: Explains the test frames.
        batch: Clips per forward pass.
        progress: Called with frames done and frames in all.

    Returns:
        Rows with ``group``, ``audio``, ``name``, ``label``, ``mean``, ``sd`` (over videos) and ``videos``.
    """
    found: dict[tuple[str, str, str], dict[VideoKey, list[float]]] = defaultdict(lambda: defaultdict(list))
    total = len(explainer.frames)
    for start in range(0, total, batch):
        clips = explainer.explain(list(range(start, min(start + batch, total))))
        keys = list(zip(clips.batch["corpus"], clips.batch["video_id"], strict=True))
        for audio, name, labels, values in numbers(clips):
            for column, label in enumerate(labels):
                for key, value in zip(keys, values[:, column].tolist(), strict=True):
                    if value == value:  # NaN: this clip has no such value, e.g. no caption
                        found[audio, name, label][key].append(value)
        if progress is not None:
            progress(min(start + batch, total), total)
    rows = []
    for group, members in video_groups(explainer.module, explainer.module.videos("test")).items():
        for (audio, name, label), by_video in found.items():
            means = [fmean(by_video[key]) for key in members if by_video.get(key)]
            if means:
                row = {"group": group, "audio": audio, "name": name, "label": label}
                spread = stdev(means) if len(means) > 1 else None
                rows.append({**row, "mean": fmean(means), "sd": spread, "videos": len(means)})
    return rows
