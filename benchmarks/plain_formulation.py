"""Time of released DiffSal over that of the research code's formulation, on the CPU, in turns.

    python benchmarks/plain_formulation.py [--size tiny] [--rounds 3] [--threads 2]

The plain formulation computes the same from the same parameters as the field's research code writes it: convolutions
and poolings on channels-first memory, each scale of the head added to a new tensor, one call for each head, attention
with all scores and relative positions in memory, and encoders that run at every denoising step. Printed are the median
of the rounds' ratios (ours / plain, below 1 is faster), least and most, of seconds and of processor time, which other
work on the machine changes less, and the largest difference of the maps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from time import perf_counter, process_time
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.backbones.vggish import FirstConvolution
from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.layers.pooling_attention import Grid, relative_positions
from lightning_avsp.layers.video_convolution import VideoConvolution, VideoMaxPool
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.papers.diffsal.released.decoder import Head

STEPS = 4


def attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017) with all scores in memory."""
    scores = torch.einsum("...nc,...mc->...nm", query, key) * (scale or query.shape[-1] ** -0.5)
    if attn_mask is not None:
        scores = (
            scores.masked_fill(~attn_mask, float("-inf"))
            if attn_mask.dtype == torch.bool
            else scores + attn_mask
        )
    return torch.einsum("...nm,...mc->...nc", scores.softmax(dim=-1), value)


def attend_by_position(
    query: Tensor, key: Tensor, value: Tensor, grids: tuple[Grid, Grid], tables: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Attend with relative positions added to a matrix of all scores (Li et al., 2022, Eq. 3)."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))  # (B, heads, 1 + N, C)
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    cells = query[:, :, 1:].unflatten(2, grids[0])
    added: Tensor | float = 0.0
    letters = zip("thw", tables, grids[0], grids[1], strict=True)
    for (axis, table, queries, keys), shape in zip(
        letters, ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True
    ):
        rows = relative_positions(table, queries, keys)
        score = torch.einsum(f"bnthwc,{axis}kc->bnthwk", cells, rows)
        added = added + score.unflatten(-1, shape)
    assert isinstance(added, Tensor)
    scores[:, :, 1:, 1:] += added.flatten(5).flatten(2, 4)
    mixed = scores.softmax(dim=-1) @ value
    mixed[:, :, 1:] += query[:, :, 1:]
    return mixed.transpose(1, 2)


def convolve(self: VideoConvolution, x: Tensor) -> Tensor:
    """Convolve on channels-first memory, each set of channels as a clip of its own."""
    sets = x.shape[1] // self.in_channels
    y = nn.Conv3d.forward(self, x.unflatten(1, (sets, -1)).flatten(0, 1).contiguous())
    return y.unflatten(0, (-1, sets)).flatten(1, 2)


def add_scales(self: Head, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Enlarge the maps of all scales and add them one by one."""
    total = F.interpolate(maps[0].contiguous(), size=size, mode="bilinear")
    for scale in maps[1:]:
        total = total + F.interpolate(scale.contiguous(), size=size, mode="bilinear")
    return self.logit(self.projection(total)).sigmoid()


@contextmanager
def plain() -> Iterator[None]:
    """Compute as the research code does."""
    with ExitStack() as stack:
        for flat in (nn.Conv2d, nn.MaxPool2d):
            forward = flat.forward
            stack.enter_context(
                patch.object(flat, "forward", lambda self, x, forward=forward: forward(self, x.contiguous()))
            )
        stack.enter_context(patch.object(FirstConvolution, "forward", nn.Conv2d.forward))
        stack.enter_context(patch.object(Head, "forward", add_scales))
        stack.enter_context(patch("torch.nn.functional.scaled_dot_product_attention", attend))
        stack.enter_context(
            patch(
                "lightning_avsp.papers.diffsal.released.mvit.attend_by_relative_positions", attend_by_position
            )
        )
        stack.enter_context(patch.object(VideoConvolution, "forward", convolve))
        stack.enter_context(
            patch.object(VideoMaxPool, "forward", lambda self, x: nn.MaxPool3d.forward(self, x.contiguous()))
        )
        yield


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="Released DiffSal against the plain formulation, on the CPU."
    )
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    full = options.size == "full"
    size, mel = ((224, 384), (112, 192)) if full else ((64, 128), (32, 64))
    if full:
        network = DiffSal(variant="released").eval()
    else:
        network = DiffSal(variant="released", video_encoder="tiny", audio_encoder="tiny").eval()
    for parameter in network.parameters():  # tables and tokens that start at zero would hide a difference
        parameter.data += 0.01 * torch.randn_like(parameter)
    video, audio = torch.randn(1, 3, 16, *size), torch.randn(1, 1, 9, *mel)
    noisy, t, diffusion = torch.randn(1, 1, *size), torch.tensor([500]), GaussianDiffusion()

    def forward(every_step: bool) -> Tensor:
        return network.denoise(noisy, t, network.encode(video, audio))

    def sample(every_step: bool) -> Tensor:
        condition = network.encode(video, audio)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            return network.denoise(x, t, network.encode(video, audio) if every_step else condition)

        torch.manual_seed(1)
        return Sampling(steps=STEPS).sample(
            denoise, noisy.shape, diffusion, device="cpu", seeds=range(len(noisy))
        )

    tasks: dict[str, Callable[[bool], Tensor]] = {"forward pass": forward, f"{STEPS}-step prediction": sample}
    with torch.inference_mode():
        for name, run in tasks.items():
            ratios: dict[str, list[float]] = {"seconds": [], "processor time": []}
            difference = 0.0
            for number in range(options.rounds + 1):
                spent, maps = {}, {}
                for ours in (True, False) if number % 2 else (False, True):
                    with ExitStack() as stack:
                        if not ours:
                            stack.enter_context(plain())
                        start = perf_counter(), process_time()
                        maps[ours] = run(not ours)
                        spent[ours] = perf_counter() - start[0], process_time() - start[1]
                for values, own, other in zip(ratios.values(), spent[True], spent[False], strict=True):
                    values += [own / other] if number else []  # the first round fills caches
                difference = max(difference, float((maps[True] - maps[False]).abs().max()))
            shown = (f"{kind} {median(x):.2f} ({min(x):.2f} to {max(x):.2f})" for kind, x in ratios.items())
            print(f"{name:20} {', '.join(shown)}, maps differ by {difference:.1e}", flush=True)


if __name__ == "__main__":
    main()
