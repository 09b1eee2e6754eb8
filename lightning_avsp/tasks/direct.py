"""Training of networks that predict the map in one pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_avsp.structures import DirectNetwork, SaliencyBatch
from lightning_avsp.tasks.base import SaliencyTask
from lightning_avsp.tasks.prediction import network_inputs


class DirectSaliencyTask(SaliencyTask[DirectNetwork]):
    """Saliency prediction as regression: one pass from the clip to its map.

    Args:
        network: Predicts the map of a clip.
        kwargs: See :class:`SaliencyTask`.
    """

    def __init__(self, network: DirectNetwork, **kwargs: Any) -> None:
        super().__init__(network, **kwargs)

    def training_step(self, batch: SaliencyBatch, batch_idx: int) -> Tensor:
        """Compare the network's map with the target."""
        target = self.target(batch)  # (B, 1, H, W)
        inputs = network_inputs(self.network, batch)
        with self.features.use(batch, inputs.video):
            predicted = self.network(*inputs)  # (B, 1, H, W)
        loss: Tensor = self.loss(predicted.float(), target)
        self.log_training(loss, predicted, target)
        return loss
