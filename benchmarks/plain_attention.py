"""Time of our formulation over that of the plain one, on the CPU: attention, training step and prediction of DiffSal.

    python benchmarks/plain_attention.py                    # about two minutes on one quiet core
    python benchmarks/plain_attention.py --rounds 9 --json plain.json

Plain is what the field's research code does: attention as einsum, softmax, einsum with the whole matrix of scores in
memory, and a prediction that runs the encoders anew at every denoising step. Everything else is the same code. Ours and
plain take turns; given are the median of the rounds' ratios (ours / plain, below 1 is faster), least and most.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.losses import SaliencyLoss
from lightning_avsp.papers.diffsal import DiffSal

FULL, TINY = (224, 384), (64, 128)
STEPS = 4
Shape = tuple[int, ...]


def plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, **_: object) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017) with all scores in memory."""
    scores = torch.einsum("...nc,...mc->...nm", query, key) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.einsum("...nm,...mc->...nc", scores.softmax(dim=-1), value)


@contextmanager
def attention(function: Callable[..., Tensor]) -> Iterator[None]:
    """Let every layer attend with this function."""
    fused = F.scaled_dot_product_attention
    F.scaled_dot_product_attention = function
    try:
        yield
    finally:
        F.scaled_dot_product_attention = fused


def shapes_of_the_full_network() -> list[tuple[Shape, Shape]]:
    """(queries, keys) of every attention in a pass of DiffSal at full size, each once; counted on the meta device."""
    fused, seen = F.scaled_dot_product_attention, {}

    def note(query: Tensor, key: Tensor, value: Tensor, *rest: object, **more: object) -> Tensor:
        seen[tuple(query.shape), tuple(key.shape)] = None
        return fused(query, key, value, *rest, **more)

    with torch.device("meta"), torch.no_grad(), attention(note):
        network = DiffSal().eval()
        maps, t = torch.zeros(1, 1, *FULL), torch.zeros(1, dtype=torch.int64)
        network(maps, t, torch.zeros(1, 3, 16, *FULL), torch.zeros(1, 1, 9, 112, 192))
    return list(seen)


def in_turns(ours: Callable[[], None], other: Callable[[], None], rounds: int) -> dict[str, float]:
    """Ratio of times, ours over the other's, both once before and then in turns, each round in another order."""
    times: dict[Callable[[], None], list[float]] = {ours: [], other: []}
    ours(), other()
    for number in range(rounds):
        for run in (ours, other) if number % 2 else (other, ours):
            start = perf_counter()
            run()
            times[run].append(perf_counter() - start)
    ratios = [one / two for one, two in zip(times[ours], times[other], strict=True)]
    return {
        "ratio": median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "ours_ms": 1000 * median(times[ours]),
        "plain_ms": 1000 * median(times[other]),
    }


def attend(query: Shape, key: Shape, backward: bool, function: Callable[..., Tensor]) -> Callable[[], None]:
    """One attention on random tokens, with its gradients if asked."""
    generator = torch.Generator().manual_seed(0)
    shapes = (query, key, key)
    tokens = [torch.randn(shape, generator=generator, requires_grad=backward) for shape in shapes]

    def run() -> None:
        with torch.set_grad_enabled(backward):
            out = function(*tokens)
        if backward:
            out.sum().backward()

    return run


class TinyDiffSal:
    """Training step and prediction of the tiny network."""

    def __init__(self, batch: int) -> None:
        torch.manual_seed(0)
        self.network = DiffSal(video_encoder="tiny", audio_encoder="tiny")
        self.diffusion, self.loss = GaussianDiffusion(), SaliencyLoss()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.video, self.audio = torch.randn(batch, 3, 16, *TINY), torch.randn(batch, 1, 9, 32, 64)
        self.clean, self.t = torch.rand(batch, 1, *TINY), torch.arange(batch) * 100

    def train(self) -> None:
        """Forward, backward and update."""
        self.network.train()
        noisy = self.diffusion.q_sample(self.clean, self.t, torch.randn_like(self.clean))
        self.loss(self.network(noisy, self.t, self.video, self.audio), self.clean).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    @torch.inference_mode()
    def predict(self, encode_every_step: bool = False) -> None:
        """Four denoising steps."""
        self.network.eval()
        condition = None if encode_every_step else self.network.encode(self.video, self.audio)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            if condition is None:
                return self.network(x, t, self.video, self.audio)
            return self.network.denoise(x, t, condition)

        Sampling(steps=STEPS).sample(denoise, self.clean.shape, self.diffusion, device="cpu")


def plainly(run: Callable[[], None]) -> Callable[[], None]:
    """The same with plain attention."""

    def plain_run() -> None:
        with attention(plain):
            run()

    return plain_run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2, help="clips of the tiny network")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    fused = F.scaled_dot_product_attention
    rows: dict[str, dict[str, float]] = {}
    for query, key in shapes_of_the_full_network():
        for backward in (False, True):
            name = f"attention {query} to {key[-2]}{', with gradients' if backward else ''}"
            turns = [attend(query, key, backward, function) for function in (fused, plain)]
            rows[name] = in_turns(turns[0], turns[1], options.rounds)
    network = TinyDiffSal(options.batch)
    rows["tiny: training step"] = in_turns(network.train, plainly(network.train), options.rounds)
    rows[f"tiny: prediction, {STEPS} steps, attention alone"] = in_turns(
        lambda: network.predict(), plainly(lambda: network.predict()), options.rounds
    )
    rows[f"tiny: prediction, {STEPS} steps, encoders once"] = in_turns(
        lambda: network.predict(),
        plainly(lambda: network.predict(encode_every_step=True)),
        options.rounds,
    )
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    print(f"{'ours / plain':<66} ratio  least   most   ours ms  plain ms")
    for name, row in rows.items():
        print(
            f"{name:<66} {row['ratio']:5.2f}  {row['least']:5.2f}  {row['most']:5.2f} {row['ours_ms']:9.1f} "
            f"{row['plain_ms']:9.1f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
