"""Against values of the MIT saliency benchmark's own files, run in double precision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from rounding import METRIC
from scipy.ndimage import correlate
from torch import Tensor

from lightning_avsp.metrics import SaliencyMetrics
from lightning_avsp.metrics import functional as F

pytestmark = pytest.mark.shared


@dataclass
class Case:
    name: str
    prediction: Tensor
    target: Tensor
    fixations: Tensor
    other: Tensor
    reference: dict[str, float | None]
    resized: Tensor | None


@pytest.fixture(scope="module")
def cases(shared: Path) -> list[Case]:
    arrays = np.load(shared / "golden" / "metrics.npz")
    described = json.loads((shared / "golden" / "metrics.json").read_text())["cases"]

    def batch(name: str, key: str) -> Tensor:
        return torch.from_numpy(arrays[f"{name}/{key}"])[None]

    return [
        Case(
            name,
            batch(name, "pred"),
            batch(name, "gt"),
            batch(name, "fix"),
            batch(name, "other"),
            about["ref"],
            batch(name, "pred_resized") if about["resized"] else None,
        )
        for name, about in described.items()
    ]


def centre_of(other: Tensor) -> Tensor:
    """The baseline of the reference's information gain: Gaussian of sigma 4, 25x25, zero padding."""
    offsets = np.arange(-12, 13) ** 2
    kernel = np.exp(-np.add.outer(offsets, offsets) / (2 * 4**2))
    return torch.from_numpy(correlate(other[0].double().numpy(), kernel / kernel.sum(), mode="constant"))[
        None
    ]


def at_target_size(case: Case) -> Tensor:
    prediction = case.prediction.double()
    return prediction if case.resized is None else F.resize_bicubic(prediction, case.target.shape[1:])


SCORES = {
    "CC": lambda p, c: F.cc(p, c.target),
    "SIM": lambda p, c: F.sim(p, c.target),
    "NSS": lambda p, c: F.nss(p, c.fixations),
    "KLD": lambda p, c: F.kld(p, c.target, negatives="mit_real"),
    "IG": lambda p, c: F.information_gain(p, c.fixations, centre_of(c.other)),
    "AUCJ_expected": lambda p, c: F.auc_judd(p, c.fixations),
    "AUCJ_nojitter": lambda p, c: F.auc_judd(p, c.fixations, ties="mit_nojitter"),
    "sAUC_expected": lambda p, c: F.auc_shuffled(p, c.fixations, c.other),
    "sAUC_exact": lambda p, c: F.auc_shuffled_exact(p, c.fixations, c.other),
}


@pytest.mark.parametrize("name", SCORES)
def test_every_case_in_float64(cases: list[Case], name: str) -> None:
    assert len(cases) == 18
    for case in cases:
        value, reference = SCORES[name](at_target_size(case), case), case.reference[name]
        assert value.shape == (1,)
        assert value.dtype == torch.float64
        # null is NaN; a text is the reference's own error
        if reference is None or isinstance(reference, str):
            assert value.isnan(), f"{case.name}: {name} is {value.item()}, undefined in the reference"
        else:
            assert value.item() == pytest.approx(reference, rel=METRIC, abs=METRIC), case.name


def test_clamped_divergence_differs_only_where_pixels_are_negative(cases: list[Case]) -> None:
    for case in cases:
        prediction, reference = at_target_size(case), case.reference["KLD"]
        ours = F.kld(prediction, case.target).item()
        if bool((prediction < 0).any()):
            assert abs(ours - reference) > 1e-3, case.name
        else:
            assert ours == pytest.approx(reference, rel=METRIC, abs=METRIC), case.name


def test_resize_is_matlabs(cases: list[Case]) -> None:
    (case,) = (case for case in cases if case.resized is not None)
    resized = F.resize_bicubic(case.prediction, case.target.shape[1:])
    assert torch.allclose(resized, case.resized, rtol=0, atol=METRIC)


def matlab_postprocess(maps: Tensor) -> Tensor:
    """STAViS's smoothing: levels 0 to 255, range to [0, 1], 13x13 Gaussian of sigma 2, mirrored border."""
    offsets = np.arange(-6, 7) ** 2
    kernel = np.exp(-np.add.outer(offsets, offsets) / 8)
    blurred = []
    for one in maps.double().numpy():
        levels = one.clip(0, 255) / one.max() * 255
        scaled = (levels - levels.min()) / (levels.max() - levels.min())
        blurred.append(correlate(scaled, kernel / kernel.sum(), mode="reflect"))
    return torch.from_numpy(np.stack(blurred))


def test_a_video_from_prediction_files_to_its_mean(shared: Path) -> None:
    arrays = np.load(shared / "golden" / "metrics.npz")
    video = json.loads((shared / "golden" / "metrics.json").read_text())["video"]["v0"]
    metrics = SaliencyMetrics(names=("cc", "sim", "nss", "auc_judd"))
    truth = [torch.from_numpy(one) for one in arrays["video/v0/gt_u8"]]
    points = [torch.from_numpy(np.argwhere(one > 0)) for one in arrays["video/v0/fix"]]
    keys = [("AVAD", "v0", 9 + index) for index in range(5)]
    metrics.update(matlab_postprocess(torch.from_numpy(arrays["video/v0/pred_u8"])), truth, points, keys)
    table = metrics.table()
    columns = {"cc": 0, "sim": 1, "nss": 2, "auc_judd": 3}
    for row, reference in zip(table.frames, video["per_frame"], strict=True):
        for name, column in columns.items():
            expected = np.nan if reference[column] is None else reference[column]
            assert row.values[name] == pytest.approx(expected, rel=METRIC, abs=METRIC, nan_ok=True)
    averages = metrics.compute()
    for name, column in columns.items():
        assert averages[f"AVAD/{name}"] == pytest.approx(video["per_video"][column], rel=METRIC, abs=METRIC)
    assert averages["skipped/nss/no_fixations"] == 1
    assert averages["skipped/cc/zero_target"] == 1
    assert "skipped/sim/zero_target" not in averages


@pytest.mark.parametrize("name", ["CC", "SIM", "NSS", "KLD", "AUCJ_expected"])
def test_float32_on_ordinary_maps(cases: list[Case], name: str) -> None:
    for case in cases:
        reference = case.reference[name]
        if case.resized is None and isinstance(reference, float):
            # the same values, summed in double all the same
            found = SCORES[name](case.prediction, case).item()
            assert found == pytest.approx(reference, rel=METRIC, abs=METRIC), case.name
