"""Sweeps of runs that take no time, on one local cluster of Ray for all tests."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from conftest import wait_for
from fake_sweep import EXPERIMENT, FakeSweep, fake_environment, is_alive

from lightning_avsp.sweep.cluster import Cluster, connect


@pytest.fixture
def make_sweep(tmp_path: Path, corpus: Path) -> Callable[..., FakeSweep]:
    """Write a sweep with some seeds; its trainings wait until `go`."""

    def make(*seeds: int, **parameters: object) -> FakeSweep:
        notes = tmp_path / "notes"
        notes.mkdir(exist_ok=True)
        command = ["${env}", "${program}", "trial", "--sweep", "fake", "--config", str(EXPERIMENT)]
        command += [f"--data.root={corpus}", f"--wandb_project={notes}", "--config", "${args_json}"]
        content = {"program": "lightning", "method": "grid", "command": command}
        values = {"seed_everything": {"values": list(seeds)}, **parameters}
        path = tmp_path / "fake.yaml"
        path.write_text(yaml.safe_dump({**content, "parameters": values}))
        return FakeSweep(path, tmp_path / "runs", notes)

    return make


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster of Ray that runs four fake trainings at a time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in fake_environment().items():
            patch.setenv(name, value)
        found = connect(None, jobs=4)
        handler = signal.getsignal(signal.SIGTERM)
        entered = found.__enter__()  # Ray's processes keep the environment that they are started in
        signal.signal(signal.SIGTERM, handler)  # Ray's own would stay for all later tests
    yield entered
    found.__exit__(None, None, None)


@pytest.fixture(scope="session")
def ending() -> Iterator[list[int]]:
    """Processes that end by themselves within a minute or two; seen at the end, so that no test waits for them."""
    processes: list[int] = []
    yield processes
    wait_for(lambda: not any(map(is_alive, processes)))


@pytest.fixture
def meanwhile() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Run something beside the sweep, which has the main thread, and fail with it."""
    errors: list[BaseException] = []
    threads: list[threading.Thread] = []

    def start(work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001
                errors.append(error)

        threads.append(threading.Thread(target=guarded))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
