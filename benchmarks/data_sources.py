"""Clips per second of every way to read a corpus, through the training loader, as ratios to plain Pillow in turns.

    python benchmarks/data_sources.py [--rounds 7] [--workers 2] [--folder FOLDER]

Videos of 720p with the detail of real ones are generated first: flat colours would decode several times as fast. Plain
is Pillow decoding each JPEG at full size and resizing it. Aims with two workers: packed 5 times as fast, raw 15 times.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import av
import numpy as np
import simplejpeg
import soundfile
import torch
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

from lightning_avsp.data.cache import attach_cache
from lightning_avsp.data.cache.prepare import prepare_cache
from lightning_avsp.data.collate import collate
from lightning_avsp.data.dataset import TrainingClips
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.data.sources import MatFixations, PictureFrames, PictureMaps
from lightning_avsp.data.video_source import VideoFrames
from lightning_avsp.media.audio import LogMel
from lightning_avsp.structures import ClipPolicy

SIZE, SOURCE, MAP, FRAMES, FPS, BATCH = (224, 384), (720, 1280), (480, 640), 100, 25, 4


class PlainFrames(PictureFrames):
    """The baseline: Pillow decodes each JPEG at full size, then resizes it."""

    def pictures(self, numbers, size):
        """Frames by number."""
        opened = (Image.open(self.path(number)).convert("RGB") for number in numbers)
        return [np.array(image.resize(size[::-1], Image.Resampling.BILINEAR)) for image in opened]


def write_video(folder: Path, seed: int) -> VideoEntry:
    """A camera that moves over a still image of 1/f shading and grain, with maps, fixations, sound and an mp4."""
    generator, (height, width) = np.random.default_rng(seed), SOURCE
    wide = height + FRAMES, width + 3 * FRAMES
    frequency = np.hypot(np.fft.fftfreq(wide[0])[:, None], np.fft.rfftfreq(wide[1]))
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(generator.normal(size=(3, *wide))) / frequency**1.3
    still = gaussian_filter(np.fft.irfft2(spectrum, s=wide), (0, 1, 1))
    still = np.clip(115 + 45 * still / still.std(), 0, 255).transpose(1, 2, 0).astype(np.uint8)
    for name in ("frames", "maps"):
        (folder / name).mkdir(parents=True)
    with av.open(str(folder / "video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(1, FRAMES + 1):
            image = np.ascontiguousarray(still[number : number + height, 3 * number : 3 * number + width])
            (folder / f"frames/{number:05d}.jpg").write_bytes(simplejpeg.encode_jpeg(image, 85))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            fixated = np.zeros(MAP, np.uint8)
            fixated[generator.integers(0, MAP[0], 12), generator.integers(0, MAP[1], 12)] = 1
            density = gaussian_filter(fixated.astype(float), 20)
            grey = (density / density.max() * 255).astype(np.uint8)[..., None]
            (folder / f"maps/{number:05d}.jpg").write_bytes(simplejpeg.encode_jpeg(grey, 85, "GRAY"))
            savemat(folder / f"{number:05d}.mat", {"eyeMap": fixated}, do_compression=True)
        container.mux(stream.encode())
    soundfile.write(folder / "sound.wav", generator.normal(0, 0.1, FRAMES * 44100 // FPS), 44100)
    frames, maps = PictureFrames(folder / "frames", "{:05d}.jpg"), PictureMaps(folder / "maps", "{:05d}.jpg")
    fixations = MatFixations(folder, "{:05d}.mat")
    sound = folder / "sound.wav"
    return VideoEntry("BENCH", folder.name, FRAMES, float(FPS), frames, maps, fixations, sound, SOURCE)


def clips_per_second(entries: list[VideoEntry], workers: int, batches: int) -> float:
    """Speed from the first batch on: starting processes does not count."""
    clips = TrainingClips(entries, ClipPolicy(draw="every"), ClipReader(SIZE, LogMel()), seed=0)
    order = torch.randperm(len(clips)).repeat(1 + (batches + 1) * BATCH // len(clips))
    sampler = order[: (batches + 1) * BATCH].tolist()
    loader = torch.utils.data.DataLoader(
        clips, BATCH, sampler=sampler, num_workers=workers, collate_fn=collate
    )
    iterator = iter(loader)
    next(iterator)
    start = perf_counter()
    return sum(len(batch["video_id"]) for batch in iterator) / (perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Clips per second of JPEG, prepared cache and mp4.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="disk to measure on; a temporary folder by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        entries = [write_video(Path(name) / f"video{seed}", seed) for seed in range(3)]
        plain = [replace(e, frames=PlainFrames(e.frames.folder, e.frames.pattern)) for e in entries]
        films = [
            replace(e, frames=VideoFrames(e.frames.folder.parent / "video.mp4", "pyav")) for e in entries
        ]
        sources = {"plain PIL": plain, "JPEG": entries, "mp4 (PyAV)": films}
        for kind in ("packed", "raw"):
            prepare_cache(entries, Path(name) / kind, SIZE, format=kind, workers=1)
            sources[kind] = attach_cache(entries, Path(name) / kind, SIZE)
        found: dict[str, list[float]] = {source: [] for source in sources}
        for _ in range(options.rounds):
            for source, videos in sources.items():
                found[source].append(clips_per_second(videos, options.workers, options.batches))
    for source, speeds in found.items():
        ratios = [one / other for one, other in zip(speeds, found["plain PIL"], strict=True)]
        spread = f"x{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        print(f"{source:12} {median(speeds):8.1f} clips/s  {spread}")


if __name__ == "__main__":
    main()
