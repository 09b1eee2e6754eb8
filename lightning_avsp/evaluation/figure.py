"""Comparison figures as papers print them: frames with fixations, ground truth, and the maps of several models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.callbacks.figures import image_grid
from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.clips import evaluation_clip, evaluation_clips
from lightning_avsp.data.collate import collate
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.data import AuditData, scored_frames
from lightning_avsp.evaluation.formatting import shorten
from lightning_avsp.evaluation.predictions import (
    PredictedFiles,
    checked_frames,
    find_video,
    folder_of_split,
    open_file,
)
from lightning_avsp.evaluation.truth import AnnotatedTruth
from lightning_avsp.metrics.functional import saliency_scores
from lightning_avsp.tasks.loading import LoadedModel

FRAME_WIDTH = 640  # pixels: a paper's column is narrower
COMPARED = (48, 64)  # coarse: frames are chosen by where maps differ, not by how sharp their edges are
Style = Literal["map", "overlay", "both"]
_STYLES = ("map", "overlay")


class Shown(NamedTuple):
    """One frame of a test video."""

    entry: VideoEntry
    number: int
    """From 1."""


class FigureColumn(Protocol):
    """Maps of one column."""

    def lacking(self, entry: VideoEntry, numbers: Sequence[int]) -> list[int]:
        """List the frames that have no map, before anything is predicted."""

    def read(self, entry: VideoEntry, numbers: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Return number and map (H, W) of frames of a video, ascending."""


