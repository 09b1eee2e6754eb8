"""avsp bench train on tiny networks: every kind of network, in turns, with table, chart, trace and JSON."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
import torch
from lightning_avsp.profiling.contender import Contender, Setup
from rich.console import Console

from lightning_avsp.cli.bench_train import train
from lightning_avsp.data import ClipPolicy
from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.profiling.cost import RECIPES, TABLES, card_hours, main, training_clips
from lightning_avsp.profiling.memory import peak, reset_peak
from lightning_avsp.profiling.peak import forward_flops, peak_by_name, training_flops
from lightning_avsp.profiling.random_clips import random_batch
from lightning_avsp.profiling.timeline import Timeline, marked
from lightning_avsp.profiling.train import (
    Speed,
    as_report,
    bench_fill,
    bench_train,
    find_device,
    find_precision,
)
from lightning_avsp.profiling.train_report import draw_speeds, print_fill, print_speeds
from lightning_avsp.structures import DiffusionNetwork
from lightning_avsp.tasks.experiment import Experiment
from lightning_avsp.tasks.prediction import network_inputs

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
CPU = torch.device("cpu")
SMALL = ("data.size=[64,64]", "data.map_size=[64,64]")


def smoke(*settings: str, **options: object) -> Setup:
    words = ("model.network.video_encoder=tiny", "model.network.audio_encoder=tiny", *SMALL, *settings)
    return Setup(EXPERIMENTS / "smoke.yaml", words, batch=1, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Speed], Path]:
    trace = tmp_path_factory.mktemp("bench") / "deep" / "trace.json"
    setups = [smoke(), smoke(activation_checkpointing=True)]
    speeds = bench_train(setups, CPU, steps=1, rounds=2, warmup=1, inference=True, trace=trace)
    return speeds, trace


def test_measures_configurations_in_turns(measured: tuple[list[Speed], Path]) -> None:
    first, second = measured[0]
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
        assert speed.utilisation is None  # nobody knows the CPU's matrix peak
        assert speed.peak_bytes is None or speed.peak_bytes > 1e6
    assert first.flops_per_clip == second.flops_per_clip  # what is computed anew does not count
    assert second.ratios(first)[0] == second.samples_per_s[0] / first.samples_per_s[0]


def test_writes_a_trace_with_the_sections(measured: tuple[list[Speed], Path]) -> None:
    events = json.loads(measured[1].read_text())["traceEvents"]
    names = {event.get("name") for event in events}
    assert {"encoder", "denoiser", "backward", "optimiser"} <= names


def test_prints_one_table_and_draws_one_chart(measured: tuple[list[Speed], Path], tmp_path: Path) -> None:
    speeds = measured[0]
    out = StringIO()
    print_speeds(speeds, CPU, Console(file=out, width=120))
    text = out.getvalue()
    for words in ("samples/s, median of 2", "ratio to A", "denoiser", "8 denoising steps", "no data time"):
        assert words in text
    assert "matrix peak" not in text
    draw_speeds(speeds, CPU, tmp_path / "deep" / "chart.png")
    assert (tmp_path / "deep" / "chart.png").read_bytes().startswith(b"\x89PNG")
    report = as_report(speeds, CPU)
    assert report["speeds"][1]["ratios_to_first"] == speeds[1].ratios(speeds[0])
    assert report["machine"]["device"] == "CPU"
    json.dumps(report)


@pytest.mark.parametrize(
    ("experiment", "sections"),
    [
        ("synthetic_mubic", {"encoder", "denoiser"}),
        ("synthetic_tavdiff", {"encoder", "denoiser"}),
        ("synthetic_avrsp", {"encoder", "decoder"}),
    ],
)
def test_every_paper_takes_steps_and_predicts(experiment: str, sections: set[str]) -> None:
    setup = Setup(EXPERIMENTS / f"{experiment}.yaml", ("data.size=[64,64]",), batch=1)
    contender = Contender(setup, CPU)
    before = {name: p.detach().clone() for name, p in contender.task.named_parameters()}
    found = contender.train(1)
    assert set(found) == {*sections, "other", "backward", "optimiser"}
    assert any(not torch.equal(before[name], p) for name, p in contender.task.named_parameters())
    assert contender.flops is not None
    assert contender.flops > 0
    assert contender.predict(1 if "denoiser" in sections else None) > 0
    assert contender.task.training


def test_real_clips_give_the_share_of_the_data(corpus: Path) -> None:
    setup = Setup(
        EXPERIMENTS / "smoke.yaml",
        (
            "model.network.video_encoder=tiny",
            "model.network.audio_encoder=tiny",
            "data.size=[64,128]",
            "data.audio.size=[32,64]",
            "data.num_workers=0",
        ),
        batch=2,
        root=corpus,
    )
    (speed,) = bench_train([setup], CPU, steps=3, rounds=1, warmup=1)  # more batches than an epoch has
    assert 0 < speed.shares["data"] < 1
    # a batch larger than the epoch: what counts are the clips that were there
    huge = Contender(Setup(setup.experiment, setup.settings, batch=100, root=corpus), CPU, count_flops=False)
    huge.train(1)
    assert huge.clips == len(huge.data.train_dataloader().dataset) < 100


def test_random_batches_have_the_shapes_of_the_data() -> None:
    experiment = Experiment.read(EXPERIMENTS / "synthetic_tavdiff.yaml")
    data, text_width = experiment.build()[1], experiment.text_width
    batch = random_batch(data, 3, text_width, CPU)
    frames = data.clip.frames
    assert batch["video"].shape == (3, frames, *data.size, 3)
    assert batch["saliency"].shape == (3, 1, *data.map_size)
    assert batch["audio"].shape == (3, 1, 2205 * frames)
    assert batch["text"].shape == (3, 16, text_width)
    assert len(set(batch["video_id"])) == 3
    assert torch.equal(batch["video"], random_batch(data, 3, None, CPU)["video"])


def test_frozen_encoders_cost_fewer_operations() -> None:
    whole, frozen = Contender(smoke(), CPU), Contender(smoke(freeze_video=True), CPU)
    assert whole.flops is not None
    assert frozen.flops is not None
    assert frozen.flops < whole.flops
    network, batch = whole.task.network, random_batch(whole.data, 1, None, CPU)
    assert isinstance(network, DiffusionNetwork)
    inputs = [
        torch.zeros(1, 1, 64, 64),
        torch.zeros(1, dtype=torch.int64),
        *network_inputs(whole.task.network, batch),
    ]
    # a product costs twice as much backward as forward, except where no gradient is wanted
    assert 2.5 * forward_flops(network, inputs) < training_flops(network, inputs) < 3.5 * whole.flops


def test_marks_leave_the_network_as_it_was() -> None:
    contender = Contender(smoke(), CPU, count_flops=False)
    network = contender.task.network
    before = network.encode
    with marked(network, Timeline(CPU)):
        assert network.encode != before
    assert network.encode == before
    assert "encode" not in vars(network)


def test_changes_are_read_from_words() -> None:
    first = Setup(Path("experiments/a.yaml"), batch=4)
    other = first.changed(
        "experiments/b.yaml precision=bf16-mixed compile=default batch=8 channels_last=true"
    )
    assert other.experiment == Path("experiments/b.yaml")
    assert (other.precision, other.compile, other.batch, other.channels_last) == (
        "bf16-mixed",
        "default",
        8,
        True,
    )
    assert first.changed("model.network.attention=standard").settings == ("model.network.attention=standard",)
    for wrong in ("precision=16", "batch=0", "nonsense", "speed=high", "channels_last=maybe"):
        with pytest.raises(InputError):
            first.changed(wrong)


def test_mistakes_are_said() -> None:
    with pytest.raises(InputError, match="no experiment file at"):
        Experiment.read(Path("experiments/nothing.yaml"))
    with pytest.raises(InputError, match="nonsense"):
        Experiment.read(EXPERIMENTS / "smoke.yaml", ["model.network.nonsense=1"])
    with pytest.raises(InputError, match="at least 1"):
        bench_train([smoke()], CPU, steps=0)
    with pytest.raises(InputError, match="on the CPU give --batch"):
        bench_fill(smoke(), CPU)
    with pytest.raises(InputError, match="choose auto, cpu or cuda"):
        find_device("tpu")
    with pytest.raises(InputError, match="leave --against"):
        train(EXPERIMENTS / "smoke.yaml", fill=True, against="compile=default", device="cpu")


def test_out_of_memory_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Contender, "train", full)
    with pytest.raises(AVSPError, match=r"out of memory; take a smaller --batch"):
        bench_train([smoke()], CPU)


def test_fill_doubles_until_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device of which only the limit is made up: batches above 4 do not fit."""
    batches = []

    class Counted:
        def __init__(self, setup: Setup, device: torch.device, count_flops: bool = True) -> None:
            self.batch, self.device, self.clips = setup.batch, CPU, 0
            batches.append(setup.batch)

        def train(self, steps: int) -> dict[str, float]:
            if self.batch > 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.clips += steps * self.batch
            return {"backward": 0.5 * steps}

    monkeypatch.setattr("lightning_avsp.profiling.train.Contender", Counted)
    monkeypatch.setattr("lightning_avsp.profiling.train.reset_peak", lambda device: None)
    speeds = bench_fill(smoke(), torch.device("cuda"))
    assert batches == [1, 2, 4, 8]
    assert [speed.samples_per_s for speed in speeds] == [[2.0], [4.0], [8.0], []]
    out = StringIO()
    monkeypatch.setattr("lightning_avsp.profiling.train_report.describe", lambda device: "a GPU")
    print_fill(speeds, torch.device("cuda"), Console(file=out, width=100))
    assert "out of memory" in out.getvalue()


