"""Training and sampling of conditional denoisers, the same for every diffusion paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from lightning_avsp.diffusion import (
    GaussianDiffusion,
    SamplerStep,
    Sampling,
    draw_noise,
    draw_timesteps,
    stable_seed,
)
from lightning_avsp.losses import SaliencyLoss
from lightning_avsp.structures import DiffusionNetwork, SaliencyBatch
from lightning_avsp.tasks.base import MetricName, SaliencyTask, default_optimizer
from lightning_avsp.tasks.feature_cache import FeatureCache
from lightning_avsp.tasks.prediction import draw_maps


class DiffusionSaliencyTask(SaliencyTask[DiffusionNetwork]):
    """Saliency prediction as conditional generation (DiffSal, section 4.3, algorithms 1 and 2).

    Args:
        network: Conditional denoiser predicting the clean map.
        diffusion: Noise schedule; cosine with 1000 steps when None.
        sampling: How maps are drawn in validation, test and prediction; 4 DDIM steps when None.
        timestep_draw: How training draws t: one per clip, one per batch (as DiffSal was released), or half of the
            draws from the noisiest 40 % of the steps.
        target_noise: Standard deviation of the noise added to the target map before anything else (0.01 in the
            released DiffSal; the noised map is also what the loss compares with).
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
        network: DiffusionNetwork,
        diffusion: GaussianDiffusion | None = None,
        sampling: Sampling | None = None,
        timestep_draw: Literal["per_sample", "per_batch", "high_noise"] = "per_sample",
        target_noise: float = 0.0,
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
        self.diffusion = diffusion or GaussianDiffusion()
        self.sampling = sampling or Sampling()
        self.timestep_draw = timestep_draw
        self.target_noise = target_noise

    def training_step(self, batch: SaliencyBatch, batch_idx: int) -> Tensor:
        """Algorithm 1: noise the target map at a random step and let the network restore it."""
        clean = self.target(batch)  # (B, 1, H, W)
        generators = self.clip_generators(len(clean), batch_idx)
        if self.target_noise > 0:
            clean = clean + self.target_noise * sent(draw_noise(clean.shape, generators, "cpu"), clean.device)
        t = sent(self.timesteps(generators, batch_idx), clean.device)
        noise = sent(draw_noise(clean.shape, generators, "cpu"), clean.device)
        noisy = self.diffusion.q_sample(self.diffusion.to_signal(clean), t, noise)
        known = {"saliency": clean} if self.network.reads_target else {}
        inputs = self.inputs(batch)
        with self.features.showing(batch, inputs[0]):
            predicted = self.network(noisy, t, *inputs, **known)  # (B, 1, H, W)
        loss: Tensor = self.loss(predicted, clean)
        self.log_training(loss, predicted, clean)
        return loss

    def timesteps(self, generators: list[torch.Generator], batch_idx: int) -> Tensor:
        """Diffusion steps of a batch, int64 (B,); one for all clips of all processes under ``per_batch``."""
        steps, how = self.diffusion.num_steps, self.timestep_draw
        if how == "per_batch":
            common = torch.Generator().manual_seed(
                stable_seed(self.seed, self.current_epoch, "batch", batch_idx)
            )
            return draw_timesteps(len(generators), steps, how, common)
        return torch.cat([draw_timesteps(1, steps, how, generator) for generator in generators])

    def predict_maps(
        self, batch: SaliencyBatch, callback: Callable[[SamplerStep], Any] | None = None
    ) -> Tensor:
        """Algorithm 2: encode each clip once, then denoise; noise depends on the clip, not on its batch.

        Args:
            batch: Clips; ``corpus``, ``video_id`` and ``frame`` seed the noise.
            callback: Called at every denoising step, to draw the strip from noise to map; then every clip takes as many
                steps as the sampling says, even where the network asks for others.

        Returns:
            Maps (B, 1, H, W), float32 in [0, 1].
        """
        inputs = self.inputs(batch)
        with self.features.showing(batch, inputs[0]):
            condition = self.network.encode(*inputs)
        names = zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True)
        seeds = [stable_seed(self.seed, *name) for name in names]
        return draw_maps(
            self.network,
            condition,
            self.sampling,
            self.diffusion,
            batch["saliency"].shape,
            seeds,
            batch["video"].device,
            callback,
        )

    def denoising_strip(self, batch: SaliencyBatch) -> list[tuple[str, Tensor]]:
        """The noisy input of each step and the clean map predicted from it, first draw of each clip."""
        strip: list[tuple[str, Tensor]] = []
        draws = self.sampling.samples

        def keep(step: SamplerStep) -> None:
            strip.append((f"noisy, t={step.t}", step.x_t[::draws].float().cpu()))
            strip.append((f"predicted, t={step.t}", step.x0[::draws].float().clamp(0, 1).cpu()))

        self.predict_maps(batch, callback=keep)
        return strip


def sent(drawn: Tensor, device: torch.device) -> Tensor:
    """What was drawn on the CPU, on a device, without waiting for what that still has to do."""
    if device.type == "cuda":
        drawn = drawn.pin_memory()  # from other memory a copy waits all the same
    return drawn.to(device, non_blocking=True)
