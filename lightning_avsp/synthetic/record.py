"""Record of a synthetic video: the truth behind its frames, audio and gaze, kept beside the corpus.

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
from lightning_avsp.synthetic.observers import gaze_pixels, watch
from lightning_avsp.synthetic.scene import Scene, make_scene
from lightning_avsp.synthetic.spec import Condition, SyntheticSpec

GENERATOR = 1
"""Version of the generator: raised whenever the same spec and seed would give other bytes."""


@dataclass(frozen=True)
class VideoRecord:
    """Truth of one synthetic video. ``T`` frames, ``n`` objects, ``O`` observers; positions in frame pixels."""

    condition: Condition
    """Cue that observers follow."""
    kinds: NDArray[np.int64]
    """Colour and pitch of each object: 0 red 220 Hz, 1 green 440 Hz, 2 blue 880 Hz: (n,)."""
    pitches: NDArray[np.float64]
    """Fundamental of each object in Hz: (n,)."""
    radii: NDArray[np.float64]
    """Radius of each object: (n,)."""
    speeds: NDArray[np.float64]
    """Speed of each object in pixels per second: (n,)."""
    positions: NDArray[np.float64]
    """(x, y) of each object in every frame: (T, n, 2)."""
    sounding: NDArray[np.int64]
    """Object that sounds in every frame, -1 for none: (T,)."""
    attended: NDArray[np.int64]
    """Object that an observer of mean latency follows in every frame: (T,)."""
    switch_times: NDArray[np.float64]
    """Seconds at which an object begins to sound: (K,)."""
    switch_objects: NDArray[np.int64]
    """Object that begins to sound then: (K,)."""
    gaze: NDArray[np.float64]
    """(x, y) where each observer looks: (T, O, 2)."""
    gaze_target: NDArray[np.int64]
    """Object that each observer would follow without a lapse: (T, O)."""
    gaze_mode: NDArray[np.int64]
    """0 follows it, 1 looks at another object, 2 anywhere, 3 at the centre: (T, O)."""
    fixations: NDArray[np.int64]
    """(row, column) of each fixation on the annotation's grid: (T, O, 2)."""

    @property
    def fastest(self) -> int:
        """Index of the fast object."""
        return int(self.speeds.argmax())


def draw_video(
    spec: SyntheticSpec, condition: Condition, seed: int, corpus: str, index: int
) -> tuple[Scene, VideoRecord, list[np.random.Generator]]:
    """Draw a video: its scene, its truth at frame times, and the generators of its pixels and of its samples.

    A video is the same whatever else is generated, and by which process.
    """
    # by corpus and index: a video is the same beside any others
    sequence = np.random.SeedSequence([seed, crc32(corpus.encode()), index])
    for_scene, for_gaze, *others = (np.random.default_rng(child) for child in sequence.spawn(4))
    scene = make_scene(spec, condition, for_scene)
    gaze, target, mode = watch(spec, scene, for_gaze)
    times = np.arange(spec.frames) / spec.fps
    record = VideoRecord(
        condition=condition,
        kinds=scene.kinds,
        pitches=scene.pitches,
        radii=scene.radii,
        speeds=scene.speeds,
        positions=scene.positions(times),
        sounding=scene.sounding(times),
        attended=scene.attended(times, np.array(spec.latency)),
        switch_times=scene.switch_times,
        switch_objects=scene.switch_objects,
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
        kind = {"f": np.float32, "i": np.int16}.get(value.dtype.kind)
        arrays[field.name] = value if kind is None else value.astype(kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


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
