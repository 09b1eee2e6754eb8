"""`avsp bench train`: how fast an experiment trains, and where the time goes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def train(
    model: Path,
    against: list[str] | str = [],  # noqa: B006  # never changed; jsonargparse shows it as the default
    settings: list[str] | str = [],  # noqa: B006
    batch: int | None = None,
    steps: int = 10,
    rounds: int = 3,
    warmup: int = 3,
    device: str = "auto",
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto",
    compile: Literal["none", "default", "eager", "max-autotune"] = "none",
    activation_checkpointing: bool = False,
    channels_last: bool = False,
    freeze_video: bool = False,
    root: Path | None = None,
    inference: bool = False,
    fill: bool = False,
    trace: Path | None = None,
    out: Path | None = None,
    json: Path | None = None,
) -> None:
    """Print samples per second, peak memory and where the time of a training step goes, of one or more configurations.

    Weights are random. Clips are random and lie on the device, unless --root says where the corpora are. Precision,
    compilation and checkpointing are those given here, not those of the experiment's trainer.

    Args:
        model: Experiment file; its model and data are built as `lightning fit` builds them.
        against: Further configurations, measured in turns with the first: what changes, separated by blanks, e.g.
            "precision=32-true compile=default", "experiments/mubic_avad.yaml" or "model.network.attention=standard".
            Several as a list: '["precision=32-true", "compile=default"]'.
        settings: Changes to the experiment itself, separated by blanks: "model.network.video_encoder=s3d".
        batch: Clips of a step; the experiment's data.batch_size by default.
        steps: Training steps of a round.
        rounds: Rounds of every configuration, in turns.
        warmup: Steps before anything is timed.
        device: auto, cpu or cuda.
        precision: As trainer.precision; auto is what `lightning fit` takes on this device.
        compile: As `lightning fit --compile`.
        activation_checkpointing: As `lightning fit --activation_checkpointing`.
        channels_last: As `lightning fit --channels_last`.
        freeze_video: Freeze the video encoder.
        root: Read clips of the experiment's corpora from here, so that the share of the data is measured.
        inference: Also print predicted clips per second at 1, 4 and 8 denoising steps.
        fill: Instead double the batch, from --batch or 1 on, until the GPU's memory is full.
        trace: Write a profiler's trace of two steps of the first configuration to this file.
        out: Draw the chart to this PNG.
        json: Also write the numbers to this file.
    """
    from rich.console import Console

    from lightning_avsp.errors import InputError
    from lightning_avsp.profiling.contender import Setup
    from lightning_avsp.profiling.train import as_report, bench_fill, bench_train, find_device, find_precision
    from lightning_avsp.profiling.train_report import draw_speeds, print_fill, print_speeds
    from lightning_avsp.run_folder import write_json

    console = Console(highlight=False, soft_wrap=True)
    where = find_device(device)
    first = Setup(
        model,
        batch=batch,
        compile=compile,
        activation_checkpointing=activation_checkpointing,
        channels_last=channels_last,
        freeze_video=freeze_video,
        root=root,
    ).changed(f"precision={find_precision(precision, where)}")
    for words in _list(settings):
        first = first.changed(words)
    if fill:
        if against or trace or out or inference or root:
            raise InputError(
                "--fill measures one configuration on random clips alone; leave --against, --inference, --trace, "
                "--out and --root out"
            )
        speeds = bench_fill(first, where, steps=steps, warmup=warmup, say=console.print)
        print_fill(speeds, where, console)
    else:
        setups = [first, *(first.changed(words) for words in _list(against))]
        speeds = bench_train(
            setups,
            where,
            steps=steps,
            rounds=rounds,
            warmup=warmup,
            inference=inference,
            trace=trace,
            say=console.print,
        )
        print_speeds(speeds, where, console)
    if out is not None:
        draw_speeds(speeds, where, out)
    if json is not None:
        write_json(json, as_report(speeds, where))


def _list(words: list[str] | str) -> list[str]:
    return [words] if isinstance(words, str) else words
