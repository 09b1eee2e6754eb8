"""Clips per second of the training loader, by source of the frames, as ratios to plain Pillow measured in turns.

    python benchmarks/data_sources.py [--rounds 3] [--workers 0 2] [--seconds 2]

Clips of 16x224x384 with log-mel audio and a map of 480x640, batch 4, from three generated videos of 720p JPEGs (1/f
noise). "plain PIL" decodes each JPEG at full size and resizes it; the aims are packed >= 5 and raw >= 15 times that.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.io import savemat, wavfile
from torch.utils.data import DataLoader

from lightning_avsp.data.cache.prepare import prepare_cache
from lightning_avsp.data.cache.sources import attach_cache
from lightning_avsp.data.collate import collate
from lightning_avsp.data.dataset import TrainingClips
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.data.sources import MatFixations, PictureFrames, PictureMaps
from lightning_avsp.media.audio import LogMel
from lightning_avsp.structures import ClipPolicy

SIZE, FRAMES, BATCH = (224, 384), 100, 4


@dataclass(frozen=True)
class PlainFrames(PictureFrames):
    """Baseline: Pillow decodes each JPEG at full size and resizes it."""

    def read(self, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Read frames by number."""
        images = [Image.open(self.path(number)).convert("RGB") for number in numbers]
        return np.stack([image.resize(size[::-1], Image.Resampling.BILINEAR) for image in images])


def make_video(folder: Path, seed: int) -> VideoEntry:
    """Write a drifting texture of 1/f noise with maps, fixations and noise as audio."""
    rng = np.random.default_rng(seed)
    octaves = [torch.from_numpy(rng.standard_normal((1, 3, 720 >> k, 1280 >> k))) / (6 - k) for k in range(6)]
    texture = sum(F.interpolate(octave, size=(720, 1280), mode="bilinear") for octave in octaves)
    pixels = (torch.sigmoid(texture) * 255)[0].byte().permute(1, 2, 0).numpy()
    (folder / "maps").mkdir(parents=True)
    for number in range(1, FRAMES + 1):
        Image.fromarray(np.roll(pixels, 3 * number, axis=1)).save(folder / f"{number}.jpg", quality=75)
        rows, columns = np.mgrid[:480, :640]
        saliency = 255 * np.exp(-((rows - 240) ** 2 + (columns - 5 * number) ** 2) / 5000)
        Image.fromarray(saliency.astype(np.uint8)).save(folder / "maps" / f"{number}.jpg")
        savemat(folder / f"{number}.mat", {"eyeMap": saliency > 254})
    wavfile.write(folder / "a.wav", 22_050, (rng.standard_normal(22_050 * 4) * 3000).astype(np.int16))
    return VideoEntry(
        *("AVAD", folder.name, FRAMES, 25.0),
        PictureFrames(folder, "{}.jpg"),
        PictureMaps(folder / "maps", "{}.jpg"),
        MatFixations(folder, "{}.mat"),
        folder / "a.wav",
        (720, 1280),
    )


def make_sources(folder: Path) -> dict[str, list[VideoEntry]]:
    """Return the same videos behind each source."""
    entries = [make_video(folder / f"v{seed}", seed) for seed in range(3)]
    plain = [replace(entry, frames=PlainFrames(entry.frames.folder, "{}.jpg")) for entry in entries]  # type: ignore[attr-defined]
    sources = {"plain PIL": plain, "JPEG": entries}
    for form in ("packed", "raw"):
        prepare_cache(entries, folder / form, SIZE, format=form, workers=1)  # type: ignore[arg-type]
        sources[form] = attach_cache(entries, folder / form, SIZE)
    return sources


def clips_per_second(entries: Sequence[VideoEntry], workers: int, batches: int, seed: int) -> float:
    """Time every batch after the first one; starting workers does not count."""
    clips = TrainingClips(entries, ClipPolicy(draw="every"), ClipReader(SIZE, LogMel()), seed=seed)
    order = np.resize(np.random.default_rng(seed).permutation(len(clips)), (batches + 1) * BATCH)
    loader: DataLoader[Any] = DataLoader(
        clips,  # type: ignore[arg-type]
        batch_size=BATCH,
        sampler=order.tolist(),
        num_workers=workers,
        collate_fn=collate,
        multiprocessing_context="fork" if workers else None,
    )
    iterator: Iterator[Any] = iter(loader)
    next(iterator)
    start = perf_counter()
    count = sum(len(batch["video_id"]) for batch in iterator)
    return count / (perf_counter() - start)


def main() -> None:
    """Measure and print clips per second and ratios, median (least to most) over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement, about")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        sources = make_sources(Path(folder))
        cells = [(name, workers) for workers in options.workers for name in sources]
        # a first pass finds how many batches a measurement needs, and warms the page cache
        speeds = {cell: clips_per_second(sources[cell[0]], cell[1], 3, 0) for cell in cells}
        batches = {
            cell: max(3 + 2 * cell[1], round(speeds[cell] * options.seconds / BATCH)) for cell in cells
        }
        found: dict[tuple[str, int], list[float]] = {cell: [] for cell in cells}
        for number in range(options.rounds):
            for index in np.random.default_rng(number).permutation(len(cells)):
                name, workers = cell = cells[index]
                found[cell].append(clips_per_second(sources[name], workers, batches[cell], number))
    for (name, workers), rounds in found.items():
        ratios = [one / plain for one, plain in zip(rounds, found["plain PIL", workers], strict=True)]
        print(
            f"{name:10} {workers} workers: {median(rounds):6.1f} clips/s, {median(ratios):5.1f} x plain PIL "
            f"({min(ratios):.1f} to {max(ratios):.1f})"
        )


if __name__ == "__main__":
    main()
