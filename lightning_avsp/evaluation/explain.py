"""Explanations of test clips with own and mismatched audio: drawn, as numbers, and averaged over videos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.callbacks.figures import image_grid
from lightning_avsp.data.entries import VideoKey
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.data import AuditData, scored_frames, video_groups
from lightning_avsp.evaluation.audit.perturbation import MISMATCHED, OWN, PerturbedFrames, perturbations
from lightning_avsp.structures import Explanation, SaliencyBatch
from lightning_avsp.tasks.loading import LoadedModel


@dataclass(frozen=True)
class ExplainedClips:
    """A batch and the network's explanations by title of the audio that it was given."""

    batch: SaliencyBatch
    explanations: dict[str, list[Explanation]]

    def numbers(self, tokens: bool = True) -> list[tuple[str, str, tuple[str, ...], Tensor]]:
        """Return (audio, name, labels, values (B, K)) of every explanation; of a heat map its mean and largest.

        Without ``tokens`` those of single tokens are left out: the third word of one caption is not that of another.
        """
        found: list[tuple[str, str, tuple[str, ...], Tensor]] = []
        for audio, explanations in self.explanations.items():
            for explanation in explanations:
                # its place in the caption says nothing of its meaning
                if explanation.token is not None and not tokens:
                    continue
                values = explanation.values
                labels = explanation.labels or tuple(map(str, range(values.shape[1])))
                # two numbers stand for a heat map in tables and averages
                if values.dim() == 4:
                    flat = values.flatten(1)
                    values = torch.stack([flat.mean(dim=1), flat.amax(dim=1)], dim=1)
                    labels = ("mean", "largest")
                found.append((audio, explanation.name, labels, values))
        return found


class Explainer:
    """Test frames of a corpus, and a network that explains its maps of them.

    Raises:
        InputError: If the data cannot be read.
    """

    def __init__(self, model: LoadedModel, data: AuditData) -> None:
        self.model = model
        self.module = data.module(model)
        self.module.setup("test")
        own = scored_frames(self.module)
        inputs = {p.name: p for p in perturbations("audio", 0) if p.name in (OWN, MISMATCHED)}
        # own and mismatched audio alone: a clip is explained as it is, or with a contradiction
        readers = {}
        if len(own.videos) > 1:  # a single video has no mismatched audio
            options = inputs[MISMATCHED].options or {}
            readers[MISMATCHED] = scored_frames(data.module(model, **options)).reader
        self.titles = {name: perturbation.title for name, perturbation in inputs.items()}
        self.frames = PerturbedFrames("audio", own, readers)

    def find(self, video: str | None, frame: int | None) -> int:
        """Find the index of a test frame by video and number; the middle of the first test video by default.

        Raises:
            InputError: If there is no such test video or frame.
        """
        frames = self.frames.frames
        names = [entry.video for entry in frames.videos]
        if video is not None and video not in names:
            raise InputError(f"{video!r} is no test video; these are: {', '.join(names[:8])}")
        entry = frames.videos[0 if video is None else names.index(video)]
        # the middle: the first clips of a video are padding
        wanted = entry.n_frames // 2 + 1 if frame is None else frame
        for index in range(len(frames)):
            found, clip = frames.clip(index)
            if found.key == entry.key and clip.target == wanted:
                return index
        raise InputError(f"{entry.video} has no scored frame {wanted}; it has frames 1 to {entry.n_frames}")

    @torch.inference_mode()
    def explain(self, indices: list[int]) -> ExplainedClips:
        """Explain some test frames, with each audio."""
        batch, audio = PerturbedFrames.collate([self.frames[index] for index in indices])
        inputs = self.model.inputs(batch)
        saliency = batch["saliency"].to(self.model.device).float() / 255
        found = {}
        for name, waves in audio.items():
            given = inputs._replace(audio=waves.to(self.model.device))
            explanations = self.model.network.explain(*given, saliency)
            found[self.titles[name]] = [replace(e, values=e.values.float().cpu()) for e in explanations]
        return ExplainedClips(batch, found)

    def summarise(
        self, batch: int = 8, progress: Callable[[int, int], None] | None = None
    ) -> list[dict[str, Any]]:
        """Average every number over frames and videos, by group of videos and by audio.

        Args:
            batch: Clips per forward pass.
            progress: Called with frames done and frames in all.

        Returns:
            Rows with ``group``, ``audio``, ``name``, ``label``, ``mean``, ``sd`` (over videos) and ``videos``.
        """
        found: dict[tuple[str, str, str], dict[VideoKey, list[float]]] = defaultdict(
            lambda: defaultdict(list)
        )
        total = len(self.frames)
        for start in range(0, total, batch):
            clips = self.explain(list(range(start, min(start + batch, total))))
            keys = list(zip(clips.batch["corpus"], clips.batch["video_id"], strict=True))
            for audio, name, labels, values in clips.numbers(tokens=False):
                for column, label in enumerate(labels):
                    for key, value in zip(keys, values[:, column].tolist(), strict=True):
                        if value == value:  # NaN: this clip has no such value, e.g. no caption
                            found[audio, name, label][key].append(value)
            if progress is not None:
                progress(min(start + batch, total), total)
        rows = []
        for group, members in video_groups(self.module, self.module.videos("test")).items():
            for (audio, name, label), by_video in found.items():
                # videos weigh alike, however long they are
                means = [fmean(by_video[key]) for key in members if by_video.get(key)]
                if means:
                    row = {"group": group, "audio": audio, "name": name, "label": label}
                    # over videos, the unit that papers' tables average
                    spread = stdev(means) if len(means) > 1 else None
                    rows.append({**row, "mean": fmean(means), "sd": spread, "videos": len(means)})
        return rows


