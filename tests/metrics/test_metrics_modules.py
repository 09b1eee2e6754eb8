"""The torchmetrics classes: means over defined values, counts, direction, merging, doctests of the whole package."""

from __future__ import annotations

import doctest
import importlib
import pickle
import pkgutil

import pytest
import torch
from rounding import METRIC

from lightning_avsp import metrics
from lightning_avsp.metrics import functional as F

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
