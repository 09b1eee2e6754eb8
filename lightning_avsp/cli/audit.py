"""`avsp audit`: use of audio and text, use of the noisy map, contamination of the test set."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning_avsp.cli.progress import progress_bar

if TYPE_CHECKING:
    from lightning_avsp.evaluation.audit.data import AuditData
    from lightning_avsp.evaluation.audit.report import AuditReport
    from lightning_avsp.tasks.loading import LoadedModel

Modality = Literal["audio", "text"]


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
        from lightning_avsp.evaluation.audit.data import AuditData, find_corpus_captions
        from lightning_avsp.tasks.loading import load_model

        model = load_model(ckpt, self.device, self.steps, self.seed)
        captions = find_corpus_captions(model, self.root, self.captions, self.features)
        shared = ("split", "every", "batch", "num_workers", "missing_audio", "limit_videos")
        options = {name: getattr(self, name) for name in shared}
        return model, AuditData(Path(self.root), names(self.corpus), captions=captions, **options)


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
    _perturb("audio", ckpt, PerturbationOptions(**options), out, shift=shift)


def text(ckpt: Path, out: Path | None = None, **options: Any) -> None:
    """Measure the use of text: test videos with their own captions, another video's, and none.

    Args:
        ckpt: Checkpoint of a training run.
        out: JSON file; results/audit_text_NAME.json of the run when not given.
        options: See :class:`PerturbationOptions`.
    """
    _perturb("text", ckpt, PerturbationOptions(**options), out)


def _perturb(
    modality: Modality, ckpt: Path, options: PerturbationOptions, out: Path | None, **settings: Any
) -> None:
    from lightning_avsp.evaluation.audit.perturbation import audit_modality

    settings |= {"samples": options.samples, "metrics": options.metrics, "least": options.least}
    model, data = options.open(Path(ckpt))
    with progress_bar("clips") as advance:
        report = audit_modality(model, data, modality, progress=advance, **settings).report()
    _finish(report, Path(ckpt), modality, out, {**model_record(ckpt, model, data), **settings})


def noise(ckpt: Path, samples: int = 4, out: Path | None = None, **options: Any) -> None:
    """Measure a denoiser's use of its noisy input and t, the diversity of its samples, and the gain of each step.

    Args:
        ckpt: Checkpoint of a training run, or an official DiffSal file.
        samples: Samples per clip, at least 2.
        out: JSON file; results/audit_noise_NAME.json of the run when not given.
        options: See :class:`AuditOptions`.
    """
    from lightning_avsp.evaluation.audit.denoising import audit_denoising

    model, data = AuditOptions(**options).open(Path(ckpt))
    with progress_bar("clips") as advance:
        report = audit_denoising(model, data, samples, advance).report()
    _finish(report, Path(ckpt), "noise", out, model_record(Path(ckpt), model, data))


def leak(runs: list[str], strict: bool = False, out: Path | None = None) -> None:
    """Find runs tested on videos that their training, pretraining or selection has seen.

    Exit code 1 if there is one. Origins that cannot be followed count as unknown, never as clean.

    Args:
        runs: Run folders, or folders that hold some.
        strict: Exit with code 1 also if something is unknown.
        out: JSON file to write.
    """
    from lightning_avsp.evaluation.audit.leaks import audit_leaks, leak_report
    from lightning_avsp.run_folder import write_json

    found = audit_leaks([Path(run) for run in runs])
    report = leak_report(found)
    if out is not None:
        write_json(Path(out), report.record)
    print("\n".join(report.lines()))
    states = {finding.state for finding in found}  # the exit code is for scripts
    if "leak" in states or (strict and "unknown" in states):
        raise SystemExit(1)


def _finish(report: AuditReport, ckpt: Path, name: str, out: Path | None, settings: dict[str, Any]) -> None:
    from lightning_avsp.evaluation.audit.report import report_file
    from lightning_avsp.run_folder import write_json

    path = report_file(ckpt, name) if out is None else Path(out)
    write_json(path, {**settings, **report.record})
    print("\n".join(report.lines()))
    print(f"written to {path}")


def model_record(ckpt: Path, model: LoadedModel, data: AuditData) -> dict[str, Any]:
    """Describe a model under test and its test frames, for JSON."""
    return {
        "checkpoint": str(ckpt),
        "source": model.source,
        "seed": model.seed,
        "sampling": None if model.sampling is None else vars(model.sampling),
        **asdict(data),
    }


def names(corpora: str) -> tuple[str, ...]:
    """Split ``AVAD,ETMD`` to a tuple."""
    return tuple(name.strip() for name in corpora.split(",") if name.strip())
