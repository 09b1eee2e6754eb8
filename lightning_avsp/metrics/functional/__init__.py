"""Saliency metrics as functions: maps (B, H, W) in, one float64 value per frame out, NaN where undefined."""

from lightning_avsp.metrics.functional.correlation import cc
from lightning_avsp.metrics.functional.divergence import information_gain, kld
from lightning_avsp.metrics.functional.inputs import Fixations
from lightning_avsp.metrics.functional.judd import Ties, auc_judd
from lightning_avsp.metrics.functional.resize import resize_bicubic
from lightning_avsp.metrics.functional.scanpath import nss
from lightning_avsp.metrics.functional.scores import MetricName, saliency_scores
from lightning_avsp.metrics.functional.shuffled import auc_shuffled, auc_shuffled_exact
from lightning_avsp.metrics.functional.similarity import sim

__all__ = [
    "Fixations",
    "MetricName",
    "Ties",
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
