"""Scores of references that see the truth of a synthetic corpus: the ceilings of a model without audio, and with it.

A model without audio cannot pass ``objects_average`` where sound decides; one with audio can come near
``attended``. Centre prior, mean training map and human ceiling are those of any corpus: `avsp evaluate --references`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.corpora import corpus_listing
from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.errors import CorpusNotFoundError
from lightning_avsp.metrics.functional import cc, nss
from lightning_avsp.synthetic.record import VideoRecord, read_video_record, saliency_maps
from lightning_avsp.synthetic.spec import CONDITIONS, SyntheticSpec

REFERENCES = ("objects_average", "fastest", "video_only_bayes", "attended")
"""Rows of the table.

- ``objects_average``: all objects alike.
- ``fastest``: the fastest object.
- ``video_only_bayes``: the last two, weighted by how often sound decides; all that can be seen.
- ``attended``: the object that observers follow.
"""


def score_references(spec: SyntheticSpec, test: Sequence[VideoRecord], frame_step: int = 4) -> pd.DataFrame:
    """Score all references on videos.

    Args:
        spec: Spec of the videos.
        test: Videos to score.
        frame_step: Score every so many frames.

    Returns:
        Mean ``cc`` and ``nss`` over frames and the number of ``frames``, by ``reference`` and ``condition`` that
        occurs, in the order of :data:`REFERENCES`.
    """
    table = pd.concat([_score(spec, record, frame_step) for record in test])
    groups = table.groupby(["reference", "condition"], sort=False)
    means = groups.agg(cc=("cc", "mean"), nss=("nss", "mean"), frames=("cc", "size"))
    order = pd.MultiIndex.from_product([REFERENCES, CONDITIONS], names=["reference", "condition"])
    return means.reindex(order.intersection(means.index, sort=False))


def score_corpus(root: Path, corpus: str) -> pd.DataFrame:
    """Score all references on the first test list of a synthetic corpus on disk (:func:`score_references`).

    Args:
        root: Folder that holds the corpus.
        corpus: Its name.

    Raises:
        CorpusNotFoundError: If the corpus is not there.
    """
    entry = read_manifest(root)["corpora"].get(corpus)
    if entry is None:
        raise CorpusNotFoundError(
            f"synthetic {corpus} in {root} is missing; write it with `avsp data synth --root {root}`"
        )
    tested = corpus_listing(Path(root), find_corpus(corpus), "test", 1)
    records = [read_video_record(root, corpus, video.name) for video in tested]
    return score_references(SyntheticSpec.from_dict(entry["spec"]), records)


def _score(spec: SyntheticSpec, record: VideoRecord, frame_step: int) -> pd.DataFrame:
    """CC and NSS of every reference in every scored frame of one video."""
    pixels = record.fixations[::frame_step]
    truth = torch.from_numpy(saliency_maps(spec, pixels).astype(np.float64))
    fixated = torch.zeros_like(truth)
    fixated[np.arange(len(pixels))[:, None], pixels[..., 0], pixels[..., 1]] = 1
    blobs = _object_maps(spec, record)[::frame_step]  # (T, n, H, W)
    average, fastest = blobs.mean(axis=1), blobs[:, record.fastest]
    # the best that eyes can do: how often sound decides is known, when it does is not
    sound = spec.shares[0]
    predictions = {
        "objects_average": average,
        "fastest": fastest,
        "video_only_bayes": sound * average + (1 - sound) * fastest,
        "attended": blobs[np.arange(len(blobs)), record.attended[::frame_step]],
    }
    tables = []
    for reference, prediction in predictions.items():
        maps = torch.from_numpy(np.ascontiguousarray(prediction))
        scores = {"cc": cc(maps, truth).numpy(), "nss": nss(maps, fixated).numpy()}
        tables.append(pd.DataFrame({"reference": reference, "condition": record.condition, **scores}))
    return pd.concat(tables)


def _object_maps(spec: SyntheticSpec, record: VideoRecord) -> NDArray[np.float64]:
    """Build the gaze map of each object, a Gaussian at its lagged position: (T, n, Hm, Wm), peak 1."""
    rows, columns = spec.map_size
    length = len(record.positions)
    # gaze trails its object, and so must a map that is to match it
    frames = np.clip(np.arange(length) - spec.pursuit_lag * spec.fps, 0, None)
    low = frames.astype(int)
    part = (frames - low)[:, None, None]
    centres = record.positions[low] * (1 - part) + record.positions[np.minimum(low + 1, length - 1)] * part
    # blurred fixations scatter by both
    sigma = np.hypot(spec.map_sigma, spec.gaze_noise) * spec.scale
    scale_y, scale_x = rows / spec.size[0], columns / spec.size[1]
    x, y = (centres[..., :1] + 0.5) * scale_x - 0.5, (centres[..., 1:] + 0.5) * scale_y - 0.5  # (T, n, 1)
    down = np.exp(-0.5 * ((np.arange(rows) - y) / (sigma * scale_y)) ** 2)
    across = np.exp(-0.5 * ((np.arange(columns) - x) / (sigma * scale_x)) ** 2)
    maps: NDArray[np.float64] = down[..., :, None] * across[..., None, :]
    return maps
