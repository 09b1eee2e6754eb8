"""`avsp audit`, `explain` and `figure`: use of audio, text and noise, contamination, explanations, maps compared."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lightning_avsp.backbones.text_encoder import split_tokens
from lightning_avsp.cli.progress import progress_bar, split_names
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.evaluation.audit.data import AuditData, find_corpus_captions
from lightning_avsp.evaluation.audit.denoising import audit_denoising
from lightning_avsp.evaluation.audit.leaks import audit_leaks, leak_report
from lightning_avsp.evaluation.audit.perturbation import audit_modality
from lightning_avsp.evaluation.audit.report import report_file
from lightning_avsp.evaluation.explain import Explainer, draw_clip
from lightning_avsp.evaluation.figure import (
    FigureColumn,
    FigureFrames,
    FolderMaps,
    ModelMaps,
    draw_figure,
)
from lightning_avsp.evaluation.predictions import VIDEOS, check_folder
from lightning_avsp.evaluation.results import cannot_write
from lightning_avsp.predict.overlay import colour_table
from lightning_avsp.run_folder import write_json
from lightning_avsp.tasks.loading import EXPORTED, LoadedModel, load_model


@dataclass
class AuditOptions:
    """Options of audits and explanations, which predict test frames.

    Args:
        root: Folder with the corpora.
        corpus: Corpus to test on; several with commas between them.
        split: Published split, 1 to 3.
        every: Every k-th frame.
        batch: Clips per forward pass.
        num_workers: Dataloader workers.
        missing_audio: Treatment of videos without an audio file.
        limit_videos: At most so many test videos, for trials.
        steps: Denoising steps; the checkpoint's own number when not given.
        seed: Seed of the noise; the checkpoint's own when not given.
        device: auto, cpu, cuda, cuda:1, mps.
        captions: Folder with captions for a network that reads text, or none; those of its training by default.
        features: Folder with their token features; CAPTIONS/features by default.
    """

    root: Path
    corpus: str = "AVAD"
    split: int = 1
    every: int = 5
    batch: int = 8
    num_workers: int = 0
    missing_audio: Literal["error", "silence", "skip"] = "error"
    limit_videos: int | None = None
    steps: int | None = None
    seed: int | None = None
    device: str = "auto"
    captions: str | None = None
    features: Path | None = None

    def open(self, ckpt: Path) -> tuple[LoadedModel, AuditData]:
        """Load a checkpoint, and build the settings of its test frames."""
        model = load_model(ckpt, self.device, self.steps, self.seed)
        captions = find_corpus_captions(model, self.root, self.captions, self.features)
        shared = ("split", "every", "batch", "num_workers", "missing_audio", "limit_videos")
        options = {name: getattr(self, name) for name in shared}
        return model, AuditData(self.root, split_names(self.corpus), captions=captions, **options)


@dataclass
class PerturbationOptions(AuditOptions):
    """Options of the audits that compare perturbed inputs.

    Args:
        samples: Samples that the mean over samples is taken of.
        metrics: Metrics to report; cc must be among them.
        least: Smallest gain in CC that counts as use.
    """

    samples: int = 4
    metrics: list[Literal["cc", "sim", "nss", "auc_judd", "kld"]] = field(
        default_factory=lambda: ["cc", "nss"]
    )
    least: float = 0.01


def audio(ckpt: Path, shift: float = 0.32, out: Path | None = None, **options: Any) -> None:
    """Measure the use of audio: test videos with own, missing, shifted and another video's audio.

    Args:
        ckpt: Checkpoint of a training run, or an official DiffSal file.
        shift: Seconds that audio is shifted by, late and early; 0 leaves that out.
        out: JSON file; results/audit_audio_NAME.json of the run when not given.
        options: See :class:`PerturbationOptions`.
    """
    # jsonargparse finds the options of **options by this call, one list for all audits
    _audit("audio", ckpt, PerturbationOptions(**options), out, shift=shift)


def text(ckpt: Path, out: Path | None = None, **options: Any) -> None:
    """Measure the use of text: test videos with their own captions, another video's, and none.

    Args:
        ckpt: Checkpoint of a training run.
        out: JSON file; results/audit_text_NAME.json of the run when not given.
        options: See :class:`PerturbationOptions`.
    """
    _audit("text", ckpt, PerturbationOptions(**options), out)


def noise(ckpt: Path, samples: int = 4, out: Path | None = None, **options: Any) -> None:
    """Measure a denoiser's use of its noisy input and t, the diversity of its samples, and the gain of each step.

    Args:
        ckpt: Checkpoint of a training run, or an official DiffSal file.
        samples: Samples per clip, at least 2.
        out: JSON file; results/audit_noise_NAME.json of the run when not given.
        options: See :class:`AuditOptions`.
    """
    _audit("noise", ckpt, AuditOptions(**options), out, samples=samples)


def leak(runs: list[Path], strict: bool = False, out: Path | None = None) -> None:
    """Find runs tested on videos that their training, pretraining or selection has seen.

    Exit code 1 if there is one. Origins that cannot be followed count as unknown, never as clean.

    Args:
        runs: Run folders, or folders that hold some.
        strict: Exit with code 1 also if something is unknown.
        out: JSON file to write.
    """
    found = audit_leaks(runs)
    report = leak_report(found)
    if out is not None:
        write_json(out, report.record)
    print("\n".join(report.lines()))
    states = {finding.state for finding in found}  # the exit code is for scripts
    if "leak" in states or (strict and "unknown" in states):
        raise SystemExit(1)


def _audit(name: str, ckpt: Path, options: AuditOptions, out: Path | None, **settings: Any) -> None:
    """Run an audit, print its tables, and write everything with the model and its test frames as JSON."""
    if isinstance(options, PerturbationOptions):
        settings |= {"samples": options.samples, "metrics": options.metrics, "least": options.least}
    model, data = options.open(ckpt)
    audit: Any = audit_denoising
    if name in ("audio", "text"):
        audit, settings["modality"] = audit_modality, name
    with progress_bar("clips") as advance:
        report = audit(model, data, progress=advance, **settings).report()
    # beside the other results of the run
    path = report_file(ckpt, name) if out is None else out
    sampling = None if model.sampling is None else vars(model.sampling)
    facts = {"checkpoint": str(ckpt), "source": model.source, "seed": model.seed, "sampling": sampling}
    write_json(path, {**facts, **asdict(data), **settings, **report.record})
    print("\n".join(report.lines()))
    print(f"written to {path}")


def explain(
    ckpt: Path,
    video: str | None = None,
    frame: int | None = None,
    summary: bool = False,
    every: int = 20,
    out: Path | None = None,
    **options: Any,
) -> None:
    """Draw a network's explanations of a clip (relevance, MIM, words, gates), with own and mismatched audio.

    Args:
        ckpt: Checkpoint of a training run.
        video: Test video; the first one by default.
        frame: Number of the target frame, from 1; the middle of the video by default.
        summary: Also average every number over the test videos.
        every: Take every k-th test frame for that.
        out: Folder for images and explain.json; explain/VIDEO_FRAME in the run's folder by default.
        options: See :class:`AuditOptions`.
    """
    model, data = AuditOptions(every=1, **options).open(ckpt)
    explainer = Explainer(model, data)
    clips = explainer.explain([explainer.find(video, frame)])
    if not any(clips.explanations.values()):  # an empty folder would look like a success
        raise InputError(
            f"{ckpt}: {type(model.network).__name__} has no explanations with these settings; networks with relevance "
            "maps, masks of agreement (MIM), word maps or gates do"
        )
    name, number = clips.batch["video_id"][0], int(clips.batch["frame"][0])
    run = ckpt.resolve().parent.parent
    folder = run / "explain" / f"{name}_{number:05d}" if out is None else out
    corpus = clips.batch["corpus"][0]
    caption = None if data.captions is None else data.captions.find_text(corpus, name, number)
    words: list[str] = []
    if caption is not None and model.spec.text is not None:
        words = split_tokens(model.spec.text.model, caption)
        print(f"caption: {caption}")
        print("tokens: " + ", ".join(f"{row} {word}" for row, word in enumerate(words, 1)))
    images = draw_clip(clips, folder, model.spec.clip.target_index, caption, words)
    values = [
        {"audio": audio, "name": title, "label": label, "value": float(found[0, column])}
        for audio, title, labels, found in clips.numbers()
        for column, label in enumerate(labels)
    ]
    record = {"checkpoint": str(ckpt), "video": name, "frame": number, "values": values}
    record |= {"caption": caption, "tokens": words}
    for row in values:
        print(f"{row['name']}, {row['label']}, {row['audio']}: {row['value']:.4g}")
    if summary:
        whole = Explainer(model, replace(data, every=every))  # own frames: the drawn clip needs every one
        with progress_bar("clips") as advance:
            record["summary"] = rows = whole.summarise(data.batch, advance)
        for found in rows:
            spread = "" if found["sd"] is None else f" ± {found['sd']:.4f}"
            title = ", ".join(found[key] for key in ("name", "label", "audio"))
            print(f"{found['group']}: {title}: {found['mean']:.4f}{spread} ({found['videos']} videos)")
    write_json(folder / "explain.json", record)
    print(f"{len(images)} images and explain.json written to {folder}")


def figure(
    sources: list[str],
    videos: str | None = None,
    frames: str | None = None,
    rows: int = 4,
    style: Literal["map", "overlay", "both"] = "map",
    colours: str = "inferno",
    count_from: int = 1,
    out: Path = Path("figure"),
    **options: Any,
) -> None:
    """Draw a comparison figure: a row for each frame with fixations, ground truth, and a column for each source.

    A source is a checkpoint, an exported model, an official DiffSal file, or maps that any program has written: a
    folder as `avsp evaluate` reads it, or one file (npz, npy, video) of one video. NAME=PATH titles its column.

    Args:
        sources: Columns in order.
        videos: Test videos, with commas between them; all by default.
        frames: Numbers of their frames, from 1, with commas; by default those where the maps differ most, among every
            k-th of each video.
        rows: Frames that are chosen where none are given.
        style: Maps alone, over the frame, or both.
        colours: A colour map of matplotlib.
        count_from: Number of a video's first frame in the file names of maps: 1, or 0.
        out: File, .png or .pdf; without such an ending both are written.
        options: See :class:`~lightning_avsp.cli.audit.AuditOptions`.
    """
    settings = AuditOptions(**options)
    root = settings.root
    colour_table(colours)  # refuses an unknown one before anything is read
    require_range(1, rows=rows)
    endings = (".png", ".pdf")
    paths = [out] if out.suffix in endings else [out.with_name(out.name + end) for end in endings]
    try:
        numbers = [int(number) for number in split_names(frames or "")]
    except ValueError as error:
        raise InputError(f"--frames {frames}: give numbers with commas between them") from error
    corpora = split_names(settings.corpus)
    found = read_videos(root, corpora, settings.split, "test", missing_audio=settings.missing_audio)
    chosen = FigureFrames(found, split_names(videos or ""), numbers, settings.every)
    columns: dict[str, FigureColumn] = {}
    models: dict[str, Path] = {}
    for source in sources:
        title, path = _split_title(source)
        if title in columns:  # the second would replace the first in silence
            raise InputError(f"two columns are called {title}: name them, as in NAME={path}")
        if not path.exists():
            raise InputError(f"{path} is not there: give checkpoints or folders of maps")
        # one file of maps has no room for several videos
        kinds = (*VIDEOS, ".npz", ".npy")
        if path.suffix.lower() not in kinds if path.is_file() else (path / EXPORTED[0]).is_file():
            models[title] = path
        elif not path.is_file():
            check_folder(path)
        elif len(chosen.videos) > 1:
            raise InputError(f"{path} holds the maps of one video: name it with --videos")
        # of a model: in its place for now
        columns[title] = FolderMaps(path, root, settings.split, count_from)
    # maps that are missing, and a folder that cannot be written, are named before a model is loaded
    chosen.candidates({title: maps for title, maps in columns.items() if title not in models})
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # asks the file system, whose answer os.access only guesses
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise cannot_write(out, error) from error
    for title, path in models.items():
        columns[title] = ModelMaps(*settings.open(path))
    with progress_bar("videos") as advance:
        shown = chosen.choose(columns, rows, advance)
    try:
        draw_figure(paths, shown, columns, style, colours)
    except OSError as error:
        raise cannot_write(out, error) from error
    for entry, number in shown:
        print(f"{entry.corpus}/{entry.video}, frame {number}")
    print(f"written: {', '.join(map(str, paths))}")


def _split_title(source: str) -> tuple[str, Path]:
    """Split NAME=PATH; without a name, runs are called by their folder, others by their file or folder."""
    name, equals, rest = source.partition("=")
    if equals and not Path(source).exists():
        return name, Path(rest)
    path = Path(source)
    run = path.resolve().parent.parent
    return (f"{run.parent.name}/{run.name}" if path.suffix == ".ckpt" else path.stem), path
