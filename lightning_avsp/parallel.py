"""Independent jobs in this process or in several, with progress, Ctrl-C and lost workers; work ahead in a thread."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from lightning_avsp.errors import AVSPError, InputError

Job = TypeVar("Job")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called with the number of finished jobs and of all jobs."""


def work_ahead(items: Iterable[Job], count: int = 2) -> Iterator[Job]:
    """Yield items in order, computed in a thread up to ``count`` items before they are taken.

    Errors come in their item's place. A caller that stops early waits for the item in progress.
    """
    iterator, end = iter(items), object()
    # one thread: an iterator cannot be asked by two
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, iterator, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, iterator, end))
            yield item  # type: ignore[misc]


def map_ahead(
    function: Callable[[Job], Result], items: Iterable[Job], threads: int
) -> Generator[Result, None, None]:
    """Yield the results of items in order, computed in threads for so many items before they are taken.

    Items are made in the caller's thread, one after another; an error of theirs comes before results not yet taken.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)


def run_jobs(
    task: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int = 1,
    *,
    progress: Progress | None = None,
    name: Callable[[Job], str] = str,
) -> list[Result]:
    """Results of all jobs, in the order of the jobs.

    Args:
        task: Function of one job; with more than one worker it, the jobs and the results must be picklable.
        jobs: Independent jobs.
        workers: Processes; 1 computes in this one. More need a script with an ``if __name__ == "__main__"`` guard.
        progress: Called after each job.
        name: Description of a job for error messages, e.g. its path.

    Raises:
        AVSPError, OSError: As a task raised it.
        RuntimeError: If a task raised anything else; the message names the job.
        InputError: If a worker was killed from outside.
    """
    results: dict[int, Result] = {}
    for index, result in completed_jobs(task, jobs, workers, name=name):
        results[index] = result
        if progress is not None:
            progress(len(results), len(jobs))
    return [results[index] for index in range(len(jobs))]


def completed_jobs(
    task: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int = 1,
    *,
    name: Callable[[Job], str] = str,
) -> Iterator[tuple[int, Result]]:
    """Yield (index of the job, result) as jobs finish; arguments and errors as for :func:`run_jobs`.

    Jobs that have not begun are cancelled when one fails, at Ctrl-C, and when the caller stops iterating.
    """
    if workers <= 1 or len(jobs) <= 1:  # a process would first import torch for seconds
        for index, job in enumerate(jobs):
            with _named_errors(name(job)):
                result = task(job)
            yield index, result
        return
    # Spawned, not forked: torch's threads or a progress bar may hold a lock at the moment of a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_stop_at_interrupt)
    try:
        # a worker inherits this, so that Ctrl-C waits until it has started, instead of ending it with a traceback
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = {pool.submit(task, job): index for index, job in enumerate(jobs)}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for future in as_completed(futures):
            index = futures[future]
            with _named_errors(name(jobs[index])):
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    raise InputError(
                        f"one of {workers} worker processes was killed, as a rule for lack of memory; run the same "
                        "command again with fewer --workers"
                    ) from error
            yield index, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _named_errors(job: str) -> Iterator[None]:
    """Raise errors that nobody expected under the name of their job."""
    try:
        yield
    except (AVSPError, OSError):  # both name their file already
        raise
    except Exception as error:
        raise RuntimeError(f"{job}: {type(error).__name__}: {error}") from error


def _stop_at_interrupt() -> None:
    """In a worker: Ctrl-C ends it at once and without a traceback; the parent reports it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