class ModelMaps:
    """Maps of a model, predicted as in its test: the same clips, noise and captions."""

    def __init__(self, model: LoadedModel, data: AuditData) -> None:
        self.model, self.data = model, data
        module = data.module(model)
        module.setup("test")
        self.frames = scored_frames(module)

    def lacking(self, entry: VideoEntry, numbers: Sequence[int]) -> list[int]:
        """List frames at the start that the model's clips do not reach."""
        # under start_padding: skip the first frames have no map, and no column may have a hole
        reached = {clip.target for clip in evaluation_clips(entry.n_frames, self.frames.policy)}
        return [number for number in numbers if number not in reached]

    @torch.inference_mode()
    def read(self, entry: VideoEntry, numbers: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Predict the maps, batch by batch."""
        for start in range(0, len(numbers), self.data.batch):
            part = numbers[start : start + self.data.batch]
            clips = [evaluation_clip(number, entry.n_frames, self.frames.policy) for number in part]
            batch = collate([self.frames.reader.read(entry, clip) for clip in clips])
            # seeded by the frame: the maps of a figure are those that were scored
            maps = self.model.sample(self.model.encode(self.model.inputs(batch)), batch)
            yield from zip(part, maps[:, 0].cpu(), strict=True)


@dataclass(frozen=True)
class FolderMaps:
    """Maps that any program has written, in a folder as `avsp evaluate` reads it, or in one file of one video."""

    path: Path
    root: Path
    split: int
    count_from: int = 1

    def _open(self, entry: VideoEntry) -> PredictedFiles | None:
        if self.path.is_file():
            return open_file(self.path)
        folder, corpus = folder_of_split(self.path, self.split), find_corpus(entry.corpus, self.root)
        return find_video(folder, corpus, entry.video, self.count_from)

    def lacking(self, entry: VideoEntry, numbers: Sequence[int]) -> list[int]:
        """List the frames without a map."""
        found = self._open(entry)
        held = set() if found is None else set(found.numbers)
        return [number for number in numbers if number not in held]

    def read(self, entry: VideoEntry, numbers: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Read the maps."""
        if (found := self._open(entry)) is None:
            raise InputError(f"{self.path} has no maps of {entry.corpus}/{entry.video}")
        # the same refusals as in scoring: a figure of rotated maps is as wrong as their score
        yield from checked_frames(found, numbers, entry, AnnotatedTruth(entry).size(numbers[0]))


class FigureFrames:
    """Test frames of a figure: those that are asked for, or those where maps differ most.

    Args:
        videos: Test videos.
        wanted: Names of videos, each alone or after its corpus and a slash; empty for all.
        numbers: Numbers of frames, from 1; empty to choose them.
        every: Choose among every k-th frame.

    Raises:
        InputError: If there is no such video or frame, or a name alone is that of several videos.
    """

    def __init__(
        self, videos: Sequence[VideoEntry], wanted: Sequence[str], numbers: Sequence[int], every: int
    ) -> None:
        names = {name: one for one in videos for name in (one.video, f"{one.corpus}/{one.video}")}
        if unknown := [name for name in wanted if name not in names]:
            known = shorten([one.video for one in videos], 8)
            raise InputError(f"{shorten(unknown)}: no test videos of this split; these are: {known}")
        alone = Counter(one.video for one in videos)
        if shared := [name for name in wanted if alone[name] > 1]:
            places = [f"{one.corpus}/{one.video}" for one in videos if one.video in shared]
            raise InputError(
                f"{shorten(shared)}: videos of several corpora; name one of {shorten(places, 8)}"
            )
        self.videos = [names[name] for name in wanted] or list(videos)
        self.numbers, self.every = sorted(set(numbers)), every
        for one in self.videos if numbers else ():
            if outside := [number for number in self.numbers if not 1 <= number <= one.n_frames]:
                raise InputError(f"{one.video} has no frame {outside[0]}; it has frames 1 to {one.n_frames}")

    def candidates(self, columns: Mapping[str, FigureColumn]) -> list[tuple[VideoEntry, list[int]]]:
        """List the frames that every column has, by video.

        Raises:
            InputError: If a column lacks frames that are asked for by number, or nothing is left to choose from.
        """
        found = []
        for entry in self.videos:
            numbers = self.numbers or list(range(1, entry.n_frames + 1, self.every))
            lacking = {name: set(maps.lacking(entry, numbers)) for name, maps in columns.items()}
            for name, gaps in lacking.items():
                if gaps and self.numbers:
                    raise InputError(f"{name} has no map of {entry.corpus}/{entry.video}, frame {min(gaps)}")
            # a row in which one column is empty compares nothing
            shared = [number for number in numbers if not any(number in gaps for gaps in lacking.values())]
            if shared:
                found.append((entry, shared))
        if not found:
            raise InputError(
                f"no test video has maps of all of {', '.join(columns)}: check folders and split"
            )
        return found

    def choose(
        self,
        columns: Mapping[str, FigureColumn],
        rows: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Shown]:
        """Choose the frames of a figure; without numbers, where the maps differ most, of different videos first.

        Maps differ by 1 minus their CC, on average over pairs of columns; a single column is compared with the ground
        truth.

        Args:
            columns: Maps by title.
            rows: Frames to choose.
            progress: Called with videos done and videos in all.

        Raises:
            InputError: As :meth:`candidates`, or if a map cannot be read.
        """
        candidates = self.candidates(columns)
        if self.numbers:
            return [Shown(entry, number) for entry, numbers in candidates for number in numbers]
        ranked: list[tuple[int, float, Shown]] = []
        for done, (entry, numbers) in enumerate(candidates, start=1):
            maps = [
                torch.stack([_small(one) for _, one in each.read(entry, numbers)])
                for each in columns.values()
            ]
            # a single column differs from the ground truth, or from nothing
            if len(maps) == 1:
                maps.append(torch.stack([_small(AnnotatedTruth(entry).map(number)) for number in numbers]))
            # CC sees the pattern, whatever the models' ranges
            pairs = [saliency_scores(a, names=("cc",), target=b)["cc"] for a, b in combinations(maps, 2)]
            # CC of a constant map is undefined, and such a frame shows nothing
            differences = (1 - torch.stack(pairs).nan_to_num(1.0)).mean(0).tolist()
            order = sorted(zip(differences, numbers, strict=True), key=lambda one: -one[0])
            if progress is not None:
                progress(done, len(candidates))
            # best frames of all videos first, then second ones: one video would fill the figure
            ranked += [(place, -gap, Shown(entry, number)) for place, (gap, number) in enumerate(order)]
        chosen = sorted(ranked, key=lambda one: one[:2])[:rows]
        return sorted((one for *_, one in chosen), key=lambda one: (self.videos.index(one.entry), one.number))


def draw_figure(
    paths: Sequence[Path],
    shown: Sequence[Shown],
    columns: Mapping[str, FigureColumn],
    style: Style = "map",
    colours: str = "inferno",
) -> None:
    """Draw a row for each frame: the frame with its fixations, ground truth, then the columns' maps.

    Args:
        paths: Files to write, PNG or PDF by their ending; each appears whole or not at all.
        shown: The frames.
        columns: Maps by title.
        style: Maps alone, over the frame, or (of the columns, not the ground truth) both.
        colours: Name of a matplotlib colour map.

    Raises:
        InputError: If a map cannot be read.
    """
    maps: dict[tuple[VideoKey, int], list[Tensor]] = {}
    for entry in {one.entry.key: one.entry for one in shown}.values():
        numbers = sorted(one.number for one in shown if one.entry.key == entry.key)
        for source in columns.values():
            for number, saliency in source.read(entry, numbers):
                maps.setdefault((entry.key, number), []).append(saliency)
    height, width = shown[0].entry.size  # one shape of cells, as in the papers' figures
    titles = ["frame and fixations", "ground truth"]
    for title in columns:
        titles += [title, "over the frame"] if style == "both" else [title]
    inches = (2.2 * len(titles), 2.2 * height / width * len(shown) + 0.25)
    with image_grid(paths, len(shown), len(titles), inches, dpi=200) as (_, axes):
        for axis_row, (entry, number) in zip(axes, shown, strict=True):
            truth = AnnotatedTruth(entry)
            scale = min(1.0, FRAME_WIDTH / entry.size[1])
            shape = (round(entry.size[0] * scale), round(entry.size[1] * scale))
            frame = entry.frames.read([number], shape)[0]
            extent = (0, frame.shape[1], frame.shape[0], 0)
            size = truth.size(number)
            # centres of pixels, at the shown frame's size
            points = (truth.points(number) + 0.5) * torch.tensor(frame.shape[:2]) / torch.tensor(size)
            axis_row[0].imshow(frame)
            axis_row[0].scatter(points[:, 1], points[:, 0], s=4, c="lime", edgecolors="black", linewidths=0.3)
            axis_row[0].set_ylabel(f"{entry.video}\n{number}", fontsize=6)
            panels = [(truth.map(number), style == "overlay")]
            for saliency in maps[entry.key, number]:
                panels += [(saliency, over) for over in (False, True) if style in ("both", _STYLES[over])]
            for axis, (saliency, over) in zip(axis_row[1:], panels, strict=True):
                values = saliency.double()
                # each to its own range: models differ in it, and papers print them so
                values = (values - values.min()) / (values.max() - values.min()).clamp_min(1e-12)
                alpha = values.numpy() * 0.75 if over else None
                if over:
                    axis.imshow(frame)
                axis.imshow(values.numpy(), cmap=colours, vmin=0, vmax=1, alpha=alpha, extent=extent)
            for axis in axis_row:
                axis.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
                axis.spines[:].set_visible(False)
        for axis, title in zip(axes[0], titles, strict=True):
            # a dollar sign would begin a formula
            axis.set_title(title.replace("$", r"\$"), fontsize=8)


def _small(saliency: Tensor) -> Tensor:
    return F.interpolate(saliency[None, None].double(), size=COMPARED, mode="area")[0, 0]
