"""The Gaussian diffusion process: noising, and maps as the signal that is noised.

Ho et al. 2020 (DDPM); Song et al. 2021 (DDIM). Steps are numbered 0 (least noise) to T-1 (most noise), and -1 stands
for the clean sample: alpha_bar(-1) = 1. Papers that count 1..T mean ``t + 1``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lightning_avsp.diffusion.schedules import ScheduleName, schedule_betas
from lightning_avsp.errors import InputError, require_choice

MapRange = Literal["unit", "symmetric"]
"""Signal made of a map in [0, 1] before noise is added: the map, or ``2 map - 1`` of four times its variance."""


class GaussianDiffusion(nn.Module):
    """Variance-preserving process ``x_t = sqrt(ab_t) x0 + sqrt(1 - ab_t) eps`` over T discrete steps.

    Coefficients are computed in float64 and rounded once, to the dtype of the data but at least float32:
    under autocast or on bfloat16 data every method returns float32. The schedule itself stays float64 even
    when the module is cast (``.half()``, ``.bfloat16()``, a ``bf16-true`` trainer); it follows the module
    from device to device and is not in the state dict, since ``num_steps`` and ``schedule`` determine it.

    Ranges of ``t`` are checked on the CPU only. On an accelerator reading ``t`` would stall the host at every
    training step; an index out of range stops there with the device's own assertion.

    Args:
        num_steps: Number of diffusion steps T.
        schedule: Noise schedule.
        map_range: Range that maps are scaled to before noise is added. Networks predict maps in [0, 1] either way:
            :meth:`to_signal` makes of them the clean sample x0 of all other methods, :meth:`to_maps` the reverse.

    Raises:
        InputError: If ``num_steps`` < 1 or a name is unknown.
    """

    _alpha_bars: Tensor

    def __init__(
        self,
        num_steps: int = 1000,
        schedule: ScheduleName = "cosine",
        map_range: MapRange = "unit",
    ) -> None:
        super().__init__()
        require_choice("map_range", map_range, get_args(MapRange))
        self.map_range = map_range
        self.num_steps = num_steps
        self.schedule = schedule
        betas = schedule_betas(schedule, num_steps)
        # Plain numbers as well as a buffer: what the buffer is restored from, and what samplers read without
        # asking the device. Entry t + 1 belongs to step t, entry 0 to the clean sample.
        self._alpha_bar_values: tuple[float, ...] = (1.0, *torch.cumprod(1 - betas, dim=0).tolist())
        self.register_buffer("_alpha_bars", self._table("cpu"), persistent=False)

    def extra_repr(self) -> str:
        """Settings shown by ``print``."""
        settings = f"num_steps={self.num_steps}, schedule={self.schedule!r}"
        return settings if self.map_range == "unit" else f"{settings}, map_range={self.map_range!r}"

    def alpha_bar_at(self, step: int) -> float:
        """Return the share of the signal's variance left at a step, -1 (clean) to T-1: in (0, 1].

        Raises:
            InputError: If the step is out of range.
        """
        if not -1 <= step < self.num_steps:
            raise InputError(f"diffusion step {step} is outside -1..{self.num_steps - 1}")
        return self._alpha_bar_values[step + 1]

    def log_snr(self) -> Tensor:
        """Log signal-to-noise ratio ``log(ab / (1 - ab))`` of steps 0..T-1, decreasing: float64 (T,), CPU."""
        return torch.tensor(self._alpha_bar_values[1:], dtype=torch.float64, device="cpu").logit()

    def to_signal(self, maps: Tensor) -> Tensor:
        """Convert maps in [0, 1] to the clean sample x0, by ``map_range``; any shape."""
        return maps if self.map_range == "unit" else 2 * maps - 1

    def to_maps(self, signal: Tensor) -> Tensor:
        """Convert a clean sample to maps, the inverse of :meth:`to_signal`; any shape."""
        # networks see and give maps either way
        return signal if self.map_range == "unit" else (signal + 1) / 2

    def q_sample(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Return the noised sample ``x_t``, DDPM Eq. 4 and line 5 of DiffSal's Algorithm 1.

        Args:
            x0: Clean sample (B, ...).
            t: Step of each sample, int (B,), 0..T-1.
            noise: Standard normal noise, shape of ``x0``.

        Returns:
            Shape of ``x0``, at least float32.

        Raises:
            InputError: If shapes, dtype or (CPU) range of ``t`` do not fit.
        """
        if noise.shape != x0.shape:  # broadcasting would be a mistake every time, and a silent one
            raise InputError(
                f"noise has shape {tuple(noise.shape)}, but x0 has {tuple(x0.shape)}; they must be equal"
            )
        if t.shape != x0.shape[:1]:
            raise InputError(
                f"one diffusion step per sample is needed: got shape {tuple(t.shape)} "
                f"for data of shape {tuple(x0.shape)}"
            )
        self._check_steps(t)
        # index_select, unlike indexing, also refuses negative positions on an accelerator
        alpha_bar = self._alpha_bars.index_select(0, t + 1)
        signal, sigma = _expand(alpha_bar.sqrt(), x0), _expand((1 - alpha_bar).sqrt(), x0)
        return signal * x0 + sigma * noise

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GaussianDiffusion:
        # Every cast and move of a module goes through here. Let it happen, then restore the values: bfloat16
        # would round alpha_bar to 1 in the first 21 cosine steps, and `to_empty` fills in nothing.
        super()._apply(fn, recurse)
        self._alpha_bars = self._table(self._alpha_bars.device)
        return self

    def _table(self, device: torch.device | str) -> Tensor:
        return torch.tensor(self._alpha_bar_values, dtype=torch.float64, device=device)

    def _check_steps(self, t: Tensor) -> None:
        if t.dtype not in (torch.int64, torch.int32):
            raise InputError(f"diffusion steps are int64 or int32, got {t.dtype}; convert with t.long()")
        # moving either without a word would make the device wait at every step
        if t.device != self._alpha_bars.device:
            raise InputError(
                f"diffusion steps lie on {t.device}, the schedule on {self._alpha_bars.device}; "
                "move the GaussianDiffusion module with .to(device)"
            )
        if _readable(t) and t.numel() and not (t.min() >= 0 and t.max() < self.num_steps):
            raise InputError(
                f"diffusion steps {t.min().item()}..{t.max().item()} leave the range "
                f"0..{self.num_steps - 1} of a process with {self.num_steps} steps"
            )


def _readable(t: Tensor) -> bool:
    """Return True if reading values neither waits for a device nor breaks a graph."""
    return t.device.type == "cpu" and not torch.compiler.is_compiling()


def _expand(values: Tensor, like: Tensor) -> Tensor:
    """Float64 (B,) as (B, 1, ..., 1) with the rank of ``like``, in its dtype but at least float32."""
    return values.to(torch.promote_types(like.dtype, torch.float32)).view(-1, *[1] * (like.dim() - 1))
