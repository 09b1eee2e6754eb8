"""Training step of DiffSal with a frozen video encoder: features computed, stored for the first time, and read.

    python benchmarks/frozen_features.py --encoder mvitv2_s --size 224 384 --batch 1
    python benchmarks/frozen_features.py --device cuda --batch 5 --precision bf16 --folder /local/disk

The three take turns, round by round, so that whatever else the machine does falls on all of them alike. A step is the
task's: hashing of frames, reading or writing of files, forward, backward, update. Every round has clips that no earlier
one had; their files were just written, so they are read from the system's memory, as in a later epoch of a set that
fits into it. From a cold disk, add the size of a clip over the disk's speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from lightning_avsp.backbones.feature_store import frames_key
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.tasks import DiffusionSaliencyTask
from lightning_avsp.tasks.feature_cache import FeatureCache, cached_encoder

WAYS = ("computed", "stored", "read")


class Subject:
    """The task with its optimiser, with and without a store."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.device = options, torch.device(options.device)
        torch.manual_seed(0)
        network = DiffSal(video_encoder=options.encoder, audio_encoder=options.sound, freeze_video=True)
        cache = FeatureCache(folder, tests=True)
        self.task = DiffusionSaliencyTask(network, feature_cache=cache).to(self.device).train()
        self.task.log = self.task.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
        self.optimizer: Any = self.task.configure_optimizers()
        self.task.features.attach(network, SimpleNamespace(strategy=None), SimpleNamespace(), "test")  # type: ignore[arg-type]
        self.encoder = cached_encoder(network)
        self.kept = self.encoder.stored

    def clips(self) -> torch.Tensor:
        """Frames that were not there before."""
        shape = (self.options.batch, 16, *self.options.size, 3)
        return torch.randint(0, 256, shape, dtype=torch.uint8)

    def step(self, frames: torch.Tensor, stored: bool) -> float:
        """Seconds of a training step from frames on the CPU to the updated weights."""
        height, width = self.options.size
        start = self._now()
        batch: Any = {
            "audio": torch.randn(self.options.batch, 1, 9, height // 2, width // 2, device=self.device),
            "saliency": torch.randint(0, 256, (len(frames), 1, height, width)).to(self.device, torch.uint8),
        }
        if stored:
            batch["clip_keys"] = [frames_key(clip) for clip in frames]
        batch["video"] = frames.to(self.device)
        self.encoder.stored = self.kept if stored else None
        shown = self.task.features._stored
        self.task.features._stored = self.kept if stored else None
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.options.precision == "bf16"):
            loss = self.task.training_step(batch, 0)
        self.task.features._stored = shown
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return self._now() - start

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="mvitv2_s")
    parser.add_argument("--sound", default="vggish")
    parser.add_argument("--size", nargs=2, type=int, default=[224, 384])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, help="Where features lie meanwhile; a temporary folder by default."
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        subject = Subject(options, Path(folder))
        subject.step(subject.clips(), stored=True)  # hashes the weights, warms memory
        for _ in range(options.rounds):
            frames = subject.clips()
            for way in WAYS:
                seconds[way].append(subject.step(frames, stored=way != "computed"))
        files, gib = subject.kept.store.size() if subject.kept is not None else (0, 0.0)
    ratios = {
        way: [mine / plain for mine, plain in zip(seconds[way], seconds["computed"], strict=True)]
        for way in WAYS
    }
    print(
        f"{options.encoder}, {options.size[0]}x{options.size[1]}, batch {options.batch}, {options.precision}"
    )
    print("features  least s  ratio of rounds: median (least to most)")
    for way in WAYS:
        middle, low, high = statistics.median(ratios[way]), min(ratios[way]), max(ratios[way])
        print(f"{way:<9} {min(seconds[way]):7.3f}  {middle:.2f} ({low:.2f} to {high:.2f})")
    print(f"{1024 * gib / files:.1f} MiB a clip")
    if options.json:
        options.json.write_text(json.dumps({"seconds": seconds, "mib_a_clip": 1024 * gib / files}, indent=2))


if __name__ == "__main__":
    main()
