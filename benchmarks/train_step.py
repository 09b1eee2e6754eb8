"""Seconds and peak memory of DiffSal's training step and prediction at full size, on the CPU or a GPU.

    python benchmarks/train_step.py --batch 1
    python benchmarks/train_step.py --device cuda --batch 4 20 --precision fp32 bf16 --compile both

Configurations are interleaved, round by round, so that whatever else the machine does falls on all of them alike; the
least time of each is printed, and its ratio to the first. Memory on the CPU is the growth of the process's peak, which
only the first configuration of a process shows fully: run one at a time there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import time
from pathlib import Path

import torch

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.losses import SaliencyLoss
from lightning_avsp.papers.diffsal import DiffSal

FRAMES, SIZE, AUDIO = 16, (224, 384), (9, 112, 192)


class Configuration:
    """One network with its inputs, precision and compilation."""

    def __init__(self, variant: str, batch: int, precision: str, compiled: bool, device: str) -> None:
        self.name = f"{variant}, batch {batch}, {precision}{', compiled' if compiled else ''}"
        self.device, self.bf16 = torch.device(device), precision == "bf16"
        torch.manual_seed(0)
        self.network = DiffSal(variant=variant).to(self.device)
        self.diffusion, self.loss = GaussianDiffusion().to(self.device), SaliencyLoss()
        self.optimizer = torch.optim.Adam([p for p in self.network.parameters() if p.requires_grad], lr=1e-4)
        self.frames = torch.randint(0, 256, (batch, FRAMES, *SIZE, 3), dtype=torch.uint8, device=self.device)
        self.audio = torch.randn(batch, 1, *AUDIO, device=self.device)
        self.clean = torch.rand(batch, 1, *SIZE, device=self.device)
        self.forward = torch.compile(self.network) if compiled else self.network

    def train_step(self) -> None:
        """Forward, backward and update."""
        self.network.train()
        t = torch.randint(0, 1000, (len(self.clean),), device=self.device)
        noisy = self.diffusion.q_sample(self.clean, t, torch.randn_like(self.clean))
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            out = self.forward(noisy, t, self.network.normalize_video(self.frames), self.audio)
            loss = self.loss(out, self.clean)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    @torch.inference_mode()
    def predict(self) -> None:
        """Encode once, denoise four times."""
        self.network.eval()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            condition = self.network.encode(self.network.normalize_video(self.frames), self.audio)
            Sampling(steps=4).draw(
                lambda x, t: self.network.denoise(x, t, condition).float(),
                self.clean.shape,
                self.diffusion,
                device=self.device,
            )


def seconds(run, device: torch.device) -> float:
    """Wall time of one call, the device's queue emptied before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_gib(device: torch.device) -> float:
    """Peak memory so far: allocated on the GPU, resident on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", nargs="+", default=["paper"], choices=["paper", "released"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=["fp32", "bf16"])
    parser.add_argument("--compile", default="off", choices=["off", "on", "both"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    compiled = {"off": [False], "on": [True], "both": [False, True]}[options.compile]
    settings = list(itertools.product(options.variant, options.batch, options.precision, compiled))
    rows: dict[str, dict[str, float]] = {}
    for round_number in range(options.rounds + 1):
        for setting in settings:
            configuration = Configuration(*setting, options.device)
            if options.device.startswith("cuda"):
                torch.cuda.reset_peak_memory_stats()
            if round_number == 0 or setting[3]:
                configuration.train_step()  # warms caches, compiles
            row = rows.setdefault(
                configuration.name, {"train_s": float("inf"), "predict_s": float("inf"), "gib": 0.0}
            )
            row["train_s"] = min(row["train_s"], seconds(configuration.train_step, configuration.device))
            row["gib"] = max(row["gib"], peak_gib(configuration.device))
            row["predict_s"] = min(row["predict_s"], seconds(configuration.predict, configuration.device))
            del configuration
            if options.device.startswith("cuda"):
                torch.cuda.empty_cache()
    first = next(iter(rows.values()))
    print(f"{'configuration':<36} train s  ratio  predict s  peak GiB")
    for name, row in rows.items():
        ratio = row["train_s"] / first["train_s"]
        print(f"{name:<36} {row['train_s']:7.2f} {ratio:6.2f} {row['predict_s']:10.2f} {row['gib']:9.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
