"""Write one synthetic video into a folder: frames, sound, maps, fixations, record, and on demand a film."""

from __future__ import annotations

import shutil
from pathlib import Path

from lightning_avsp.synthetic.layout import video_spec
from lightning_avsp.synthetic.observers import saliency_maps
from lightning_avsp.synthetic.packages import PACKAGES, Content
from lightning_avsp.synthetic.record import draw_video, make_record, record_path, write_video_record
from lightning_avsp.synthetic.scene import render
from lightning_avsp.synthetic.sound import make_sound
from lightning_avsp.synthetic.spec import Condition, SyntheticSpec


def video_paths(
    root: Path, corpus: str, video: str, index: int, films: bool, layout: str = "stavis"
) -> list[Path]:
    """Folders and files that make up a video; the record comes last and says that it is complete."""
    paths = PACKAGES[layout].paths(root, corpus, video, index)
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
    layout: str = "stavis",
) -> None:
    """Generate a video below ``staging`` and move it to ``root`` when it is complete.

    The record is moved last: a video without one was interrupted and is written anew.
    """
    private = staging / video
    shutil.rmtree(private, ignore_errors=True)
    package = PACKAGES[layout]
    spec = video_spec(spec, corpus, index)

    scene, gaze, (for_frames, for_sound) = draw_video(spec, condition, seed, corpus, index)
    record = make_record(spec, scene, gaze)
    content = Content(
        video=video,
        spec=spec,
        frames=render(spec, scene, for_frames),
        sound=make_sound(spec, scene, for_sound),
        maps=saliency_maps(spec, record.fixations),
        fixations=record.fixations,
    )
    package.write(package.paths(private, corpus, video, index), content)
    staged = video_paths(private, corpus, video, index, films, layout)
    if films:
        from lightning_avsp.synthetic.films import write_film

        staged[-2].parent.mkdir(parents=True)
        write_film(staged[-2], content.frames, content.sound, fps=spec.fps, sample_rate=spec.sample_rate)
    write_video_record(staged[-1], record)

    finished = video_paths(root, corpus, video, index, films, layout)
    finished[-1].unlink(missing_ok=True)
    for source, target in zip(staged, finished, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        source.replace(target)
    shutil.rmtree(private)
