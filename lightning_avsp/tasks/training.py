"""Training steps: of conditional denoisers, the same for every diffusion paper, and of regression in one pass."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lightning_avsp.diffusion import (
    GaussianDiffusion,
    SamplerStep,
    Sampling,
    draw_noise,
    draw_timesteps,
    stable_seed,
)
from lightning_avsp.structures import DiffusionNetwork, DirectNetwork, SaliencyBatch
from lightning_avsp.tasks.base import SaliencyTask
from lightning_avsp.tasks.prediction import network_inputs


class DiffusionSaliencyTask(SaliencyTask[DiffusionNetwork]):
    """Saliency prediction as conditional generation (DiffSal, section 4.3, algorithms 1 and 2).

    Args:
        network: Conditional denoiser predicting the clean map.
        diffusion: Noise schedule; cosine with 1000 steps when None.
        sampling: How maps are sampled in validation, test and prediction; 4 DDIM steps when None.
        timestep_draw: Distribution of t in training: one per clip, one per batch (as DiffSal was released), or half of
            the clips from the noisiest 40 % of the steps.
        target_noise: Standard deviation of the noise added to the target map before anything else (0.01 in the
            released DiffSal; the loss compares with the noised map too).
        kwargs: See :class:`SaliencyTask`.
    """

    sampling: Sampling
    diffusion: GaussianDiffusion

    def __init__(
        self,
        network: DiffusionNetwork,
        diffusion: GaussianDiffusion | None = None,
        sampling: Sampling | None = None,
        timestep_draw: Literal["per_sample", "per_batch", "high_noise"] = "per_sample",
        target_noise: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        self.diffusion = diffusion or GaussianDiffusion()
        self.sampling = sampling or Sampling()
        self.timestep_draw = timestep_draw
        self.target_noise = target_noise

    def training_step(self, batch: SaliencyBatch, batch_idx: int) -> Tensor:
        """Noise the target map at a random step and let the network restore it (Algorithm 1)."""
        clean = self.target(batch)  # (B, 1, H, W)
        generators = self.clip_generators(len(clean), batch_idx)
        if self.target_noise > 0:
            clean = clean + self.target_noise * to_device(
                draw_noise(clean.shape, generators, "cpu"), clean.device
            )
        t = to_device(self.timesteps(generators, batch_idx), clean.device)
        noise = to_device(draw_noise(clean.shape, generators, "cpu"), clean.device)
        noisy = self.diffusion.q_sample(self.diffusion.to_signal(clean), t, noise)
        # knowledge of the target goes to networks that ask for it, in training alone
        target = {"saliency": clean} if self.network.reads_target else {}
        inputs = network_inputs(self.network, batch)
        with self.features.use(batch, inputs.video):
            predicted = self.network(noisy, t, *inputs, **target)  # (B, 1, H, W)
        loss: Tensor = self.loss(predicted, clean)
        self.log_training(loss, predicted, clean)
        return loss

    def timesteps(self, generators: list[torch.Generator], batch_idx: int) -> Tensor:
        """Sample the diffusion steps of a batch, int64 (B,); the same for all processes under ``per_batch``."""
        steps, rule = self.diffusion.num_steps, self.timestep_draw
        if rule == "per_batch":
            common = torch.Generator().manual_seed(
                stable_seed(self.seed, self.current_epoch, "batch", batch_idx)
            )
            return draw_timesteps(len(generators), steps, rule, common)
        return torch.cat([draw_timesteps(1, steps, rule, generator) for generator in generators])

    def denoising_strip(self, batch: SaliencyBatch) -> list[tuple[str, Tensor]]:
        """Return the noisy input of each step and the clean map predicted from it, first sample of each clip."""
        strip: list[tuple[str, Tensor]] = []
        samples = self.sampling.samples

        def keep(step: SamplerStep) -> None:
            strip.append((f"noisy, t={step.t}", step.x_t[::samples].float().cpu()))
            strip.append((f"predicted, t={step.t}", step.x0[::samples].float().clamp(0, 1).cpu()))

        self.predict_maps(batch, callback=keep)
        return strip


class DirectSaliencyTask(SaliencyTask[DirectNetwork]):
    """Saliency prediction as regression: one pass from the clip to its map.

    Args:
        network: Predicts the map of a clip.
        kwargs: See :class:`SaliencyTask`.
    """

    def __init__(self, network: DirectNetwork, **kwargs: Any) -> None:  # the type decides what can be named
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


def to_device(numbers: Tensor, device: torch.device) -> Tensor:
    """Copy random numbers from the CPU to a device without waiting for the device's queue."""
    if device.type == "cuda":
        numbers = numbers.pin_memory()  # copies from pageable memory wait all the same
    return numbers.to(device, non_blocking=True)
