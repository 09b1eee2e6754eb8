"""Standard normal noise from one generator, or from one generator per sample."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_avsp.errors import InputError

Generators: TypeAlias = torch.Generator | Sequence[torch.Generator] | None
"""One generator for a whole batch, one per sample, or None for the device's global generator."""


def draw_noise(
    shape: Sequence[int],
    generator: Generators,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Draw standard normal noise of a shape (B, ...).

    A generator draws on its own device and the result is moved, so a CPU generator gives the same noise wherever the
    network runs. Draws are made in at least float32 and then rounded to ``dtype``. With one generator per sample a
    sample's noise does not depend on its neighbours.

    Raises:
        InputError: If the number of generators is not B.
    """
    drawn_as = torch.promote_types(dtype, torch.float32)  # a bfloat16 draw has other values, not rounded ones
    if generator is None:
        return torch.randn(*shape, device=device, dtype=drawn_as).to(dtype)
    if isinstance(generator, torch.Generator):
        noise = torch.randn(*shape, generator=generator, device=generator.device, dtype=drawn_as)
    else:
        batch, *sample_shape = shape
        if len(generator) != batch:
            raise InputError(f"got {len(generator)} generators for {batch} samples; give one per sample")
        rows = [torch.randn(*sample_shape, generator=g, device=g.device, dtype=drawn_as) for g in generator]
        noise = torch.stack(rows)
    return noise.to(device=device, dtype=dtype)


def stable_seed(*parts: str | int) -> int:
    """Return a seed in 0..2^32-1 that depends on the parts alone: the same in every process, version and machine.

    Python's ``hash`` differs between processes, and torch's CPU generator reads only the low 32 bits of a
    seed, so seeds built by arithmetic easily collide.
    """
    # numpy's numbers and strings print otherwise, and differently between its versions.
    plain = tuple(str(part) if isinstance(part, str) else int(part) for part in parts)
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
