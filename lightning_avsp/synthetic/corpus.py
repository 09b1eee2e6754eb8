"""Generate a whole synthetic corpus: resumable, the same bytes for the same seed, one process or many."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lightning_avsp.data.manifest import MANIFEST, read_manifest
from lightning_avsp.errors import InputError, require_choice, require_range
from lightning_avsp.files import atomic_write
from lightning_avsp.parallel import Progress, run_jobs
from lightning_avsp.synthetic.films import check_film, write_film
from lightning_avsp.synthetic.packages import (
    FILM_PACKAGES,
    PACKAGES,
    SOUNDLESS_CORPORA,
    SPLITS,
    STAVIS_CORPORA,
    SYNTHETIC_CORPORA,
    Content,
    assign_conditions,
    layouts_of,
    part_of,
    partition,
    video_name,
    video_spec,
    write_fold_lists,
    write_split_file,
)
from lightning_avsp.synthetic.record import (
    GENERATOR,
    draw_video,
    record_path,
    saliency_maps,
    write_video_record,
)
from lightning_avsp.synthetic.scene import make_audio, render
from lightning_avsp.synthetic.spec import CONDITIONS, STATEMENT, Condition, SyntheticSpec

README = f"""{STATEMENT}

Layout: that of the STAViS package.
  video_frames/<corpus>/<video>/img_00001.jpg ...
  video_audio/<corpus>/<video>/<video>.wav
  annotations/<corpus>/<video>/maps/eyeMap_00001.jpg ...   continuous maps, peak 255
  annotations/<corpus>/<video>/fixMap_00001.mat ...        key eyeMap, 1 at fixated pixels
  fold_lists/<corpus>_list_{{train,test}}_{{1,2,3}}_fps.txt   name, frames, frames per second
  films/<corpus>/<video>.mp4                               only if asked for
Beside it:
  synthetic.json                  what the corpora are made of, and the condition of every video
  synthetic/<corpus>/<video>.npz  object tracks, which object sounds when, gaze of every observer

Conditions: sound (observers follow the object whose tone is heard; red 220 Hz, green 440 Hz, blue 880 Hz),
music (unrelated chords; observers follow the fastest object), silent (they follow the fastest object).
Training and test lists share colours and pitches: a model that does well here binds colour to pitch.
"""

OTHER_LAYOUTS = """
Corpora of other layouts lie below a folder of their own name, as synthetic.json says:
  DHF1K       unisal annotation/0001/{images,maps,fixation}; tased video/0001, annotation/0001; vinet
              0001/{images,maps,fixations} and fold lists; diffsal frames/1, maps/1; avi video/001.AVI, annotation/0001
  Hollywood2  training|testing/<shot>/{images,maps,fixation}, some shots of 12 frames
  UCF         training|testing/<class>-<number>/{images,maps,fixation}
  CrowdSAL    Videos, Saliency{Train,Test}, Fixations{Train,Test}, TrainTestSplit.json
