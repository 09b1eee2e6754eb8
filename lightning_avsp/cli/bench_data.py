"""`avsp bench data`: clips per second of every way to read a corpus."""

from __future__ import annotations

from pathlib import Path


def data(
    videos: int = 3,
    frames: int = 100,
    workers: list[int] | None = None,
    rounds: int = 5,
    seconds: float = 2.0,
    folder: Path | None = None,
    json: Path | None = None,
) -> None:
    """Print clips per second of JPEG files, the prepared cache and mp4, through the training loader, in turns.

    The baseline decodes each JPEG with Pillow at full size and resizes it. Videos of 720p are generated first.

    Args:
        videos: Number of generated videos.
        frames: Frames of each, at least 32.
        workers: Numbers of loader processes; by default 0, 1 and 2.
        rounds: Turns of every source with every number of workers.
        seconds: About how long each is measured in a turn.
        folder: Keep the generated videos and caches here and use them again; by default they are temporary.
        json: Also write the numbers to this file.
    """
    import tempfile

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lightning_avsp.profiling.data import bench_data, print_report
    from lightning_avsp.run_folder import write_json

    console = Console(highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Refreshed by hand: the display's own thread would be there when loader processes are forked
    with (
        tempfile.TemporaryDirectory(prefix="avsp-bench-") as temporary,
        Progress(*columns, console=console, transient=True, auto_refresh=False) as bar,
    ):
        task = bar.add_task("generating videos", total=None)
        bar.refresh()
        report = bench_data(
            folder or Path(temporary),
            videos=videos,
            frames=frames,
            workers=workers or (0, 1, 2),
            rounds=rounds,
            seconds=seconds,
            progress=lambda done, total: bar.update(
                task, description="clips per second", completed=done, total=total, refresh=True
            ),
        )
    print_report(report, console)
    if json is not None:
        write_json(json, report)
