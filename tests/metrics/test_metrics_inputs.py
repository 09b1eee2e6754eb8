"""The functions refuse; the torchmetrics classes: means, counts, merging; doctests of the whole package."""

from __future__ import annotations

import doctest
import importlib
import pickle
import pkgutil
import runpy
import sys
from pathlib import Path

import pytest
import torch
from rounding import METRIC

from lightning_avsp import metrics
from lightning_avsp.errors import InputError
from lightning_avsp.metrics import functional as F

MAPS = torch.rand(2, 4, 6)
POINTS = [torch.tensor([[0, 1]]), torch.tensor([[3, 5]])]


OUTSIDE = (
    [POINTS[0], torch.tensor([[5, 3]])],
    [torch.tensor([[-1, 3]]), POINTS[0]],
    [POINTS[0], torch.tensor([[0, 6]])],
)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.cc(MAPS[0], MAPS[0]), r"prediction has shape \(4, 6\).*\(B, H, W\); add a batch"),
        (lambda: F.sim(MAPS[None], MAPS[None]), r"prediction has shape \(1, 2, 4, 6\)"),
        (lambda: F.kld(MAPS, MAPS[:, :3]), r"target has shape \(2, 3, 6\) but the prediction \(2, 4, 6\)"),
        (lambda: F.cc(MAPS.to(torch.complex64), MAPS), "complex64, but maps must be real"),
        (lambda: F.cc(MAPS[:, :0], MAPS[:, :0]), "a map without pixels"),
        (lambda: F.nss(MAPS, MAPS[:1]), r"fixations has shape \(1, 4, 6\)"),
        (lambda: F.nss(MAPS, POINTS[:1]), "1 point lists for 2 maps"),
        (lambda: F.nss(MAPS, [POINTS[0], torch.zeros(3).long()]), r"fixations\[1\] has shape \(3,\)"),
        (lambda: F.auc_judd(MAPS, [POINTS[0], torch.rand(1, 2)]), r"fixations\[1\] is torch.float32, but"),
        (lambda: F.auc_judd(MAPS, OUTSIDE[0]), r"\[1\] has a point at \(5, 3\), outside"),
        (lambda: F.auc_judd(MAPS, OUTSIDE[1]), r"fixations\[0\] has a point at \(-1, 3\)"),
        (lambda: F.auc_shuffled(MAPS, POINTS, OUTSIDE[2]), r"other\[1\] .* \(0, 6\)"),
        (lambda: F.information_gain(MAPS, POINTS, MAPS[:1]), r"baseline has shape \(1, 4, 6\)"),
        (lambda: F.nss(MAPS, MAPS, repeats=True), "counts fixations in fractions; with repeats=True"),
        (lambda: F.saliency_scores(MAPS, names=("cc",)), "cc reads target, which is missing"),
        (lambda: F.saliency_scores(MAPS, names=("cc", "auc")), r"\['cc', 'auc'\]; choose one or more of cc"),
        (lambda: F.saliency_scores(MAPS, names=("cc", "cc"), target=MAPS), "each once"),
        (lambda: F.saliency_scores(MAPS, names=()), "choose one or more"),
        (lambda: F.resize_bicubic(MAPS[0], (3, 3)), r"maps has shape \(4, 6\)"),
        (lambda: F.resize_bicubic(MAPS, (0, 3)), r"size is \(0, 3\)"),
    ],
)
def test_refusals(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_points_and_maps_are_the_same_fixations() -> None:
    maps = torch.zeros(2, 4, 6, dtype=torch.bool)
    maps[0, 0, 1] = maps[1, 3, 5] = True
    for score in (F.nss, F.auc_judd):
        expected = score(MAPS, POINTS)
        for given in (maps, maps.float() * 0.1, maps.to(torch.int16) * 7, [p.int() for p in POINTS]):
            assert torch.equal(score(MAPS, given), expected)


PREDICTION = torch.rand(4, 9, 11)
TARGET = (torch.rand(4, 9, 11) * 255).to(torch.uint8)
TARGET[2] = 0
FIXATIONS = (torch.rand(4, 9, 11) < 0.1).to(torch.uint8)
FIXATIONS[1] = 0
OTHER = (torch.rand(4, 9, 11) < 0.2).to(torch.uint8)

CASES = {
    "CC": (F.cc, (TARGET,)),
    "SIM": (F.sim, (TARGET,)),
    "KLD": (F.kld, (TARGET,)),
    "NSS": (F.nss, (FIXATIONS,)),
    "AUCJudd": (F.auc_judd, (FIXATIONS,)),
    "AUCShuffled": (F.auc_shuffled, (FIXATIONS, OTHER)),
    "AUCShuffledExact": (F.auc_shuffled_exact, (FIXATIONS, OTHER)),
    "InformationGain": (F.information_gain, (FIXATIONS, PREDICTION.flip(0))),
}


@pytest.mark.parametrize("name", CASES)
def test_mean_over_updates_is_the_mean_over_frames(name: str) -> None:
    function, inputs = CASES[name]
    metric = getattr(metrics, name)()
    for part in (slice(0, 3), slice(3, 4)):
        metric.update(PREDICTION[part], *(one[part] for one in inputs))
    values = function(PREDICTION, *inputs)
    assert metric.compute().item() == pytest.approx(values.nanmean().item(), abs=METRIC)
    assert metric.skipped == values.isnan().sum()
    assert metric.count == (~values.isnan()).sum()
    assert metric.higher_is_better is (name != "KLD")
    copy = pickle.loads(pickle.dumps(metric))
    assert copy.compute() == metric.compute()
    metric.reset()
    assert metric.count == 0


def test_two_processes_merge_exactly() -> None:
    """The other process is played by its states, handed over in the order in which they are gathered."""
    other = metrics.NSS()
    other.update(PREDICTION[3:], FIXATIONS[3:])
    states = iter([other.total, other.count, other.skipped])
    metric = metrics.NSS(
        distributed_available_fn=lambda: True, dist_sync_fn=lambda state, group=None: [state, next(states)]
    )
    metric.update(PREDICTION[:3], FIXATIONS[:3])
    assert metric.compute().item() == pytest.approx(F.nss(PREDICTION, FIXATIONS).nanmean().item(), abs=METRIC)


def test_options_reach_the_functions() -> None:
    counts = FIXATIONS * 1 + 2 * FIXATIONS * (PREDICTION > 0.5)
    metric = metrics.NSS(repeats=True)
    metric.update(PREDICTION, counts)
    assert metric.compute() == pytest.approx(F.nss(PREDICTION, counts, repeats=True).nanmean().item())
    coarse = PREDICTION.round()
    metric = metrics.AUCJudd(ties="mit_nojitter")
    metric.update(coarse, FIXATIONS)
    assert metric.compute() == pytest.approx(
        F.auc_judd(coarse, FIXATIONS, ties="mit_nojitter").nanmean().item()
    )


def modules() -> list[str]:
    return [info.name for info in pkgutil.walk_packages(metrics.__path__, f"{metrics.__name__}.")]


@pytest.mark.parametrize("name", modules())
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_benchmark_prints_a_row_for_each_metric(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["metrics.py", "--frames=1", "--rounds=1"])
    # the tests behind this one keep their threads
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "metrics.py"
    runpy.run_path(str(path), run_name="__main__")
    rows = [line.split()[:-3] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [["cc"], ["sim"], ["nss"], ["auc_judd"], ["cc", "sim", "nss", "auc_judd"]]
