"""Maps of a model at several sampling settings, from one encoding of each clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from lightning_avsp.diffusion import SamplerStep, stable_seed
from lightning_avsp.evaluation.audit.subject import Subject
from lightning_avsp.structures import Condition, SaliencyBatch
from lightning_avsp.tasks.loading import LoadedModel


@dataclass(frozen=True)
class Setting:
    """One way of drawing a map."""

    name: str
    """What tables call it."""
    steps: int
    """Denoising steps."""
    samples: int
    """Draws that are averaged."""

    @property
    def commits(self) -> bool:
        """Whether an uncertain model picks one of several objects: one draw over several steps."""
        return self.steps > 1 and self.samples == 1


def settings_of(model: LoadedModel, samples: int) -> tuple[Setting, ...]:
    """One step, the configured steps, and the mean over several draws, without repeating what is the same."""
    steps = model.sampling.steps
    settings = [Setting("1 step", 1, 1)]
    if steps > 1:
        settings.append(Setting(f"{steps} steps", steps, 1))
    if samples > 1:
        settings.append(Setting(f"mean of {samples} draws", steps, samples))
    return tuple(settings)


def maps_by_setting(
    subject: Subject, condition: Condition, batch: SaliencyBatch, settings: tuple[Setting, ...]
) -> dict[str, Tensor]:
    """Maps (B, 1, H, W) in [0, 1] of each setting, by its name.

    Nothing is encoded here, and draws are shared: the draw of a single map is the first of those that are averaged.
    """
    maps: dict[str, Tensor] = {}
    for steps in sorted({setting.steps for setting in settings}):
        here = [setting for setting in settings if setting.steps == steps]
        draws = draw_maps(subject, condition, batch, steps, max(s.samples for s in here))  # (B, n, 1, H, W)
        for setting in here:
            maps[setting.name] = draws[:, : setting.samples].mean(dim=1).clamp(0, 1)  # (B, 1, H, W)
    return {setting.name: maps[setting.name] for setting in settings}


def draw_maps(
    subject: Subject,
    condition: Condition,
    batch: SaliencyBatch,
    steps: int,
    samples: int,
    callback: Callable[[SamplerStep], None] | None = None,
) -> Tensor:
    """Draws of each clip (B, samples, 1, H, W), with the noise that `lightning test` would use.

    Args:
        subject: The model and its seed.
        condition: What it encoded of the batch.
        batch: ``corpus``, ``video_id`` and ``frame`` seed the noise.
        steps: Denoising steps.
        samples: Draws per clip.
        callback: Called at every step with all B * samples rows.
    """
    model = subject.model
    repeated = condition.repeat_interleave(samples) if samples > 1 else condition
    names = zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True)
    last: list[Tensor] = []

    def keep(step: SamplerStep) -> None:
        last[:] = [step.x0]
        if callback is not None:
            callback(step)

    clips = len(batch["corpus"])
    replace(model.sampling, steps=steps, samples=samples).sample(
        lambda x, t: model.network.denoise(x, t, repeated).float(),
        (clips, 1, *model.map_size),
        model.diffusion,
        device=batch["video"].device,
        seeds=[stable_seed(subject.seed, *name) for name in names],
        callback=keep,
    )
    # every sampler here ends with its last prediction, which unlike the result is not averaged over draws yet
    draws = last[0].unflatten(0, (clips, samples))  # (B, n, 1, H, W)
    return draws if model.sampling.clamp is None else draws.clamp(*model.sampling.clamp)


def on_device(batch: SaliencyBatch, device: torch.device | str) -> SaliencyBatch:
    """The batch with what a network and the metrics read on the device."""
    moved: dict[str, Any] = {**batch}
    for name in ("video", "audio", "saliency"):
        moved[name] = moved[name].to(device)
    for name in ("ground_truth", "fixations"):
        moved[name] = [tensor.to(device) for tensor in moved[name]]
    return cast(SaliencyBatch, moved)
