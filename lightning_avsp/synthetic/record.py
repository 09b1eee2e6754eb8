"""Simulated observers, and the record of a synthetic video: the truth behind its frames, audio and gaze.

``<root>/synthetic.json`` (:mod:`lightning_avsp.data.manifest`) describes the corpus;
``<root>/synthetic/<corpus>/<video>.npz`` holds the tracks, the sounding object and the gaze of every observer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lightning_avsp.errors import CorpusNotFoundError
from lightning_avsp.synthetic.scene import Objects, Scene, make_scene
from lightning_avsp.synthetic.spec import Condition, SyntheticSpec

LATENCY_RANGE = (0.08, 0.4)
"""Shortest and longest latency of an observer, in seconds."""
SHRINK = 0.04  # share of the way to the middle: saccades of true observers undershoot
CENTRE_SPREAD = 1 / 8
"""Spread of lapses towards the middle, as a share of height and width."""
ON_TARGET, ON_OTHER, ANYWHERE, ON_CENTRE = range(4)
"""Behaviour of an observer in a frame: follows the target, looks at another object, anywhere, or at the centre."""


def watch(
    spec: SyntheticSpec, scene: Scene, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Simulate the gaze of ``O`` observers in ``T`` frames of a scene.

    An observer follows the object that sounded ``latency`` seconds ago, or the fastest one when none sounds,
    trails it by ``pursuit_lag``, and now and then lapses.

    Returns:
        Gaze as (x, y) in frame pixels, inside the frame: (T, O, 2); the object that each observer would follow without
        a lapse: (T, O); and the behaviour, from :data:`ON_TARGET` to :data:`ON_CENTRE`: (T, O).
    """
    T, O = spec.frames, spec.observers  # noqa: E741
    height, width = spec.size
    n = len(scene.radii)
    times = np.arange(T) / spec.fps
    latency = np.clip(rng.normal(spec.latency, spec.latency_sd, O), *LATENCY_RANGE)
    target = scene.attended(times[:, None], latency[None])

    spell = np.minimum((times / spec.lapse_seconds + 1e-9).astype(int), T)  # lapses last, they do not flicker
    spells = int(spell[-1]) + 1
    draw = rng.random((spells, O))[spell]
    edges = np.cumsum([1 - spec.lapse - spec.centre_lapse, spec.lapse / 2, spec.lapse / 2])
    mode = np.searchsorted(edges, draw, side="right").clip(0, ON_CENTRE)
    # never the target itself: n - 1 others to choose from
    other = (target + rng.integers(1, n, (spells, O))[spell]) % n
    looked_at = np.where(mode == ON_OTHER, other, target)

    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    seen = scene.positions(times - spec.pursuit_lag)  # (T, n, 2)
    points = seen[np.arange(T)[:, None], looked_at]  # (T, O, 2)
    points = points + SHRINK * (centre - points)  # as true observers undershoot
    anywhere = rng.uniform((0, 0), (width - 1, height - 1), (spells, O, 2))[spell]
    middle = (centre + rng.normal(0, 1, (spells, O, 2)) * CENTRE_SPREAD * np.array([width, height]))[spell]
    # lapses replace the place, gaze noise comes to all of them
    points = np.where((mode == ANYWHERE)[..., None], anywhere, points)
    points = np.where((mode == ON_CENTRE)[..., None], middle, points)
    points += rng.normal(0, spec.gaze_noise * spec.scale, points.shape)
    return np.clip(points, 0, (width - 1, height - 1)), target, mode


