"""Fixtures of all tests: reference values, a corpus, a finished run, processes, and torch seeded with one thread."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 600
"""Seconds after which an event that a test waits for will never come: a loaded machine is slower, not red."""

# Two workers on two cores: more threads each only fight for them. Set before torch is imported anywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# With more, threads that wait would spin and keep the cores from those that they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

from films import align, cut, expected_noise, make_film  # noqa: E402, F401  # numpy reads the variables, too

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would the programs that tests start and interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _number_of_threads_stays() -> Iterator[None]:
    """Another number sums in another order, and an exact comparison behind it fails in one order of tests alone."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    assert torch is None or torch.get_num_threads() == before


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the few tests that take long first, so that no worker runs them while the others are done."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    # what was imported stays: the collector need not look through its millions of objects again and again
    gc.freeze()


def wait_for(event: Callable[[], object], process: subprocess.Popen[Any] | None = None) -> None:
    """Wait until an event is true, and fail if the process that should bring it about ends before."""
    deadline = time.monotonic() + LIMIT_S
    while not event():
        if process is not None and process.poll() is not None and not event():
            output = "".join(str(stream.read()) for stream in (process.stdout, process.stderr) if stream)
            pytest.fail(f"the process ended with {process.returncode} too early: {output[-3000:]}")
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


class Program(subprocess.Popen[str]):
    """A program whose end is waited for as long as any event."""

    def wait(self, timeout: float | None = LIMIT_S) -> int:
        return super().wait(timeout)

    def communicate(self, input: str | None = None, timeout: float | None = LIMIT_S) -> tuple[str, str]:
        return super().communicate(input, timeout)


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Start a program in a session of its own; nothing of it survives the test."""
    started: list[Program] = []

    def run(command: Sequence[str], **settings: Any) -> Program:
        started.append(Program(command, start_new_session=True, text=True, **settings))
        return started[-1]

    yield run
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()


@pytest.fixture
def hold_lock(start: Callable[..., Program]) -> Callable[..., Program]:
    """Start a process that holds a folder's lock until it is killed."""

    def hold(folder: Path, name: str = "lock") -> Program:
        code = "import sys, time; from pathlib import Path; from lightning_avsp.files import lock_folder\n"
        code += "with lock_folder(Path(sys.argv[1]), sys.argv[2]): print('held', flush=True), time.sleep(600)"
        process = start([sys.executable, "-c", code, str(folder), name], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    return hold


def run_in_fork(function: Callable[..., Any], *arguments: object) -> Any:
    """Run a function in a forked process and return what it returns."""
    import torch

    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def work() -> None:
        torch.set_num_threads(1)  # as dataloader workers do: OpenMP's other threads do not survive a fork
        send.send(function(*arguments))

    child = context.Process(target=work)
    child.start()
    send.close()  # so that a child that dies is an end of the file here
    try:
        assert receive.poll(LIMIT_S), "the child hangs"
        found = receive.recv()
        child.join(LIMIT_S)
        assert child.exitcode == 0
    finally:
        child.kill()
    return found


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with reference values that lies beside the checkout in development; tests using it skip without it."""
    path = Path(__file__).resolve().parents[2] / "shared"
    if not (path / "golden").is_dir():
        pytest.skip("reference values are not at hand: no shared/ folder beside the checkout")
    return path


@pytest.fixture(autouse=True)
def _seed() -> None:
    import torch

    torch.manual_seed(0)


@pytest.fixture
def double() -> Iterator[None]:
    """Double precision, in which two ways to one result agree on every machine, whatever order it sums in.

    A thousand operations in a row are off by 1e-13 of the largest value at most, while ``assert_close`` allows 1e-7,
    far less than a wrong sign, index or axis changes. In single precision both would lie near 1e-4.
    """
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must end with exit code 2, and return what it prints as its error."""
    from lightning_avsp.cli import main

    def run(arguments: Sequence[object], program: str | None = None) -> str:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments], program)
        assert stop.value.code == 2
        return capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SYNTHETIC corpus in the AVAD layout: 6 videos of 25 frames at 64x128, 2 of them in each test list."""
    from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus

    root = tmp_path_factory.mktemp("corpus")
    synthesise_corpus(root, "AVAD", 6, spec=SyntheticSpec(size=(64, 128), seconds=2.0), workers=1)
    return root


@pytest.fixture(scope="session")
def blip2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BLIP-2."""
    pytest.importorskip("transformers")
    from tiny_blip2 import save_tiny_blip2

    folder = tmp_path_factory.mktemp("blip2")
    save_tiny_blip2(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny DiffSal's checkpoint as `lightning fit` writes it, in its run folder."""
    import lightning
    import torch

    from lightning_avsp.input_spec import InputSpec
    from lightning_avsp.media.audio import LogMel
    from lightning_avsp.papers.diffsal import DiffSal
    from lightning_avsp.structures import ClipPolicy
    from lightning_avsp.tasks import DiffusionSaliencyTask
    from lightning_avsp.tasks.loading import INPUT_KEY

    run = tmp_path_factory.mktemp("run")
    tiny = {"video_encoder": "tiny", "audio_encoder": "tiny"}
    spec = InputSpec((64, 96), (64, 96), ClipPolicy(target="last"), LogMel(size=(16, 32)))
    content = {
        "pytorch-lightning_version": lightning.__version__,
        "state_dict": DiffusionSaliencyTask(DiffSal(**tiny)).state_dict(),
        "hyper_parameters": {
            "network": {
                "class_path": "lightning_avsp.papers.diffsal.DiffSal",
                "init_args": {**tiny, "video_weights": "/home/somebody/weights.pt"},
            },
            "sampling": {"steps": 2, "clamp": (0.0, 1.0)},
            "seed": 3,
        },
        INPUT_KEY: spec.as_plain(),
    }
    (run / "checkpoints").mkdir()
    torch.save(content, run / "checkpoints" / "best.ckpt")
    (run / "run.json").write_text(json.dumps({"experiment": "diffsal_tiny", "synthetic": True, "steps": 1}))
    (run / "results").mkdir()
    (run / "results" / "test.json").write_text(json.dumps({"averages": {"test/CC": 0.25}}))
    return run / "checkpoints" / "best.ckpt"
