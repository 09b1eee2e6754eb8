"""Saliency metrics as functions of a batch of frames: maps and fixations in, one value per frame out.

Arguments that several of them take:

- ``prediction``: predicted maps (B, H, W), any real type and range;
- ``target``: continuous ground truth (B, H, W), any real type and range;
- ``fixations``: binary maps (B, H, W), fixated where > 0, or one int64 (N, 2) tensor of (row, column) per frame;
- ``other``: fixations of other frames, in either form, taken as given: leave out this frame's if the protocol does;
- ``repeats``: True counts a pixel fixated n times (the map's value, or n equal points) n times, the benchmark once.

All return float64 (B,), computed in float64, NaN where a map or the fixations leave them undefined; they raise
InputError if shapes or types do not fit or a point lies outside its map. *The benchmark* is the MIT saliency benchmark
(Bylinskii et al., *What do different evaluation metrics tell us about saliency models?*, TPAMI 2019).
"""

from lightning_avsp.metrics.functional.auc import auc_judd, auc_shuffled, auc_shuffled_exact
from lightning_avsp.metrics.functional.comparison import cc, information_gain, kld, nss, sim
from lightning_avsp.metrics.functional.inputs import Fixations
from lightning_avsp.metrics.functional.resize import resize_bicubic
from lightning_avsp.metrics.functional.scores import saliency_scores

__all__ = [
    "Fixations",
    "auc_judd",
    "auc_shuffled",
    "auc_shuffled_exact",
    "cc",
    "information_gain",
    "kld",
    "nss",
    "resize_bicubic",
    "saliency_scores",
    "sim",
]