def gaze_pixels(spec: SyntheticSpec, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Fixated pixels on the annotation's grid as (row, column): int64 (T, O, 2); from gaze in frame pixels."""
    scale = np.array(spec.map_size), np.array(spec.size)
    pixels = np.floor((points[..., ::-1] + 0.5) * scale[0] / scale[1]).astype(np.int64)
    return pixels.clip(0, scale[0] - 1)


def saliency_maps(spec: SyntheticSpec, pixels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Fixation counts blurred by a Gaussian, each frame scaled to a peak of 255.

    A sum of separable Gaussians is one matrix product per frame, whatever the width of the Gaussian.

    Args:
        spec: Size and width of the Gaussian.
        pixels: (row, column) of each fixation: (T, O, 2).

    Returns:
        uint8 (T, Hm, Wm).
    """
    rows, columns = spec.map_size
    sigma = spec.map_sigma * spec.scale
    # a sum of separable Gaussians is one matrix product per frame, whatever its width
    down = _profile(rows, sigma * rows / spec.size[0])[pixels[..., 0]]  # (T, O, Hm)
    across = _profile(columns, sigma * columns / spec.size[1])[pixels[..., 1]]  # (T, O, Wm)
    maps = np.empty((len(pixels), rows, columns), np.uint8)
    for frame in range(len(pixels)):
        density = down[frame].T @ across[frame]
        maps[frame] = np.rint(density * (255 / density.max()))
    return maps


def _profile(length: int, sigma: float) -> NDArray[np.float64]:
    """Gaussian around every pixel of a line: (centre, pixel)."""
    steps = np.arange(length)
    profile: NDArray[np.float64] = np.exp(-0.5 * ((steps[:, None] - steps[None]) / sigma) ** 2)
    return profile


GENERATOR = 1
"""Version of the generator: raised whenever the same spec and seed would give other bytes."""


@dataclass(frozen=True)
class VideoRecord(Objects):
    """Truth of one synthetic video. ``T`` frames, ``n`` objects, ``O`` observers; positions in frame pixels."""

    positions: NDArray[np.float64]
    """(x, y) of each object in every frame: (T, n, 2)."""
    sounding: NDArray[np.int64]
    """Object that sounds in every frame, -1 for none: (T,)."""
    attended: NDArray[np.int64]
    """Object that an observer of mean latency follows in every frame: (T,)."""
    gaze: NDArray[np.float64]
    """(x, y) where each observer looks: (T, O, 2)."""
    gaze_target: NDArray[np.int64]
    """Object that each observer would follow without a lapse: (T, O)."""
    gaze_mode: NDArray[np.int64]
    """0 follows it, 1 looks at another object, 2 anywhere, 3 at the centre: (T, O)."""
    fixations: NDArray[np.int64]
    """(row, column) of each fixation on the annotation's grid: (T, O, 2)."""


def draw_video(
    spec: SyntheticSpec, condition: Condition, seed: int, corpus: str, index: int
) -> tuple[Scene, VideoRecord, list[np.random.Generator]]:
    """Draw a video: its scene, its truth at frame times, and the generators of its pixels and of its samples.

    A video is the same whatever else is generated, and by which process.
    """
    # by corpus and index: a video is the same beside any others
    sequence = np.random.SeedSequence([seed, crc32(corpus.encode()), index])
    # a generator for each purpose: a spec of more observers leaves the scene as it is
    for_scene, for_gaze, *others = (np.random.default_rng(child) for child in sequence.spawn(4))
    scene = make_scene(spec, condition, for_scene)
    gaze, target, mode = watch(spec, scene, for_gaze)
    times = np.arange(spec.frames) / spec.fps
    record = VideoRecord(
        **{field.name: getattr(scene, field.name) for field in fields(Objects)},
        positions=scene.positions(times),
        sounding=scene.sounding(times),
        attended=scene.attended(times, np.array(spec.latency)),
        gaze=gaze,
        gaze_target=target,
        gaze_mode=mode,
        fixations=gaze_pixels(spec, gaze),
    )
    return scene, record, others


def write_video_record(path: Path, record: VideoRecord) -> None:
    """Save a record, real numbers in single precision and whole ones in 16 bits."""
    arrays = {}
    for field in fields(VideoRecord):
        value = np.asarray(getattr(record, field.name))
        # single precision is exact to 1e-4 of a pixel, at half the size
        kind = {"f": np.float32, "i": np.int16}.get(value.dtype.kind)
        arrays[field.name] = value if kind is None else value.astype(kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy 1 stores its option as an array


def record_path(root: Path, corpus: str, video: str) -> Path:
    """Return the path of a video's record."""
    return root / "synthetic" / corpus / f"{video}.npz"


def read_video_record(root: Path, corpus: str, video: str) -> VideoRecord:
    """Read the truth of a synthetic video.

    Raises:
        CorpusNotFoundError: If there is no record of that video.
    """
    path = record_path(Path(root), corpus, video)
    if not path.is_file():
        raise CorpusNotFoundError(
            f"no record of synthetic video {video} at {path}; write the corpus with `avsp data synth`"
        )
    with np.load(path, allow_pickle=False) as stored:
        arrays: dict[str, Any] = {
            name: array.astype({"f": np.float64, "i": np.int64}[array.dtype.kind])
            for name, array in stored.items()
            if name != "condition"
        }
        return VideoRecord(condition=str(stored["condition"]), **arrays)  # type: ignore[arg-type]