DHF1K, Hollywood2 and UCF have no sound, and their observers follow the fastest object in every video.
"""


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
    """Generate the video of a (name, index, condition) in the staging folder and move it when it is complete."""
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
        staged[-2].parent.mkdir(parents=True)
        write_film(staged[-2], content.frames, content.audio, fps=spec.fps, sample_rate=spec.sample_rate)
    write_video_record(staged[-1], record)

    # the record is moved last: a video without one was interrupted and is written anew
    finished = plan.video_paths(plan.root, video, index)
    finished[-1].unlink(missing_ok=True)  # a record of older files must not mark these as complete
    for source, target in zip(staged, finished, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        source.replace(target)
    shutil.rmtree(private)


@dataclass(frozen=True)
class SynthReport:
    """Result of :func:`synthesise_corpus`."""

    root: Path
    """Folder that holds the corpus."""
    names: tuple[str, ...]
    """All videos of the corpus."""
    conditions: tuple[Condition, ...]
    """Condition of each of them."""
    written: int
    """Videos generated by this call."""
    kept: int
    """Videos that were there before."""
    frames: int
    """Frames per video."""
    seconds: float
    """Time taken."""

    @property
    def counts(self) -> dict[Condition, int]:
        """Videos per condition."""
        return {condition: self.conditions.count(condition) for condition in CONDITIONS}


def synthesise_corpus(
    root: Path | str,
    corpus: str = "AVAD",
    videos: int = 12,
    *,
    spec: SyntheticSpec | None = None,
    seed: int = 0,
    workers: int = 1,
    films: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    layout: str | None = None,
) -> SynthReport:
    """Write a synthetic corpus in the layout of the one it stands in for, or complete an interrupted one.

    The sounding object attracts the simulated observers in most videos, so a model that uses audio scores higher
    than one that does not. Finished videos of the same spec and seed are kept, also when the corpus grows.
    When it shrinks, the surplus stays on disk but in no list.

    Args:
        root: Folder to hold ``video_frames``, ``video_audio``, ``annotations`` and ``fold_lists``, or a folder of
            the corpus' own name.
        corpus: Corpus to stand in for, by its folder name; it decides names and lists.
        videos: Number of videos, at least 3: three fifths where sound decides, a fifth with music, a fifth silent. From
            15 on every test list holds all three.
        spec: Properties of the videos; None for the defaults.
        seed: The same seed gives the same bytes, for any number of ``workers``.
        workers: Processes. More than one needs a script with an ``if __name__ == "__main__"`` guard.
        films: Write mp4 videos with audio too.
        overwrite: Replace a synthetic corpus of another spec or seed.
        progress: Called with the number of finished videos and of all videos.
        layout: One of several layouts of a corpus: unisal, tased, vinet, diffsal or avi for DHF1K, pictures or matrices
            (of fixations) for UCF; the first by default.

    Raises:
        InputError: If the corpus is unknown, or the root holds something else or one of another spec or seed.
    """
    began = time.perf_counter()
    root = Path(root)
    spec = SyntheticSpec() if spec is None else spec
    possible = layouts_of(corpus)
    require_choice("corpus", corpus, SYNTHETIC_CORPORA)
    require_range(SPLITS, videos=videos)  # fewer cannot fill the test lists
    layout = layout or possible[0]
    require_choice(f"layout of {corpus}", layout, possible)
    require_range(1, workers=workers)
    require_range(0, seed=seed)
    # what sounds could not be heard: observers follow the fastest object
    if corpus in SOUNDLESS_CORPORA:
        spec = replace(spec, shares=(0.0, 0.0, 1.0))
    if films or layout in FILM_PACKAGES:
        check_film(spec.size, spec.sample_rate)
        if layout == "ntire":
            # its maps are a video too
            check_film(spec.map_size, spec.sample_rate)
    plan = CorpusPlan(root, corpus, spec, seed, films, layout)
    conditions = assign_conditions(spec, videos)
    names = [video_name(corpus, k, condition, spec.size) for k, condition in enumerate(conditions)]
    _claim(plan, names, conditions, overwrite)
    todo = [
        job
        for job in zip(names, range(videos), conditions, strict=True)
        # all parts: films asked for later are made with their video, which has the same bytes
        if not all(path.exists() for path in plan.video_paths(root, *job[:2]))
    ]
    kept = videos - len(todo)
    shutil.rmtree(plan.staging, ignore_errors=True)  # left behind by an interrupted run
    try:
        run_jobs(
            partial(write_video, plan),
            todo,
            workers,
            progress=None if progress is None else lambda done, _: progress(kept + done, videos),
            name=lambda job: f"{corpus}/{job[0]}",
        )
    finally:
        shutil.rmtree(plan.staging, ignore_errors=True)
    if layout == "stavis":
        lines = [f"{name} {spec.frames} {spec.fps:.6f}" for name in names]
        # DIEM comes with one pair of lists
        splits = 1 if corpus == "DIEM" else SPLITS
        write_fold_lists(root, corpus, lines, partition(conditions, seed, corpus), splits)
    elif layout == "vinet":  # divided once, by the order of the videos
        lines = [f"{name} {spec.frames} {spec.fps}" for name in names]
        tested = [0 if part_of(index) == "test" else 1 for index in range(videos)]
        write_fold_lists(root, corpus, lines, tested, 1)
    elif layout == "ntire":
        write_split_file(root, corpus, names)
    return SynthReport(
        root=root,
        names=tuple(names),
        conditions=tuple(conditions),
        written=len(todo),
        kept=kept,
        frames=spec.frames,
        seconds=time.perf_counter() - began,
    )


def _claim(plan: CorpusPlan, names: list[str], conditions: list[Condition], overwrite: bool) -> None:
    """Write or extend ``synthetic.json`` and ``README.txt``; with ``overwrite`` remove a corpus of other settings."""
    # before any video, so that none lies unlabelled; a corpus that this generator did not write is never touched
    root, corpus = plan.root, plan.corpus
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file; give a folder")
    own = corpus not in STAVIS_CORPORA  # others have a folder of their own name
    kinds = () if own else ("video_frames", "video_audio", "annotations")
    folders = [root / corpus] if own else [root / kind / corpus for kind in kinds]
    manifest = read_manifest(root)
    entry = manifest["corpora"].get(corpus)
    about = {"statement": STATEMENT, "generator": GENERATOR}
    settings = {"seed": plan.seed, "spec": plan.spec.to_dict()}
    # Named only where there is a choice: the STAViS package has always been written without it
    chosen = {} if plan.layout == "stavis" else {"layout": plan.layout}
    for folder in folders if entry is None else ():
        if folder.exists():
            raise InputError(
                f"{folder} exists but {root / MANIFEST} lists no synthetic {corpus}: it "
                "may be the true corpus, which is never overwritten; choose another root"
            )
    if entry is not None:
        wanted = {"generator": GENERATOR, **plan.spec.to_dict(), "seed": plan.seed, "layout": plan.layout}
        there = {"layout": "stavis", **entry, **entry["spec"]}
        changes = [f"{key}: {there.get(key)} / {v}" for key, v in wanted.items() if there.get(key) != v]
        if changes and not overwrite:
            raise InputError(
                f"{root} holds another synthetic {corpus} (there / asked for: {'; '.join(changes)}); "
                "choose another root or overwrite it"
            )
        if changes:
            for folder in (root / "synthetic" / corpus, root / "films" / corpus, *folders):
                shutil.rmtree(folder, ignore_errors=True)
            for path in (root / "fold_lists").glob(f"{corpus}_list_*") if own else ():
                path.unlink()
    manifest = {"synthetic": True, **about, **manifest}
    manifest["corpora"][corpus] = {
        **about,
        **settings,
        **chosen,
        "videos": {
            name: {
                "condition": condition,
                "frames": video_spec(plan.spec, corpus, index).frames,
                "fps": plan.spec.fps,
                "record": record_path(Path(), corpus, name).as_posix(),
            }
            for index, (name, condition) in enumerate(zip(names, conditions, strict=True))
        },
    }
    with atomic_write(root / MANIFEST) as file:
        file.write((json.dumps(manifest, indent=1) + "\n").encode())
    others = set(manifest["corpora"]) - set(STAVIS_CORPORA)
    (root / "README.txt").write_text(README + (OTHER_LAYOUTS if others else ""))
