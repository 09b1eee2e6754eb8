"""Write one synthetic video into a folder: frames, sound, maps, fixations, record, and on demand a film."""

from __future__ import annotations

import io
import shutil
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from lightning_avsp.data.synthetic.observers import saliency_maps
from lightning_avsp.data.synthetic.record import draw_video, make_record, record_path, write_record
from lightning_avsp.data.synthetic.scene import render
from lightning_avsp.data.synthetic.sound import make_sound
from lightning_avsp.data.synthetic.spec import Condition, SyntheticSpec

MAT_HEADER = b"MATLAB 5.0 MAT-file, synthetic fixation map".ljust(116)
"""Replaces SciPy's header text, whose date and hour would make equal corpora differ."""


def video_paths(root: Path, corpus: str, video: str, films: bool) -> list[Path]:
    """Folders and files that make up a video; the record comes last and says that it is complete."""
    paths = [root / kind / corpus / video for kind in ("video_frames", "video_audio", "annotations")]
    if films:
        paths.append(root / "films" / corpus / f"{video}.mp4")
    return [*paths, record_path(root, corpus, video)]


def write_video(
    root: Path,
    staging: Path,
    corpus: str,
    video: str,
    index: int,
    condition: Condition,
    spec: SyntheticSpec,
    seed: int,
    films: bool,
) -> None:
    """Generate a video below ``staging`` and move it to ``root`` when it is complete.

    The record is moved last: a video without one was interrupted and is written anew.
    """
    import simplejpeg

    private = staging / video
    shutil.rmtree(private, ignore_errors=True)
    frames_folder, sound_folder, notes_folder, *rest = video_paths(private, corpus, video, films)
    for folder in (frames_folder, sound_folder, notes_folder / "maps"):
        folder.mkdir(parents=True)

    scene, gaze, (for_frames, for_sound) = draw_video(spec, condition, seed, corpus, index)
    record = make_record(spec, scene, gaze)
    frames = render(spec, scene, for_frames)
    sound = make_sound(spec, scene, for_sound)
    for number, frame in enumerate(frames, start=1):
        data = simplejpeg.encode_jpeg(
            frame, quality=spec.jpeg_quality, colorspace="RGB", colorsubsampling="444"
        )
        (frames_folder / f"img_{number:05d}.jpg").write_bytes(data)
    for number, saliency in enumerate(saliency_maps(spec, record.fixations), start=1):
        data = simplejpeg.encode_jpeg(saliency[..., None], quality=spec.jpeg_quality, colorspace="GRAY")
        (notes_folder / "maps" / f"eyeMap_{number:05d}.jpg").write_bytes(data)
    for number, points in enumerate(record.fixations, start=1):
        (notes_folder / f"fixMap_{number:05d}.mat").write_bytes(_fixation_file(points, spec.map_size))
    _write_wav(sound_folder / f"{video}.wav", sound, spec.sample_rate)
    if films:
        from lightning_avsp.data.synthetic.films import write_film

        rest[0].parent.mkdir(parents=True)
        write_film(rest[0], frames, sound, fps=spec.fps, sample_rate=spec.sample_rate)
    write_record(rest[-1], record)

    finished = video_paths(root, corpus, video, films)
    finished[-1].unlink(missing_ok=True)
    for source, target in zip(video_paths(private, corpus, video, films), finished, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        source.replace(target)
    shutil.rmtree(private)


def _fixation_file(points: NDArray[np.int64], size: tuple[int, int]) -> bytes:
    """MATLAB file with ``eyeMap``: uint8 (Hm, Wm), 1 at fixated pixels; the same bytes on every day."""
    fixated = np.zeros(size, np.uint8)
    fixated[points[:, 0], points[:, 1]] = 1
    buffer = io.BytesIO()
    savemat(buffer, {"eyeMap": fixated}, do_compression=True)
    return MAT_HEADER + buffer.getvalue()[len(MAT_HEADER) :]


def _write_wav(path: Path, sound: NDArray[np.int16], sample_rate: int) -> None:
    """Write mono 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(sound.astype("<i2").tobytes())
