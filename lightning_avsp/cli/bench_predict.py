"""`avsp bench predict`: speed of `avsp predict` beside that of a loop over windows."""

from __future__ import annotations

from pathlib import Path


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
    import sys

    from rich.console import Console

    from lightning_avsp.errors import InputError
    from lightning_avsp.evaluation.formatting import print_table
    from lightning_avsp.media.video import open_video
    from lightning_avsp.profiling.predict import bench_predict, film_speeds
    from lightning_avsp.run_folder import write_json
    from lightning_avsp.tasks.loading import load_model

    if min([*strides, windows, batch]) < 1:
        raise InputError(f"strides={strides}, windows={windows} and batch={batch} must be at least 1")
    info, model = open_video(Path(video)), load_model(Path(checkpoint), device, steps)
    records = bench_predict(model, info, list(dict.fromkeys([1, *strides])), windows, batch)
    title = f"{info.frames} frames of {info.width}x{info.height}, {type(model.network).__name__} on {model.device}"
    # a table in a file or a pipe need not fit 80 columns
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    print_table(title, film_speeds(records), console)
    print(
        "gain: over the loop; decode to encode: the loop's time of these three parts over this row's. The loop's maps "
        f"differ by up to {records[0]['difference']:.4f}."
    )
    if json is not None:
        write_json(Path(json), records)