FRAMES_SHOWN = 6
"""At most so many time steps are drawn."""


def draw_clip(
    clips: ExplainedClips,
    folder: Path,
    target_index: int,
    caption: str | None = None,
    words: Sequence[str] = (),
) -> list[Path]:
    """Draw each explanation that is a heat map of the batch's first clip as a PNG file; returns the files.

    Args:
        clips: The clip and its explanations.
        folder: Folder of the PNG files.
        target_index: Index of the target frame in the clip.
        caption: Caption of the frame, drawn under every title.
        words: Its tokens, start and end token left out.
    """
    rows: dict[str, dict[str, Explanation]] = {}
    for audio, explanations in clips.explanations.items():
        for explanation in explanations:
            if explanation.values.dim() == 4:
                token, title = explanation.token, explanation.title
                if token is not None and 0 < token <= len(words):
                    title = f"{words[token - 1]}: {title}"
                if caption is not None:
                    title = f"{title}\n{caption}"
                rows.setdefault(explanation.name, {})[audio] = replace(explanation, title=title)
    frames = clips.batch["video"][0]  # (T, H, W, 3)
    return [draw_rows(folder / f"{name}.png", frames, found, target_index) for name, found in rows.items()]


def draw_rows(path: Path, frames: Tensor, rows: dict[str, Explanation], target_index: int) -> Path:
    """Draw the heat maps of one explanation, a row for each audio, on one colour scale to compare rows.

    Args:
        path: PNG file to write.
        frames: uint8 (T, H, W, 3).
        rows: Explanation by audio, its values (B, T', h, w).
        target_index: Frame under a map that has no time axis.
    """
    first = next(iter(rows.values()))
    steps = first.values.shape[1]
    shown = np.unique(np.linspace(0, steps - 1, min(steps, FRAMES_SHOWN)).round().astype(int))
    low = min(float(e.values[0].min()) for e in rows.values())
    high = max(float(e.values[0].max()) for e in rows.values())  # one scale: rows are there to be compared
    size = (2.6 * len(shown) + 0.8, 1.7 * len(rows) + 0.5)
    with image_grid(path, len(rows), len(shown), size) as (figure, axes):
        drawn = None
        for axis_row, (audio, explanation) in zip(axes, rows.items(), strict=True):
            for axis, step in zip(axis_row, shown, strict=True):
                # encoders shorten the time axis: a step is drawn over the middle of the frames that it covers
                index = target_index if steps == 1 else round((step + 0.5) / steps * len(frames) - 0.5)
                image = frames[index].numpy()
                # enlarged in blocks, which show the map's true resolution
                heat = F.interpolate(
                    explanation.values[:1, step, None], size=image.shape[:2], mode="nearest-exact"
                )
                axis.imshow(image)
                drawn = axis.imshow(heat[0, 0].numpy(), cmap="magma", alpha=0.6, vmin=low, vmax=high)
                axis.set_axis_off()
            axis_row[0].set_title(audio, fontsize=7, loc="left")
        figure.suptitle(first.title, fontsize=8)
        assert drawn is not None
        figure.colorbar(drawn, ax=axes, shrink=0.8)
    return path
