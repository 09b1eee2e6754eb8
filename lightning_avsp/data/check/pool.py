"""Runs the checks of many videos, in this process or in several, and loses none of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from lightning_avsp.data.check.faults import fault
from lightning_avsp.data.check.video import check_video
from lightning_avsp.data.check.video_files import Thoroughness, VideoFiles, VideoFindings


def run_checks(
    videos: Sequence[VideoFiles],
    thoroughness: Thoroughness,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[VideoFindings]:
    """Findings of each video, in the order given.

    A video whose check itself breaks is reported as ``video_unreadable``; the others go on.
    """
    found: dict[int, VideoFindings] = {}

    def finish(index: int, findings: VideoFindings) -> None:
        found[index] = findings
        if progress is not None:
            progress(len(found), len(videos))

    # The longest first, so that no process is left alone with one at the end.
    order = sorted(range(len(videos)), key=lambda index: -videos[index].listed)
    if workers <= 1 or len(videos) <= 1:
        for index in order:
            finish(index, guarded_check(videos[index], thoroughness))
    else:
        # spawn: a fork of a process that already runs torch's threads can hang
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(videos)), mp_context=context) as pool:
            futures = {pool.submit(guarded_check, videos[index], thoroughness): index for index in order}
            try:
                for future in as_completed(futures):
                    finish(futures[future], future.result())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return [found[index] for index in range(len(videos))]


def guarded_check(files: VideoFiles, thoroughness: Thoroughness) -> VideoFindings:
    """:func:`~lightning_avsp.data.check.video.check_video`, with what it did not foresee as a fault."""
    try:
        return check_video(files, thoroughness)
    except Exception as error:  # noqa: BLE001  # one odd file must not end the check of all others
        detail = f"the check broke off: {type(error).__name__}: {error}"
        broken = fault("video_unreadable", files.corpus, files.video, files.place, detail)
        return VideoFindings(files.corpus, files.video, [broken])
