"""Step of torch's optimisers, fused against the default, and how far the weights drift apart.

    python benchmarks/fused_step.py
    python benchmarks/fused_step.py --device cuda --millions 77

Both take turns on the same gradients; the median ratio of the rounds is printed.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer


def optimiser(kind: type[Optimizer], millions: float, device: str, fused: bool | None) -> Optimizer:
    """An optimiser over matrices of 256x256 that start alike, with gradients."""
    torch.manual_seed(0)
    count = max(1, round(millions * 1e6 / 256**2))
    parameters = [torch.nn.Parameter(torch.randn(256, 256).to(device)) for _ in range(count)]
    for parameter in parameters:
        parameter.grad = torch.randn(256, 256).to(device)
    more = {"momentum": 0.9} if kind is SGD else {}
    return kind(parameters, lr=1e-3, fused=fused, **more)


def seconds(optimizer: Optimizer, device: str) -> float:
    """Wall time of a step, the device's queue emptied before and after."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    optimizer.step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--millions", type=float, default=10.0, help="Millions of parameters.")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print("optimiser  default ms  fused ms  ratio  largest difference of weights after all steps")
    for kind in (Adam, AdamW, SGD):
        plain, fast = (optimiser(kind, options.millions, options.device, fused) for fused in (None, True))
        times = [
            (seconds(plain, options.device), seconds(fast, options.device)) for _ in range(options.rounds)
        ]
        ratio = statistics.median(two / one for one, two in times[1:])
        pairs = zip(plain.param_groups[0]["params"], fast.param_groups[0]["params"], strict=True)
        apart = max(float((one - two).detach().abs().max()) for one, two in pairs)
        least = [1e3 * min(column) for column in zip(*times[1:], strict=True)]
        print(f"{kind.__name__:<9} {least[0]:11.2f} {least[1]:9.2f} {ratio:6.2f}  {apart:.1e}")


if __name__ == "__main__":
    main()
