"""`avsp audit`: does a model listen, does it denoise, has it seen what it is tested on?"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal


def audio(
    ckpt: Path,
    root: Path,
    corpus: str = "AVAD",
    split: int = 1,
    every: int = 5,
    samples: int = 4,
    shift: float = 0.32,
    steps: int | None = None,
    metrics: list[Literal["cc", "sim", "nss", "auc_judd", "kld"]] = ["cc", "nss"],  # noqa: B006  # never changed
    least: float = 0.01,
    batch: int = 8,
    num_workers: int = 0,
    device: str = "auto",
    seed: int | None = None,
    missing_audio: Literal["error", "silence", "skip"] = "error",
    limit_videos: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure how much a model listens: test videos with true, missing, shifted and other videos' sound.

    Args:
        ckpt: Checkpoint of a training run, or an official DiffSal file.
        root: Folder with the corpora.
        corpus: Corpus to test on; several with commas between them.
        split: Published split, 1 to 3.
        every: Score every k-th frame.
        samples: Draws that the mean over draws is taken of.
        shift: Seconds that sound is shifted by, late and early; 0 leaves that out.
        steps: Denoising steps; the checkpoint's own number when not given.
        metrics: Metrics to report; cc must be among them.
        least: Smallest worth of true sound in CC that counts as listening.
        batch: Clips per forward pass.
        num_workers: Loader processes.
        device: auto, cpu, cuda, cuda:1, mps.
        seed: Start of the noise; the checkpoint's own when not given.
        missing_audio: What to do with videos without a sound file.
        limit_videos: At most so many test videos, for trials.
        out: JSON file; results/audit_audio_NAME.json of the run when not given.
    """
    from lightning_avsp.evaluation.audit.listening import audit_listening
    from lightning_avsp.evaluation.audit.listening_report import listening_json, listening_lines
    from lightning_avsp.evaluation.audit.subject import AuditData, open_subject
    from lightning_avsp.evaluation.audit.text import report_file
    from lightning_avsp.run_folder import write_json

    ckpt = Path(ckpt)
    subject = open_subject(ckpt, device, steps, seed)
    data = AuditData(Path(root), names(corpus), split, every, batch, num_workers, missing_audio, limit_videos)
    found = audit_listening(subject, data, samples, shift, metrics, progress("clips"))
    path = report_file(ckpt, "audio") if out is None else Path(out)
    facts = {"checkpoint": str(ckpt), "source": subject.model.source, "seed": subject.seed}
    write_json(path, {**facts, **data.facts(), "shift": shift, **listening_json(found, least)})
    print("\n".join(listening_lines(found, least)))
    print(f"written to {path}")


def noise(
    ckpt: Path,
    root: Path,
    corpus: str = "AVAD",
    split: int = 1,
    every: int = 10,
    samples: int = 4,
    steps: int | None = None,
    batch: int = 8,
    num_workers: int = 0,
    device: str = "auto",
    seed: int | None = None,
    missing_audio: Literal["error", "silence", "skip"] = "error",
    limit_videos: int | None = None,
    out: Path | None = None,
) -> None:
    """Measure how much a denoiser uses its noisy input and t, how its samples differ, and what each step gains.

    Args:
        ckpt: Checkpoint of a training run, or an official DiffSal file.
        root: Folder with the corpora.
        corpus: Corpus to test on; several with commas between them.
        split: Published split, 1 to 3.
        every: Look at every k-th frame.
        samples: Draws per clip, at least 2.
        steps: Denoising steps; the checkpoint's own number when not given.
        batch: Clips per forward pass.
        num_workers: Loader processes.
        device: auto, cpu, cuda, cuda:1, mps.
        seed: Start of the noise; the checkpoint's own when not given.
        missing_audio: What to do with videos without a sound file.
        limit_videos: At most so many test videos, for trials.
        out: JSON file; results/audit_noise_NAME.json of the run when not given.
    """
    from lightning_avsp.evaluation.audit.denoising import audit_denoising
    from lightning_avsp.evaluation.audit.denoising_report import denoising_json, denoising_lines
    from lightning_avsp.evaluation.audit.subject import AuditData, open_subject
    from lightning_avsp.evaluation.audit.text import report_file
    from lightning_avsp.run_folder import write_json

    ckpt = Path(ckpt)
    subject = open_subject(ckpt, device, steps, seed)
    data = AuditData(Path(root), names(corpus), split, every, batch, num_workers, missing_audio, limit_videos)
    found = audit_denoising(subject, data, samples, progress("clips"))
    path = report_file(ckpt, "noise") if out is None else Path(out)
    facts = {"checkpoint": str(ckpt), "source": subject.model.source, "seed": subject.seed}
    write_json(path, {**facts, **data.facts(), **denoising_json(found)})
    print("\n".join(denoising_lines(found)))
    print(f"written to {path}")


def leak(runs: list[str], strict: bool = False, out: Path | None = None) -> None:
    """Say of each run whether its training, its pretraining or its selection has seen a video it is tested on.

    Exit code 1 if one has. What cannot be known is said to be unknown, never to be clean.

    Args:
        runs: Run folders, or folders that hold some.
        strict: Exit with code 1 also if something is unknown.
        out: JSON file to write.
    """
    from lightning_avsp.evaluation.audit.leaks import audit_leaks
    from lightning_avsp.evaluation.audit.leaks_report import leak_json, leak_lines
    from lightning_avsp.run_folder import write_json

    found = audit_leaks([Path(run) for run in runs])
    if out is not None:
        write_json(Path(out), leak_json(found))
    print("\n".join(leak_lines(found)))
    states = {subject.state for subject in found}
    if "leak" in states or (strict and "unknown" in states):
        raise SystemExit(1)


def names(corpora: str) -> tuple[str, ...]:
    """``AVAD,ETMD`` as a tuple."""
    return tuple(name.strip() for name in corpora.split(",") if name.strip())


def progress(what: str, seconds: float = 20.0) -> Callable[[int, int], None]:
    """Called with how much is done and how much there is, prints a line on standard error now and then."""
    last = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            print(f"{done} of {total} {what}", file=sys.stderr, flush=True)

    return say
