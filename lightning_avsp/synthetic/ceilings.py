"""What a synthetic corpus lets a model reach: scores of references that know more and more of the truth.

A model without ears cannot pass ``objects_average`` where sound decides; one that listens can come near
``attended``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.errors import CorpusNotFoundError
from lightning_avsp.metrics.functional import cc, nss
from lightning_avsp.synthetic.layout import fold_list_path, part_of
from lightning_avsp.synthetic.observers import saliency_maps
from lightning_avsp.synthetic.record import VideoRecord, read_record
from lightning_avsp.synthetic.spec import CONDITIONS, Condition, SyntheticSpec

REFERENCES = (
    "centre_gaussian",
    "mean_training_map",
    "objects_average",
    "fastest",
    "video_only_bayes",
    "attended",
    "split_half",
)
"""Rows of the table.

- ``centre_gaussian``: a Gaussian in the middle, a quarter of height and width wide.
- ``mean_training_map``: the mean of the training maps.
- ``objects_average``: all objects alike.
- ``fastest``: the fastest object.
- ``video_only_bayes``: the last two, weighted by how often sound decides; all that can be seen.
- ``attended``: the object that observers follow.
- ``split_half``: one half of the observers against the other.
"""


@dataclass(frozen=True)
class Ceiling:
    """Mean scores of one reference in one condition."""

    reference: str
    """One of :data:`REFERENCES`."""
    condition: Condition
    """What decides in the videos scored."""
    cc: float
    """Mean correlation coefficient over frames."""
    nss: float
    """Mean normalised scanpath saliency over frames."""
    frames: int
    """Frames scored."""


def ceilings(
    spec: SyntheticSpec, train: Sequence[VideoRecord], test: Sequence[VideoRecord], frame_step: int = 4
) -> list[Ceiling]:
    """Score all references on held-out videos.

    Args:
        spec: Spec of the videos.
        train: Videos for the mean training map.
        test: Videos to score.
        frame_step: Score every so many frames.

    Returns:
        One entry per reference and condition that occurs, in the order of :data:`REFERENCES`.
    """
    mean_map = np.mean([_maps(spec, record, frame_step).mean(axis=0) for record in train], axis=0)
    scores: dict[tuple[str, Condition], list[NDArray[np.float64]]] = {}
    for record in test:
        for reference, values in _score(spec, record, mean_map, frame_step).items():
            scores.setdefault((reference, record.condition), []).append(values)
    table = []
    for reference in REFERENCES:
        for condition in CONDITIONS:
            if (reference, condition) in scores:
                values = np.concatenate(scores[reference, condition], axis=1)
                mean = np.nanmean(values, axis=1)
                table.append(Ceiling(reference, condition, float(mean[0]), float(mean[1]), values.shape[1]))
    return table


def corpus_ceilings(root: Path, corpus: str, split: int = 1, frame_step: int = 4) -> list[Ceiling]:
    """Score all references on the test list of a synthetic corpus on disk.

    Args:
        root: Folder that holds the corpus.
        corpus: Its name.
        split: Split, 1 to 3.
        frame_step: Score every so many frames.

    Raises:
        CorpusNotFoundError: If the corpus is not there.
    """
    entry = read_manifest(root)["corpora"].get(corpus)
    if entry is None:
        raise CorpusNotFoundError(
            f"{root} holds no synthetic {corpus}; write it with `avsp data synth --root {root}`"
        )
    lists = []
    for part in ("train", "test"):
        if "layout" in entry:  # divided once, by the order of the videos
            chosen = [name for index, name in enumerate(entry["videos"]) if part_of(index) == part]
            lists.append([read_record(root, corpus, name) for name in chosen])
            continue
        path = fold_list_path(Path(root), corpus, part, split)
        if not path.is_file():
            raise CorpusNotFoundError(
                f"{path} is missing; complete the corpus with `avsp data synth --root {root}`"
            )
        lists.append([read_record(root, corpus, line.split()[0]) for line in path.read_text().splitlines()])
    return ceilings(SyntheticSpec.from_dict(entry["spec"]), lists[0], lists[1], frame_step)


def _score(
    spec: SyntheticSpec, record: VideoRecord, mean_map: NDArray[np.float64], frame_step: int
) -> dict[str, NDArray[np.float64]]:
    """CC and NSS of every reference on one video: (2, frames) each."""
    pixels = record.fixations[::frame_step]
    truth = saliency_maps(spec, pixels).astype(np.float64)
    blobs = _object_maps(spec, record)[::frame_step]  # (T, n, H, W)
    average, fastest = blobs.mean(axis=1), blobs[:, record.fastest]
    everywhere = np.ones((len(truth), 1, 1))
    sound = spec.shares[0]
    predictions = {
        "centre_gaussian": _centre_gaussian(*spec.map_size) * everywhere,
        "mean_training_map": mean_map * everywhere,
        "objects_average": average,
        "fastest": fastest,
        "video_only_bayes": sound * average + (1 - sound) * fastest,
        "attended": blobs[np.arange(len(blobs)), record.attended[::frame_step]],
    }
    scores = {name: _compare(prediction, truth, pixels) for name, prediction in predictions.items()}
    half, other = pixels[:, ::2], pixels[:, 1::2]
    maps = saliency_maps(spec, half).astype(np.float64), saliency_maps(spec, other).astype(np.float64)
    scores["split_half"] = _compare(maps[0], maps[1], other)
    return scores


def _compare(
    prediction: NDArray[np.float64], truth: NDArray[np.float64], pixels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """CC against maps (T, H, W) and NSS against fixated pixels (T, O, 2): (2, T)."""
    fixated = np.zeros(truth.shape)
    fixated[np.arange(len(truth))[:, None], pixels[..., 0], pixels[..., 1]] = 1
    tensor = torch.from_numpy(np.ascontiguousarray(prediction))
    return np.stack(
        [cc(tensor, torch.from_numpy(truth)).numpy(), nss(tensor, torch.from_numpy(fixated)).numpy()]
    )


def _maps(spec: SyntheticSpec, record: VideoRecord, frame_step: int) -> NDArray[np.float64]:
    """Ground-truth maps of a video in [0, 1]: (T, H, W)."""
    return saliency_maps(spec, record.fixations[::frame_step]) / 255


def _object_maps(spec: SyntheticSpec, record: VideoRecord) -> NDArray[np.float64]:
    """Where observers of each object look: a Gaussian at its lagged place, as wide as gaze noise and blur.

    Returns:
        (T, n, Hm, Wm), peak 1.
    """
    rows, columns = spec.map_size
    length = len(record.positions)
    frames = np.clip(np.arange(length) - spec.pursuit_lag * spec.fps, 0, None)
    low = frames.astype(int)
    part = (frames - low)[:, None, None]
    places = record.positions[low] * (1 - part) + record.positions[np.minimum(low + 1, length - 1)] * part
    sigma = np.hypot(spec.map_sigma, spec.gaze_noise) * spec.scale
    scale_y, scale_x = rows / spec.size[0], columns / spec.size[1]
    y, x = (
        (places[..., 1, None] + 0.5) * scale_y - 0.5,
        (places[..., 0, None] + 0.5) * scale_x - 0.5,
    )  # (T, n, 1)
    down = np.exp(-0.5 * ((np.arange(rows) - y) / (sigma * scale_y)) ** 2)
    across = np.exp(-0.5 * ((np.arange(columns) - x) / (sigma * scale_x)) ** 2)
    maps: NDArray[np.float64] = down[..., :, None] * across[..., None, :]
    return maps


def _centre_gaussian(height: int, width: int) -> NDArray[np.float64]:
    """Gaussian in the middle, a quarter of height and width wide: (H, W)."""
    down = np.exp(-0.5 * ((np.arange(height) - (height - 1) / 2) / (height / 4)) ** 2)
    across = np.exp(-0.5 * ((np.arange(width) - (width - 1) / 2) / (width / 4)) ** 2)
    return np.outer(down, across)
