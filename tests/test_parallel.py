"""Process pool and work ahead: order, named errors, a killed worker, Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import LIMIT_S, wait_for

from lightning_avsp.errors import InputError
from lightning_avsp.parallel import completed_jobs, map_ahead, run_jobs, work_ahead


def square(number: int) -> int:
    time.sleep(0.05 * (number == 0))  # the first job finishes last where there are several workers
    return number * number


def fail(number: int) -> int:
    if number == 1:
        raise KeyError("no such thing")
    if number == 2:
        raise InputError("two.txt is empty; write it again")
    return number


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_the_order_of_the_jobs(workers: int) -> None:
    seen: list[tuple[int, int]] = []
    results = run_jobs(square, range(4), workers, progress=lambda done, total: seen.append((done, total)))
    assert results == [0, 1, 4, 9]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert dict(completed_jobs(square, range(4), workers)) == {0: 0, 1: 1, 2: 4, 3: 9}
    assert run_jobs(square, [], workers) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_name_the_job_and_user_errors_pass_as_they_are(workers: int) -> None:
    with pytest.raises(RuntimeError, match="video 1: KeyError: 'no such thing'"):
        run_jobs(fail, [0, 1], workers, name=lambda job: f"video {job}")
    with pytest.raises(InputError, match=r"^two.txt is empty; write it again$"):
        run_jobs(fail, [0, 2], workers)


def test_a_killed_worker_is_reported_with_a_remedy() -> None:
    with pytest.raises(InputError, match="fewer --workers"):
        run_jobs(die, [0, 1], 2)


@pytest.mark.parametrize("moment", ["starting", "working"])
def test_an_interrupt_ends_parent_and_workers_without_a_traceback_of_theirs(
    tmp_path: Path, start: Callable, moment: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from lightning_avsp.parallel import run_jobs\n"
        "def wait(name):\n"
        "    Path(sys.argv[1], f'{name}.working').write_text(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        run_jobs(wait, 'abc', 2)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted')\n"
        "else:\n"
        "    Path(sys.argv[1], f'{os.getpid()}.starting').write_text(str(os.getpid()))\n"
        "    time.sleep(0.5)\n"
    )
    command = [sys.executable, str(script), str(tmp_path)]
    process = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def pids() -> list[str]:
        return [pid for path in tmp_path.glob(f"*.{moment}") if (pid := path.read_text())]

    wait_for(lambda: len(pids()) == 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    out, err = process.communicate()
    assert out == "interrupted\n"
    assert "Traceback" not in err
    assert len(list(tmp_path.glob("*.working"))) == (2 if moment == "working" else 0)
    for pid in pids():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_work_ahead_keeps_order_raises_in_place_and_stops_with_its_caller() -> None:
    begun = []

    def items(failing: int) -> Iterator[int]:
        try:
            for number in range(10):
                if number == failing:
                    raise ValueError(f"item {number}")
                begun.append((number, threading.get_ident()))
                yield number
        finally:
            begun.append(("closed", 0))

    assert list(work_ahead(items(-1))) == list(range(10))
    assert {thread for number, thread in begun if number != "closed"} != {threading.get_ident()}
    taken = []
    with pytest.raises(ValueError, match="item 4"):
        taken.extend(work_ahead(items(4)))
    begun.clear()
    ahead = work_ahead(items(-1), count=3)
    assert next(ahead) == 0
    ahead.close()
    assert len(begun) <= 5  # the item taken, three ahead of it, and one begun when it was taken


def test_map_ahead_computes_in_several_threads_at_once_and_keeps_the_order() -> None:
    together, taken = threading.Barrier(3), []

    def meet(number: int) -> int:
        together.wait(LIMIT_S)  # one thread alone would stay here
        return number * number

    def items() -> Iterator[int]:
        for number in range(6):
            taken.append(number)
            yield number

    results = map_ahead(meet, items(), 3)
    assert next(results) == 0
    assert taken == [0, 1, 2, 3]
    assert list(results) == [1, 4, 9, 16, 25]
    with pytest.raises(KeyError):
        list(map_ahead(fail, [0, 1, 2], 2))
