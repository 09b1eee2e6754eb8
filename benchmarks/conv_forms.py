"""Milliseconds of every distinct 3-D convolution of the full-size networks in each of its forms, on a GPU in bf16.

    python benchmarks/conv_forms.py                     # forward and backward, batch 8, under a minute on an H100
    python benchmarks/conv_forms.py --network avrsp --seconds 20

Each line: network, calls in a pass, kernel, stride, groups, input size; then each form, the one that is chosen in
brackets, the fastest starred; largest inputs first. The last lines sum a pass of each network over the chosen and over
the fastest forms.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from math import prod

import torch
from torch import nn

from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.avrsp import AVRSP
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.papers.mubic import MUBiC
from lightning_avsp.papers.tavdiff import TAVDiff

NETWORKS = {"diffsal": DiffSal, "mubic": MUBiC, "avrsp": AVRSP, "tavdiff": TAVDiff}


def calls(name: str) -> Counter[tuple[object, ...]]:
    """Count the distinct convolutions of a pass on the meta device: (settings, input shape)."""
    found: Counter[tuple[object, ...]] = Counter()

    def note(conv: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(conv, VideoConvolution)
        settings = (
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            *conv.geometry(),
            conv.bias is not None,
        )
        found[settings, tuple(args[0].shape[1:])] += 1

    with torch.device("meta"), torch.no_grad():
        network = NETWORKS[name]().eval()
        for module in network.modules():
            if isinstance(module, VideoConvolution):
                module.register_forward_pre_hook(note)
        video, wave = torch.empty(1, 3, 32 if name == "avrsp" else 16, 224, 384), torch.empty(1, 1, 35280)
        noise, t = torch.empty(1, 1, 224, 384), torch.empty(1, dtype=torch.int64)
        if name == "avrsp":
            network(video, wave)
        elif name == "tavdiff":
            network(noise, t, video, wave, torch.empty(1, 20, 512))
        else:
            network(noise, t, video, torch.empty(1, 1, 9, 112, 192))
    return found


def milliseconds(conv: VideoConvolution, x: torch.Tensor, rounds: int = 5) -> float:
    """Least time of a forward and backward pass under autocast."""
    best = float("inf")
    for number in range(rounds + 2):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            y = conv(x)
        y.backward(y.detach())
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end)) if number > 1 else best
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=55, help="stop measuring after so many")
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    sums, known = defaultdict(lambda: [0.0, 0.0]), {}
    for name in options.network:
        began, share = time.perf_counter(), options.seconds / len(options.network)
        for (settings, shape), count in sorted(
            calls(name).items(), key=lambda item: -prod(item[0][1]) * item[1]
        ):
            if time.perf_counter() - began > share:
                print(f"{name}: stopped after {share:.0f} s")
                break
            if (settings, shape) not in known:
                known[settings, shape] = measure(settings, shape, options.batch)
            chosen, times = known[settings, shape]
            fastest = min(times, key=lambda form: times[form])
            words = [
                f"{f'[{form}]' if form == chosen else form} {ms:.2f}{'*' if form == fastest else ''}"
                for form, ms in times.items()
            ]
            print(
                f"{name:<8} x{count:<3} {settings[2]} /{settings[3]} g{settings[6]} {shape}: {'  '.join(words)}"
            )
            sums[name][0] += count * times.get(chosen, float("nan"))
            sums[name][1] += count * times[fastest]
    for name, (ours, best) in sums.items():
        print(
            f"{name}: convolutions of a training step, batch {options.batch}: {ours:.1f} ms, at best {best:.1f} ms"
        )


def measure(settings: tuple, shape: tuple[int, ...], batch: int) -> tuple[str, dict[str, float]]:
    """Chosen form, and milliseconds of each form that works, on channels-last input."""
    channels, out, kernel, stride, padding, dilation, groups, bias = settings
    conv = VideoConvolution(channels, out, kernel, stride, padding, dilation, groups, bias, device="cuda")
    x = torch.randn(batch, *shape, device="cuda", dtype=torch.bfloat16)
    x = x.contiguous(memory_format=torch.channels_last_3d).requires_grad_(channels > 3)
    chosen, times = conv.best_form("cuda", shape[1]), {}
    for form in conv.forms():
        if form == "plain" and groups > 1:
            continue  # seconds for some
        conv.form = form
        try:
            times[form] = milliseconds(conv, x)
        except RuntimeError as error:  # a form that fails must not end the table
            print(f"{form} failed: {type(error).__name__}: {str(error).splitlines()[0]}")
    return chosen, times


if __name__ == "__main__":
    main()
