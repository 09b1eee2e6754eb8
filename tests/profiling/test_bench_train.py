"""avsp bench train on tiny networks: every kind of network, rows with reasons, tables, trace and JSON."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import LIMIT_S
from rich.console import Console

from lightning_avsp.cli import main
from lightning_avsp.cli.bench import train
from lightning_avsp.errors import InputError
from lightning_avsp.profiling.case import BenchmarkCase, Configuration
from lightning_avsp.profiling.device import matrix_peak, peak_memory, reset_peak_memory
from lightning_avsp.profiling.random_clips import random_batch
from lightning_avsp.profiling.timeline import Timeline
from lightning_avsp.profiling.train import Measurement, Rounds, Speed, Speeds, bench_suite, bench_train
from lightning_avsp.profiling.train_report import print_report, write_report
from lightning_avsp.tasks.experiment import Experiment

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
CPU = torch.device("cpu")
SMALL = (
    "model.network.video_encoder=tiny",
    "model.network.audio_encoder=tiny",
    "data.size=[64,64]",
    "data.map_size=[64,64]",
)
ONCE = Rounds(steps=1, rounds=1, warmup=1)


def smoke(*settings: str, **options: Any) -> Configuration:
    return Configuration(EXPERIMENTS / "smoke.yaml", (*SMALL, *settings), batch=1, **options)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Speeds, Path]:
    trace = tmp_path_factory.mktemp("bench") / "deep" / "trace.json"
    configurations = [smoke(), smoke(activation_checkpointing=True)]
    amount = Rounds(steps=1, rounds=2, warmup=1, inference=True)
    return bench_train(configurations, CPU, amount, trace=trace), trace


@pytest.fixture
def _without_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """No profile, which takes longer than all that is measured; another test shows it."""
    monkeypatch.setattr(Measurement, "add_operators", lambda *_: None)


def test_measures_configurations_in_turns(measured: tuple[Speeds, Path]) -> None:
    first, second = measured[0].speeds
    assert "checkpointed" in second.name
    assert "checkpointed" not in first.name
    for speed in (first, second):
        assert len(speed.samples_per_s) == 2
        assert all(value > 0 for value in speed.samples_per_s)
        assert set(speed.sections) == {"encoder", "denoiser", "other", "backward", "optimiser"}
        assert sum(speed.shares.values()) == pytest.approx(1)
        # the sections are the step: their mean sum gives the speed again
        mean = sum(1 / value for value in speed.samples_per_s) / 2
        assert sum(speed.sections.values()) == pytest.approx(mean, rel=1e-6)
        assert set(speed.clips_per_s) == {"1", "4", "8"}
        assert speed.utilisation is None  # the CPU's matrix peak is unknown
        assert speed.peak_bytes is None or speed.peak_bytes > 1e6
        assert speed.error is None
        assert len(speed.operators) == 10
        assert any("convolution" in operator["name"] for operator in speed.operators)
        times = [operator["ms"] for operator in speed.operators]
        assert times == sorted(times, reverse=True)
    assert first.flops_per_clip == second.flops_per_clip  # what is computed anew does not count
    assert second.ratios[0] == second.samples_per_s[0] / first.samples_per_s[0]
    events = json.loads(measured[1].read_text())["traceEvents"]
    assert {"encoder", "denoiser", "backward", "optimiser"} <= {event.get("name") for event in events}


def test_prints_and_writes_the_same_tables(measured: tuple[Speeds, Path], tmp_path: Path) -> None:
    failed = Speed("another", error="out of memory (warming up)")
    report = Speeds(measured[0].machine, [*measured[0].speeds, failed])
    out = StringIO()
    print_report(report, Console(file=out, width=250))
    write_report(report, tmp_path / "deep")
    for text in (out.getvalue(), (tmp_path / "deep" / "speeds.md").read_text()):
        words = ("predicted clips/s, 8 steps", "denoiser", "convolution", "out of memory", "whole process")
        assert [word for word in words if word not in text] == []
    read = json.loads((tmp_path / "deep" / "speeds.json").read_text())
    assert read["speeds"][1]["ratios"] == measured[0].speeds[1].ratios
    assert read["machine"]["device"] == "CPU"


@pytest.mark.parametrize(
    ("experiment", "sections"),
    [
        ("synthetic_mubic", {"encoder", "denoiser"}),
        ("synthetic_tavdiff", {"encoder", "denoiser"}),
        ("synthetic_avrsp", {"encoder", "decoder"}),
    ],
)
def test_every_paper_takes_steps_and_predicts(experiment: str, sections: set[str]) -> None:
    case = BenchmarkCase(Configuration(EXPERIMENTS / f"{experiment}.yaml", ("data.size=[64,64]",), 1), CPU)
    before = {name: p.detach().clone() for name, p in case.task.named_parameters()}
    found = case.train(1)
    assert set(found) == {*sections, "other", "backward", "optimiser"}
    assert any(not torch.equal(before[name], p) for name, p in case.task.named_parameters())
    assert case.flops > 0
    assert case.predict(1 if "denoiser" in sections else None) > 0
    assert case.task.training


@pytest.mark.usefixtures("_without_operators")
def test_real_clips_give_the_share_of_the_data(corpus: Path) -> None:
    settings = ("data.size=[64,128]", "data.audio.size=[32,64]", "data.num_workers=0")
    one = Configuration(EXPERIMENTS / "smoke.yaml", (*SMALL[:2], *settings), batch=2, root=corpus)
    amount = Rounds(steps=3, rounds=1, warmup=1)  # more batches than an epoch has
    (speed,) = bench_train([one], CPU, amount).speeds
    assert 0 < speed.shares["data"] < 1
    # a batch larger than the epoch: the clips of the epoch count
    huge = BenchmarkCase(Configuration(one.experiment, one.settings, batch=100, root=corpus), CPU, flops=1)
    before = huge.task.network.encode  # type: ignore[operator, union-attr]
    huge.train(1)
    assert huge.task.network.encode == before  # marks leave the network as it was
    assert "encode" not in vars(huge.task.network)
    assert huge.clips == len(huge.data.train_dataloader().dataset) < 100  # type: ignore[arg-type]


def test_random_batches_have_the_shapes_of_the_data() -> None:
    experiment = Experiment.read(EXPERIMENTS / "synthetic_tavdiff.yaml")
    data = experiment.build()[1]
    batch = random_batch(data, 3, experiment.text_width, CPU)
    frames = data.clip.frames
    assert batch["video"].shape == (3, frames, *data.size, 3)
    assert batch["saliency"].shape == (3, 1, *data.map_size)
    assert batch["audio"].shape == (3, 1, 2205 * frames)
    assert batch["text"].shape == (3, 16, experiment.text_width)
    assert len(set(batch["video_id"])) == 3
    assert torch.equal(batch["video"], random_batch(data, 3, None, CPU)["video"])


def test_changes_are_read_from_words() -> None:
    first = Configuration(Path("experiments/a.yaml"), batch=4)
    words = "experiments/b.yaml precision=bf16-mixed compile=default batch=8 activation_checkpointing=true"
    other = first.changed(words)
    found = other.experiment, other.precision, other.compile, other.batch, other.activation_checkpointing
    assert found == (Path("experiments/b.yaml"), "bf16-mixed", "default", 8, True)
    assert first.changed("model.network.attention=standard").settings == ("model.network.attention=standard",)
    for wrong in ("precision=16", "batch=0", "nonsense", "speed=high", "activation_checkpointing=maybe"):
        with pytest.raises(InputError):
            first.changed(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": EXPERIMENTS / "nothing.yaml"}, "no experiment file at"),
        ({"model": EXPERIMENTS / "smoke.yaml", "settings": "model.network.nonsense=1"}, "nonsense"),
        ({"model": EXPERIMENTS / "smoke.yaml", "steps": 0}, "at least 1"),
        ({"model": EXPERIMENTS / "smoke.yaml", "device": "tpu"}, "tpu"),
        ({"all": True}, "--all needs --out"),
        ({}, "give --model"),
    ],
)
def test_mistakes_are_input_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(**{"device": "cpu", **options})


@pytest.mark.usefixtures("_without_operators")
def test_a_configuration_that_fails_is_a_row_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = BenchmarkCase.train

    def full(case: BenchmarkCase, steps: int) -> dict[str, float]:
        if case.batch == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return taken(case, steps)

    monkeypatch.setattr(BenchmarkCase, "train", full)
    saved: list[list[str | None]] = []
    # the second has a frozen encoder, too, which costs fewer operations
    configurations = [smoke(), smoke("model.network.freeze_video=true"), smoke().changed("batch=2")]
    speeds = bench_train(
        configurations, CPU, ONCE, save=lambda found: saved.append([row.error for row in found.speeds])
    ).speeds
    assert [speed.error for speed in speeds] == [None, None, "out of memory (warming up)"]
    assert [bool(speed.samples_per_s) for speed in speeds] == [True, True, False]
    assert speeds[1].flops_per_clip < speeds[0].flops_per_clip  # type: ignore[operator]
    assert saved[0] == [None] * 3


def test_the_suite_goes_on_behind_what_is_stopped_or_dies(tmp_path: Path) -> None:
    """Three processes: one that is measured, one that ends by itself, one that is stopped at its limit."""
    lethal = tmp_path / "lethal.yaml"
    lethal.write_text((EXPERIMENTS / "smoke.yaml").read_text())
    joint: list[int] = []
    suite = {smoke().experiment: [smoke()], lethal: [Configuration(lethal, ("data.nonsense=1",))]}
    save = lambda found: joint.append(len(found.speeds))  # noqa: E731
    good, bad = bench_suite(suite, CPU, ONCE, LIMIT_S, lambda _: None, save).speeds
    assert joint == [1, 2]
    assert good.error is None
    assert good.operators
    assert bad.error == "the process ended with exit code 1"
    # no process starts as fast as this
    stopped = bench_suite({lethal: [Configuration(lethal)]}, CPU, ONCE, 0.01, lambda _: None, lambda _: None)
    assert stopped.speeds[0].error == "stopped after 0 s"


def test_all_measures_the_papers_in_every_execution_within_eight_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that docs/scale.md gives for a GPU, without its work."""
    asked: list[Any] = []

    def note(suite: Any, device: Any, amount: Any, limit: float, report: Any, save: Any) -> Speeds:
        asked.extend((suite, limit, amount.inference))
        return Speeds({}, [Speed("stopped", error="stopped")])

    monkeypatch.setattr("lightning_avsp.profiling.train.bench_suite", note)
    monkeypatch.chdir(EXPERIMENTS.parent)
    main(["bench", "train", "--all", "true", "--inference", "true", "--out", str(tmp_path)])
    suite, limit, inference = asked
    assert inference
    assert len(suite) * limit < 8 * 60
    assert [path.stem for path in suite] == ["diffsal_avad", "mubic_avad", "avrsp_avad", "tavdiff_avad"]
    for path, configurations in suite.items():
        assert path.is_file()
        ways = {(one.precision, one.compile, one.batch) for one in configurations}
        assert ways == {
            ("32-true", "none", 8),
            ("bf16-mixed", "none", 8),
            ("bf16-mixed", "default", 8),
            ("bf16-mixed", "graphs", 8),
        }


