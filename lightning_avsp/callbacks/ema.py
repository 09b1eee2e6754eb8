"""Exponential moving average of the trained weights, which validation, test and prediction then use."""

from __future__ import annotations

import logging
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from lightning_avsp.errors import InputError, require_range

log = logging.getLogger(__name__)

KEY = "ema"
"""Key of a checkpoint's raw weights; its ``state_dict`` holds the averaged ones."""


class WeightAverage(Callback):
    """Average of the trainable parameters: w <- d w + (1 - d) p after each optimiser step.

    The decay warms up, d = min(decay, (1 + n) / (warmup + n)) after n steps, so that the first average is not the
    random start. Frozen parameters are not copied; running statistics of batch norms are those of the raw network.
    Works on plain tensors and on the shards of FSDP2 alike. In a checkpoint ``state_dict`` holds the average, which
    test, prediction and later stages read; the raw weights lie beside it for a resumed run.

    Args:
        decay: Largest decay, in (0, 1).
        warmup: Steps of the order of which the warm-up lasts; 1 for none.

    Raises:
        InputError: If a setting is out of range.
    """

    def __init__(self, decay: float = 0.999, warmup: float = 10.0) -> None:
        if not 0 < decay < 1:
            raise InputError(f"ema={decay} must lie between 0 and 1, both excluded")
        require_range(1, ema_warmup=warmup)
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        self.average: dict[str, Tensor] = {}
        self._raw: dict[str, Tensor] = {}
        self._loaded: dict[str, Any] | None = None
        self._last_step = 0

    # ---- training

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the current weights, or from those of a checkpoint."""
        trained = dict(trainable(pl_module))
        self.average = {name: parameter.detach().clone() for name, parameter in trained.items()}
        if self._loaded is not None:
            for name, raw in self._loaded["raw"].items():
                fill(trained[name], raw)  # the module was filled with the average
            self.updates = int(self._loaded["updates"])
            self._loaded = None
        self._last_step = trainer.global_step
        count = sum(parameter.numel() for parameter in trained.values())
        log.info(
            "weights are averaged (decay %g, warm-up %g, %d parameters); validation and checkpoints use the average",
            self.decay,
            self.warmup,
            count,
        )

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average if the optimiser has made a step."""
        if trainer.global_step == self._last_step:
            return  # gradients are still being accumulated
        self._last_step = trainer.global_step
        # early weights are forgotten sooner
        decay = min(self.decay, (1 + self.updates) / (self.warmup + self.updates))
        self.updates += 1
        for name, parameter in trainable(pl_module):
            # in place: no second copy of the weights for a moment
            self.average[name].lerp_(parameter.detach(), 1 - decay)

    # ---- evaluation during training

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the module."""
        if self.average and trainer.state.fn == "fit":  # a checkpoint under test holds the average already
            self._raw = {name: parameter.detach().clone() for name, parameter in trainable(pl_module)}
            put(pl_module, self.average)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Restore the raw weights."""
        put(pl_module, self._raw)
        self._raw = {}

    on_exception = on_validation_end  # nothing saved after an interrupted validation may mix the two

    # ---- checkpoints

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average into the module for a test that follows in the same process."""
        put(pl_module, self.average)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the average as the model's weights, and the raw weights beside it."""
        if not self.average:  # nothing is trained
            return
        raw = self._raw or {name: parameter.detach() for name, parameter in trainable(pl_module)}
        whole_raw = {name: whole(tensor) for name, tensor in raw.items()}
        whole_average = {name: whole(tensor) for name, tensor in self.average.items()}
        if checkpoint["state_dict"]:  # only the first process of FSDP2 holds it
            checkpoint["state_dict"].update(whole_average)
        checkpoint[KEY] = {"raw": whole_raw, "updates": self.updates, "decay": self.decay}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the raw weights of a resumed run until its parameters are on their device."""
        if trainer.state.fn != "fit":
            return
        if KEY not in checkpoint:
            log.warning("the checkpoint has no averaged weights: the average starts from its weights")
            return
        self._loaded = checkpoint[KEY]


def trainable(module: LightningModule) -> list[tuple[str, torch.nn.Parameter]]:
    """Return names and parameters that the optimiser moves; with FSDP2 the shards of this process."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()  # a forward pass without gradients leaves some parameters gathered
    return [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]


@torch.no_grad()
def put(module: LightningModule, weights: dict[str, Tensor]) -> None:
    """Copy weights into the trainable parameters; nothing if there are none, as before the first step."""
    for name, parameter in trainable(module) if weights else ():
        parameter.copy_(weights[name])


def whole(tensor: Tensor) -> Tensor:
    """Gather the shards of a tensor on the CPU, or copy one without shards; every process must call this."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor.detach().clone() if gather is None else gather().detach().cpu()


@torch.no_grad()
def fill(parameter: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into a parameter, sharding it as the parameter is."""
    mesh = getattr(parameter, "device_mesh", None)
    if mesh is None:
        parameter.copy_(value)
        return
    from torch.distributed.tensor import distribute_tensor

    parameter.copy_(distribute_tensor(value.to(parameter.device), mesh, parameter.placements))  # type: ignore[attr-defined]
