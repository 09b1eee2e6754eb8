"""Time of tiny DiffSal over that of the plain formulation, on the CPU: training step and prediction, in turns.

    python benchmarks/plain_attention.py [--rounds 9]

Plain is the field's research code: attention as einsum, softmax, einsum with all scores in memory, and a prediction
that runs the encoders at every denoising step. All else is the same code. Printed are the median of the rounds' ratios
(ours / plain, below 1 is faster), least and most.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter
from unittest.mock import patch

import torch
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.losses import SaliencyLoss
from lightning_avsp.papers.diffsal import DiffSal

SIZE, BATCH, STEPS = (64, 128), 2, 4


def plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, **_: object) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017) with all scores in memory."""
    scores = torch.einsum("...nc,...mc->...nm", query, key) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.einsum("...nm,...mc->...nc", scores.softmax(dim=-1), value)


def plainly(run: Callable[[], None]) -> None:
    """Run with plain attention."""
    with patch("torch.nn.functional.scaled_dot_product_attention", plain):
        run()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Tiny DiffSal against the plain formulation, on the CPU.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    network = DiffSal(video_encoder="tiny", audio_encoder="tiny")
    diffusion, loss = GaussianDiffusion(), SaliencyLoss()
    video, audio = torch.randn(BATCH, 3, 16, *SIZE), torch.randn(BATCH, 1, 9, 32, 64)
    clean, t = torch.rand(BATCH, 1, *SIZE), torch.arange(BATCH) * 100

    def train() -> None:
        noisy = diffusion.q_sample(clean, t, torch.randn_like(clean))
        loss(network.train()(noisy, t, video, audio), clean).backward()
        network.zero_grad(set_to_none=True)

    @torch.inference_mode()
    def predict(encode_every_step: bool = False) -> None:
        condition = network.eval().encode(video, audio)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            return network.denoise(x, t, network.encode(video, audio) if encode_every_step else condition)

        Sampling(steps=STEPS).sample(denoise, clean.shape, diffusion, device="cpu", seeds=range(len(clean)))

    for name, ours, other in (
        ("training step", train, lambda: plainly(train)),
        (f"{STEPS}-step prediction, attention alone", predict, lambda: plainly(predict)),
        (f"{STEPS}-step prediction, encoders once", predict, lambda: plainly(lambda: predict(True))),
    ):
        ratios = []
        for number in range(rounds + 1):
            seconds = {}
            for run in (ours, other) if number % 2 else (other, ours):
                start = perf_counter()
                run()
                seconds[run] = perf_counter() - start
            ratios += [seconds[ours] / seconds[other]] if number else []  # the first round fills caches
        print(f"{name:40} {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