def test_the_command_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(
        EXPERIMENTS / "smoke.yaml",
        settings=" ".join(smoke().settings),
        batch=1,
        steps=1,
        rounds=1,
        warmup=1,
        device="cpu",
        out=tmp_path / "chart.png",
        json=tmp_path / "speeds.json",
    )
    assert "samples/s" in capsys.readouterr().out
    assert json.loads((tmp_path / "speeds.json").read_text())["speeds"][0]["batch"] == 1
    assert (tmp_path / "chart.png").is_file()


def test_precision_and_device_by_default() -> None:
    assert find_precision("auto", CPU) == "32-true"
    assert find_precision("bf16-mixed", CPU) == "bf16-mixed"
    assert find_device("cpu") == CPU


def test_matrix_peaks_by_name() -> None:
    assert peak_by_name("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_by_name("NVIDIA H100 PCIe") == 756e12
    assert peak_by_name("NVIDIA H200") == 989e12
    assert peak_by_name("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_by_name("NVIDIA GeForce RTX 4090") == 165e12
    assert peak_by_name("NVIDIA H100 80GB HBM3 MIG 1g.10gb") is None
    assert peak_by_name("Some other card") is None


def test_peak_of_the_process_grows_with_what_is_held() -> None:
    reset_peak(CPU)
    before = peak(CPU)
    if before is None:
        pytest.skip("this system does not say how much memory a process holds")
    held = torch.ones(40_000_000)  # 160 MB
    after = peak(CPU)
    assert after is not None
    assert after - before > 100e6
    del held


# ---- what a table costs


def test_card_hours_are_clips_over_speed() -> None:
    table = next(table for table in TABLES if (table.paper, table.table) == ("MUBiC", "4.3"))
    recipe = RECIPES["MUBiC"]
    assert training_clips("AVAD", ClipPolicy()) == 30 * 3  # 213 frames a video: segments from 1, 75 and 149
    cost = card_hours(table, samples_per_s=2.0, clips_per_s=10.0, seeds=1)
    runs = 6 * 3  # rows x splits
    assert cost.runs == runs
    assert cost.training_h == pytest.approx(runs * 90 * recipe.epochs / 2.0 / 3600)
    assert cost.test_h == pytest.approx(runs * 15 * (9_589 / 45) / 10.0 / 3600)
    assert card_hours(table, 2.0, 10.0, seeds=3).total_h == pytest.approx(3 * cost.total_h)
    assert card_hours(table, 4.0, 10.0, seeds=1).training_h == pytest.approx(cost.training_h / 2)


def test_pretraining_counts_once_for_each_seed_and_kind_of_start() -> None:
    table = next(table for table in TABLES if (table.paper, table.table) == ("AVRSP", "V"))
    cost = card_hours(table, 1.0, 1.0, seeds=2)
    clips = training_clips("DHF1K", RECIPES["AVRSP"].policy)
    assert cost.pretraining_h == pytest.approx(2 * clips * RECIPES["AVRSP"].pretraining_epochs / 3600)


def test_impossible_speeds_are_refused() -> None:
    with pytest.raises(InputError, match="above 0"):
        card_hours(TABLES[0], 0.0, 1.0)


def test_costs_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--paper", "DiffSal", "--samples-per-s", "2", "--clips-per-s", "10", "--cards", "4"])
    text = capsys.readouterr().out
    assert "given, not measured by this command" in text
    assert text.count("\n") > len([table for table in TABLES if table.paper == "DiffSal"])


@pytest.mark.shared
def test_tables_are_those_of_the_papers(shared: Path) -> None:
    import yaml

    papers = yaml.safe_load((shared / "reference" / "paper_tables.yaml").read_text())
    published = {}
    for entry in papers:
        own = [row for row in entry["rows"] if row.get("overrides") != "external"]
        published[entry["paper"], entry["table"]] = len(own), len(entry["datasets"])
    for table in TABLES:
        rows, corpora = published[table.paper, table.table]
        assert (table.rows, len(table.corpora)) == (rows, corpora), table
