"""The centre prior: the mean of the training maps, the same prediction for every frame."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_avsp.data import AVSaliencyDataModule
from lightning_avsp.metrics import SaliencyMetrics


def mean_training_map(datamodule: AVSaliencyDataModule) -> Tensor:
    """Mean of one target map per training clip of one epoch, float32 (H, W) in [0, 1]."""
    total = torch.zeros(datamodule.map_size)
    count = 0
    for batch in datamodule.train_dataloader():
        total += batch["saliency"][:, 0].float().sum(0) / 255
        count += len(batch["saliency"])
    return total / count


def score_constant(prediction: Tensor, datamodule: AVSaliencyDataModule) -> SaliencyMetrics:
    """Score one map (H, W) against every test frame of the data module."""
    metrics = SaliencyMetrics(names=("cc", "nss"), prefix="test/")
    for batch in datamodule.test_dataloader():
        count = len(batch["saliency"])
        keys = list(zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True))
        metrics.update(prediction.expand(count, -1, -1), batch["ground_truth"], batch["fixations"], keys)
    return metrics
