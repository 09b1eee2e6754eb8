"""Saliency metrics as functions: maps (B, H, W) in, one float64 value per frame out, NaN where undefined."""

from lightning_avsp.metrics.functional.auc import Ties, auc_judd, auc_shuffled, auc_shuffled_exact
from lightning_avsp.metrics.functional.comparison import cc, information_gain, kld, nss, sim
from lightning_avsp.metrics.functional.inputs import Fixations
from lightning_avsp.metrics.functional.resize import resize_bicubic
from lightning_avsp.metrics.functional.scores import MetricName, saliency_scores

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
