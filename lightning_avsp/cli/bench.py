"""`avsp bench`: speed of training and of predicting, cost of each network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console

from lightning_avsp.errors import InputError, require_range
from lightning_avsp.evaluation.formatting import print_table
from lightning_avsp.launch import choose_device, default_precision
from lightning_avsp.media.video import open_video
from lightning_avsp.profiling import train as measuring
from lightning_avsp.profiling.case import Configuration
from lightning_avsp.profiling.model import bench_model, print_records
from lightning_avsp.profiling.predict import bench_predict, film_speeds
from lightning_avsp.profiling.train_report import print_report, write_report
from lightning_avsp.run_folder import write_json
from lightning_avsp.tasks import loading


def train(
    model: Path | None = None,
    all: bool = False,
    against: list[str] | str = [],  # noqa: B006  # never changed; jsonargparse shows it as the default
    settings: list[str] | str = [],  # noqa: B006
    batch: int | None = None,
    steps: int = 10,
    rounds: int = 3,
    warmup: int = 3,
    device: str = "auto",
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto",
    compile: Literal["none", "default", "graphs", "default-graphs", "max-autotune", "eager"] = "none",
    activation_checkpointing: bool = False,
    root: Path | None = None,
    inference: bool = False,
    limit: float = 110.0,
    trace: Path | None = None,
    out: Path | None = None,
) -> None:
    """Print samples per second, MFU, memory, compile time and the largest operators of a training step.

    Weights are random. Clips are random and lie on the device, unless --root names the corpora. Precision,
    compilation and checkpointing are those given here, not those of the experiment's trainer.

    Args:
        model: Experiment file; its model and data are built as `lightning fit` builds them.
        all: Instead measure the four papers' full-size experiments (those of experiments/, or of the folder --model),
            batch 8 by default, each in a process of its own, in bf16 with CUDA graphs, bf16, fp32 and compiled bf16, or
            as --against says.
        against: Further configurations, in turns with the first on the CPU: changes, separated by blanks, e.g.
            "precision=32-true compile=default", "experiments/mubic_avad.yaml", "batch=16" or
            "model.network.attention=standard". Several as a list: '["precision=32-true", "compile=default"]'.
        settings: Changes to the experiment itself, separated by blanks: "model.network.video_encoder=s3d".
        batch: Clips of a step; the experiment's data.batch_size by default.
        steps: Training steps of a round.
        rounds: Rounds of every configuration.
        warmup: Steps before anything is timed.
        device: auto, cpu or cuda.
        precision: As trainer.precision; auto is the default of `lightning fit` on this device.
        compile: As `lightning fit --compile`.
        activation_checkpointing: As `lightning fit --activation_checkpointing`.
        root: Read clips of the experiment's corpora from here, so that the share of the data is measured.
        inference: Also print predicted clips per second at 1, 4 and 8 denoising steps.
        limit: Seconds that each experiment of --all may take.
        trace: Write a profiler's trace of two steps of the first configuration to this file.
        out: Folder for speeds.md and speeds.json; with --all written anew after each experiment.
    """
    # tables in a file or a pipe need not fit 80 columns
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
    amount = measuring.Rounds(steps, rounds, warmup, inference)
    where = torch.device(choose_device(device))
    changes = " ".join([settings] if isinstance(settings, str) else settings)
    others = [against] if isinstance(against, str) else against
    if all:
        folder = model or Path("experiments")
        if out is None or trace is not None or not folder.is_dir():
            raise InputError(
                "--all needs --out FOLDER; --model is then the folder of experiments, without --trace"
            )
        suite = {}
        for name in measuring.PAPERS:
            # one batch for all four, which have batches of their own
            first = Configuration(folder / f"{name}.yaml", batch=batch or 8, root=root).changed(changes)
            suite[first.experiment] = [first.changed(words) for words in others or measuring.EXECUTIONS]
        # written anew after each: an interrupted suite keeps what it has measured
        found = measuring.bench_suite(
            suite, where, amount, limit, console.print, lambda joint: write_report(joint, out)
        )
    else:
        if model is None:
            raise InputError("give --model EXPERIMENT.yaml, or --all true")
        # as `lightning fit` would train here
        usual = default_precision("gpu" if where.type == "cuda" else "cpu")
        first = Configuration(
            model, batch=batch, compile=compile, activation_checkpointing=activation_checkpointing, root=root
        ).changed(f"precision={usual if precision == 'auto' else precision} {changes}")
        configurations = [first, *(first.changed(words) for words in others)]
        found = measuring.bench_train(configurations, where, amount, trace=trace, report=console.print)
    print_report(found, console)
    if out is not None:
        write_report(found, out)


def predict(
    video: Path,
    checkpoint: Path,
    strides: list[int] = [1, 4, 16],  # noqa: B006  # never changed; jsonargparse shows it as the default
    windows: int = 16,
    batch: int = 4,
    steps: int | None = None,
    device: str = "auto",
    json: Path | None = None,
) -> None:
    """Print the frames per second of predicting a film, and of a loop that predicts the window of each frame alone.

    Nothing is kept: results are written to a temporary folder.

    Args:
        video: Film to predict, whole at every stride; a minute is enough.
        checkpoint: Checkpoint of a training run, exported folder, or official DiffSal release.
        strides: Strides to measure beside 1.
        windows: Windows that the loop predicts.
        batch: Clips per forward pass of the film.
        steps: Denoising steps; the checkpoint's own number when not given.
        device: auto, cpu or cuda.
        json: Also write the measurements to this file.
    """
    require_range(1, strides=min(strides, default=1), windows=windows, batch=batch)
    info, model = open_video(video), loading.load_model(checkpoint, device, steps)
    # every speed is compared with that of stride 1
    records = bench_predict(model, info, list(dict.fromkeys([1, *strides])), windows, batch)
    title = f"{info.frames} frames of {info.width}x{info.height}, {type(model.network).__name__} on {model.device}"
    # a table in a file or a pipe need not fit 80 columns
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    print_table(title, film_speeds(records), console)
    print(
        "gain: over the loop; decode to encode: the loop's time of these three parts over this row's; decoding, audio "
        "and, from the first map on, writing run beside the network: write is what is left of it. The loop's maps "
        f"differ by up to {records[0]['difference']:.4f}."
    )
    if json is not None:
        write_json(json, records)


def model(json: Path | None = None) -> None:
    """Print parameters, multiply-accumulates and activation memory of every DiffSal beside the paper's figures.

    Args:
        json: Also write the table to this file.
    """
    records = bench_model()
    print_records(records)
    if json is not None:
        write_json(json, records)
