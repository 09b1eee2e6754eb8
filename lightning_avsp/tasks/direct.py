"""Training and prediction of networks that give the map in one pass."""

from __future__ import annotations

from typing import Literal

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from lightning_avsp.losses import SaliencyLoss
from lightning_avsp.structures import DirectNetwork, SaliencyBatch
from lightning_avsp.tasks.base import MetricName, SaliencyTask, default_optimizer
from lightning_avsp.tasks.feature_cache import FeatureCache


class DirectSaliencyTask(SaliencyTask[DirectNetwork]):
    """Saliency prediction as regression: one pass from the clip to its map.

    Args:
        network: Gives the map of a clip.
        loss: See :class:`SaliencyTask`, like all that follow.
        optimizer: Makes the optimiser.
        lr_scheduler: Makes the learning rate scheduler.
        lr_interval: Whether it steps per epoch or per step.
        lr_monitor: What a plateau scheduler watches.
        metrics: Metrics of validation and test.
        seed: Start of every random draw.
        feature_cache: Where features of a wholly frozen video encoder are kept.
    """

    def __init__(
        self,
        network: DirectNetwork,
        loss: SaliencyLoss | None = None,
        optimizer: OptimizerCallable = default_optimizer,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: Literal["epoch", "step"] = "epoch",
        lr_monitor: str = "val/loss",
        metrics: tuple[MetricName, ...] = ("cc", "sim", "nss", "auc_judd"),
        seed: int | None = None,
        feature_cache: FeatureCache | None = None,
    ) -> None:
        super().__init__(
            network, loss, optimizer, lr_scheduler, lr_interval, lr_monitor, metrics, seed, feature_cache
        )

    def training_step(self, batch: SaliencyBatch, batch_idx: int) -> Tensor:
        """Compare the network's map with the target."""
        target = self.target(batch)  # (B, 1, H, W)
        inputs = self.inputs(batch)
        with self.features.showing(batch, inputs[0]):
            predicted = self.network(*inputs)  # (B, 1, H, W)
        loss: Tensor = self.loss(predicted.float(), target)
        self.log_training(loss, predicted, target)
        return loss

    def predict_maps(self, batch: SaliencyBatch) -> Tensor:
        """Maps (B, 1, H, W), float32 in [0, 1]."""
        inputs = self.inputs(batch)
        with self.features.showing(batch, inputs[0]):
            maps: Tensor = self.network(*inputs)
        return maps.float().clamp(0, 1)
