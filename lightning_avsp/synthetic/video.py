"""Write one synthetic video into a folder: frames, audio, maps, fixations, record, and on demand a video file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lightning_avsp.synthetic.audio import make_audio
from lightning_avsp.synthetic.layout import video_spec
from lightning_avsp.synthetic.observers import saliency_maps
from lightning_avsp.synthetic.packages import PACKAGES, Content
from lightning_avsp.synthetic.record import draw_video, record_path, write_video_record
from lightning_avsp.synthetic.scene import render
from lightning_avsp.synthetic.spec import Condition, SyntheticSpec


@dataclass(frozen=True)
class CorpusPlan:
    """Settings that decide the files of a synthetic corpus."""

    root: Path
    corpus: str
    """Folder name of the corpus that it stands in for."""
    spec: SyntheticSpec
    seed: int
    films: bool
    """Write ``films/<corpus>/<video>.mp4`` too."""
    layout: str
    """Name in :data:`~lightning_avsp.synthetic.packages.PACKAGES`."""

    @property
    def staging(self) -> Path:
        """Folder in which videos are made before they are moved."""
        return self.root / f".synthesis_{self.corpus}"

    def video_paths(self, root: Path, video: str, index: int) -> list[Path]:
        """Folders and files that make up a video; the record comes last and marks it as complete."""
        paths = PACKAGES[self.layout].paths(root, self.corpus, video, index)
        if self.films:
            paths.append(root / "films" / self.corpus / f"{video}.mp4")
        return [*paths, record_path(root, self.corpus, video)]


def write_video(plan: CorpusPlan, job: tuple[str, int, Condition]) -> None:
    """Generate the video of a (name, index, condition) in the staging folder and move it when it is complete.

    The record is moved last: a video without one was interrupted and is written anew.
    """
    video, index, condition = job
    private = plan.staging / video
    shutil.rmtree(private, ignore_errors=True)
    spec = video_spec(plan.spec, plan.corpus, index)
    scene, record, (for_frames, for_audio) = draw_video(spec, condition, plan.seed, plan.corpus, index)
    content = Content(
        video=video,
        spec=spec,
        frames=render(spec, scene, for_frames),
        audio=make_audio(spec, scene, for_audio),
        maps=saliency_maps(spec, record.fixations),
        fixations=record.fixations,
    )
    package, staged = PACKAGES[plan.layout], plan.video_paths(private, video, index)
    package.write(staged[: len(package.patterns)], content)
    if plan.films:
        from lightning_avsp.synthetic.films import write_film

        staged[-2].parent.mkdir(parents=True)
        write_film(staged[-2], content.frames, content.audio, fps=spec.fps, sample_rate=spec.sample_rate)
    write_video_record(staged[-1], record)

    finished = plan.video_paths(plan.root, video, index)
    finished[-1].unlink(missing_ok=True)
    for source, target in zip(staged, finished, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        source.replace(target)
    shutil.rmtree(private)
