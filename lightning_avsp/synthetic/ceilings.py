"""Scores of references that see the truth of a synthetic corpus: the ceilings of a model without audio, and with it.

A model without audio cannot pass ``objects_average`` where sound decides; one that uses it can come near
``attended``. Centre prior, mean training map and human ceiling are those of any corpus: `avsp evaluate --references`.
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
from lightning_avsp.synthetic.record import VideoRecord, read_video_record
from lightning_avsp.synthetic.spec import CONDITIONS, Condition, SyntheticSpec

REFERENCES = ("objects_average", "fastest", "video_only_bayes", "attended")
"""Rows of the table.

- ``objects_average``: all objects alike.
- ``fastest``: the fastest object.
- ``video_only_bayes``: the last two, weighted by how often sound decides; all that can be seen.
- ``attended``: the object that observers follow.
"""


@dataclass(frozen=True)
class Ceiling:
    """Mean scores of one reference in one condition."""

    reference: str
    """One of :data:`REFERENCES`."""
    condition: Condition
    """Cue that observers follow in the videos scored."""
    cc: float
    """Mean correlation coefficient over frames."""
    nss: float
    """Mean normalised scanpath saliency over frames."""
    frames: int
    """Frames scored."""


def ceilings(spec: SyntheticSpec, test: Sequence[VideoRecord], frame_step: int = 4) -> list[Ceiling]:
    """Score all references on videos.

    Args:
        spec: Spec of the videos.
        test: Videos to score.
        frame_step: Score every so many frames.

    Returns:
        One entry per reference and condition that occurs, in the order of :data:`REFERENCES`.
    """
    scores: dict[tuple[str, Condition], list[NDArray[np.float64]]] = {}
    for record in test:
        for reference, values in _score(spec, record, frame_step).items():
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
    if "layout" in entry:  # divided once, by the order of the videos
        names = [name for index, name in enumerate(entry["videos"]) if part_of(index) == "test"]
    else:
        path = fold_list_path(Path(root), corpus, "test", split)
        if not path.is_file():
            raise CorpusNotFoundError(
                f"{path} is missing; complete the corpus with `avsp data synth --root {root}`"
            )
        names = [line.split()[0] for line in path.read_text().splitlines()]
    records = [read_video_record(root, corpus, name) for name in names]
    return ceilings(SyntheticSpec.from_dict(entry["spec"]), records, frame_step)


def _score(spec: SyntheticSpec, record: VideoRecord, frame_step: int) -> dict[str, NDArray[np.float64]]:
    """CC and NSS of every reference on one video: (2, frames) each."""
    pixels = record.fixations[::frame_step]
    truth = saliency_maps(spec, pixels).astype(np.float64)
    blobs = _object_maps(spec, record)[::frame_step]  # (T, n, H, W)
    average, fastest = blobs.mean(axis=1), blobs[:, record.fastest]
    sound = spec.shares[0]
    predictions = {
        "objects_average": average,
        "fastest": fastest,
        "video_only_bayes": sound * average + (1 - sound) * fastest,
        "attended": blobs[np.arange(len(blobs)), record.attended[::frame_step]],
    }
    return {name: _compare(prediction, truth, pixels) for name, prediction in predictions.items()}


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


def _object_maps(spec: SyntheticSpec, record: VideoRecord) -> NDArray[np.float64]:
    """Build the gaze map of each object: a Gaussian at its lagged position, as wide as gaze noise and blur.

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