def test_matrix_peaks_by_name() -> None:
    peaks = {
        "H100 80GB HBM3": 989e12,
        "H100 PCIe": 756e12,
        "H200": 989e12,
        "H100 80GB HBM3 MIG 1g.10gb": None,
    }
    assert {name: matrix_peak(f"NVIDIA {name}") for name in peaks} == peaks
    assert matrix_peak("Some other card") is None


def test_peak_of_the_process_grows_with_what_is_held() -> None:
    reset_peak_memory(CPU)
    before = peak_memory(CPU)
    if before is None:
        pytest.skip("this system does not report the memory of a process")
    held = torch.ones(40_000_000)  # 160 MB
    after = peak_memory(CPU)
    assert after is not None
    assert after - before > 100e6
    del held


def test_a_gpus_sections_are_timed_by_events_that_wait_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 2000.0, 5000.0, 6000.0))  # milliseconds

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.moment = next(clock)

        def elapsed_time(self, later: Event) -> float:
            return later.moment - self.moment

    waits: list[None] = []
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(None))
    timeline = Timeline(torch.device("cuda"))
    timeline.start()
    for section in ("data", "encoder", "data"):
        timeline.mark(section)
    assert not waits
    assert timeline.totals() == {"data": 3.0, "encoder": 3.0}
    assert len(waits) == 1
