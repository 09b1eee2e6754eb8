"""The metrics of a run: sizes, keys, policies, hooks, averages of videos and corpora."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from rounding import METRIC
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.metrics import SaliencyMetrics
from lightning_avsp.metrics import functional as F

SIZES = [(20, 30), (24, 30), (20, 30), (18, 33), (24, 30)]
KEYS = [("AVAD", "V1", 9), ("AVAD", "V1", 10), ("AVAD", "V2", 9), ("DIEM", "V1", 9), ("DIEM", "V1", 10)]


def frames(seed: int = 0) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.rand(len(SIZES), 12, 16, generator=generator)
    truth = [(torch.rand(size, generator=generator) * 255).to(torch.uint8) for size in SIZES]
    points = [
        torch.stack([torch.randint(0, limit, (6,), generator=generator) for limit in size], dim=1)
        for size in SIZES
    ]
    return predictions, truth, points


def values_of(metrics: SaliencyMetrics, name: str) -> dict[tuple[str, str, int], float]:
    return {(row.corpus, row.video, row.frame): row.values[name] for row in metrics.table().frames}


def test_each_frame_at_its_own_size() -> None:
    predictions, truth, points = frames()
    metrics = SaliencyMetrics(names=("cc", "sim", "nss", "auc_judd", "kld"))
    metrics.update(predictions, truth, points, KEYS)
    for index, key in enumerate(KEYS):
        resized = F.resize_bicubic(predictions[index : index + 1], SIZES[index])
        expected = {
            "cc": F.cc(resized, truth[index][None]),
            "sim": F.sim(resized, truth[index][None]),
            "kld": F.kld(resized, truth[index][None]),
            "nss": F.nss(resized, [points[index]]),
            "auc_judd": F.auc_judd(resized, [points[index]]),
        }
        for name, value in expected.items():
            assert values_of(metrics, name)[key] == pytest.approx(value.item(), abs=METRIC)


def test_frames_make_videos_make_corpora() -> None:
    predictions, truth, points = frames()
    metrics = SaliencyMetrics(names=("nss",), prefix="test/")
    metrics.update(predictions, truth, points, KEYS)
    v = values_of(metrics, "nss")
    videos = [(v[KEYS[0]] + v[KEYS[1]]) / 2, v[KEYS[2]], (v[KEYS[3]] + v[KEYS[4]]) / 2]
    results = metrics.compute()
    assert results == {
        "test/nss": pytest.approx(sum(videos) / 3, abs=METRIC),
        "test/AVAD/nss": pytest.approx(sum(videos[:2]) / 2, abs=METRIC),
        "test/DIEM/nss": pytest.approx(videos[2], abs=METRIC),
        "test/frames": 5,
        "test/videos": 3,
    }


def test_order_batching_and_repeated_frames_change_nothing() -> None:
    predictions, truth, points = frames()
    whole = SaliencyMetrics()
    whole.update(predictions, truth, points, KEYS)
    parts = SaliencyMetrics()
    for index in (4, 2, 0, 3, 1, 0, 4):  # two frames come twice
        other = [predictions[index]] if index % 2 else predictions[index : index + 1]
        parts.update(other, [truth[index]], [points[index]], [KEYS[index]])
    assert parts.compute() == pytest.approx(whole.compute(), abs=METRIC)
    assert parts.compute()["frames"] == 5
    assert pickle.loads(pickle.dumps(parts)).compute() == parts.compute()
    parts.reset()
    assert parts.compute()["frames"] == 0
    assert math.isnan(parts.compute()["cc"])


def test_predictions_of_several_sizes_and_types_or_none() -> None:
    predictions, truth, points = frames()
    listed = [predictions[0], predictions[1].half(), predictions[2].repeat(2, 1), *predictions[3:]]
    metrics = SaliencyMetrics(names=("cc",))
    metrics.update(torch.rand(0, 12, 16), [], [], [])
    assert metrics.compute()["videos"] == 0
    metrics.update(listed, truth, points, KEYS)
    expected = F.cc(F.resize_bicubic(listed[2][None], SIZES[2]), truth[2][None]).item()
    assert values_of(metrics, "cc")[KEYS[2]] == pytest.approx(expected, abs=METRIC)
    assert metrics.compute()["frames"] == 5


def degenerate() -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """V1: an ordinary frame and a blank one; V2: a constant prediction; DIEM: no fixations; not finite."""
    predictions, truth, points = frames()
    points[2] = torch.tensor([[0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [4, 4]])
    truth[1] = torch.zeros_like(truth[1])
    points[1] = points[1][:0]
    predictions[2] = 0.3
    points[3] = points[3][:0]
    predictions[4, 0, 0] = math.nan
    return predictions, truth, points


def test_field_drops_metric_by_metric_and_counts_why() -> None:
    metrics = SaliencyMetrics(policy="field")
    metrics.update(*degenerate(), KEYS)
    results = metrics.compute()
    skipped = {key: value for key, value in results.items() if key.startswith(("skipped", "zeroed"))}
    assert skipped == {
        "skipped/cc/zero_target": 1,
        "skipped/cc/constant_prediction": 1,
        "skipped/cc/non_finite_prediction": 1,
        "skipped/sim/constant_prediction": 1,
        "skipped/sim/non_finite_prediction": 1,
        "skipped/nss/no_fixations": 2,
        "skipped/nss/constant_prediction": 1,
        "skipped/nss/non_finite_prediction": 1,
        "skipped/auc_judd/no_fixations": 2,
        "skipped/auc_judd/non_finite_prediction": 1,
        "zeroed/sim/zero_target": 1,
        "skipped_videos/cc": 1,
        "skipped_videos/sim": 1,
        "skipped_videos/nss": 2,
        "skipped_videos/auc_judd": 1,
    }
    assert values_of(metrics, "sim")[KEYS[1]] == 0
    assert values_of(metrics, "auc_judd")[KEYS[2]] == pytest.approx(0.5 + 0.5 / 6)  # five pixels, all tied
    assert math.isnan(results["DIEM/nss"])
    assert results["nss"] == results["AVAD/nss"] == values_of(metrics, "nss")[KEYS[0]]
    assert results["frames"] == 5
    names = ["cc", "sim", "nss", "auc_judd"]
    blank, first = metrics.table().frame_records()[1], metrics.table().video_records()[0]
    assert list(blank) == ["corpus", "video", "frame", *names, *(f"{name}_reason" for name in names)]
    assert (blank["cc_reason"], blank["nss_reason"]) == ("zero_target", "no_fixations")
    assert (first["corpus"], first["video"], first["frames"], first["cc_frames"]) == ("AVAD", "V1", 2, 1)


def test_skip_rests_on_sound_frames_only_and_zero_counts_undefined_ones_as_nothing() -> None:
    metrics = SaliencyMetrics(policy="skip")
    metrics.update(*degenerate(), KEYS)
    results = metrics.compute()
    assert results["skipped/sim/zero_target"] == 1
    assert results["skipped/auc_judd/constant_prediction"] == 1
    assert results["AVAD/sim"] == values_of(metrics, "sim")[KEYS[0]] > 0
    counted = {row.corpus + row.video: row.counted for row in metrics.table().videos}
    assert counted["AVADV1"] == {"cc": 1, "sim": 1, "nss": 1, "auc_judd": 1}
    metrics = SaliencyMetrics(names=("cc",), policy="zero")
    metrics.update(*degenerate(), KEYS)
    results = metrics.compute()
    assert results["zeroed/cc/zero_target"] == 1
    assert results["AVAD/cc"] == pytest.approx(values_of(metrics, "cc")[KEYS[0]] / 4)
    assert not any(key.startswith("skipped") for key in results)


def test_constant_predictions_stay_constant_when_they_are_resized() -> None:
    _, truth, points = frames()
    metrics = SaliencyMetrics(names=("cc", "nss", "auc_judd"))
    metrics.update(torch.full((5, 12, 16), 0.7), truth, points, KEYS)
    results = metrics.compute()
    assert results["skipped/cc/constant_prediction"] == results["skipped/nss/constant_prediction"] == 5
    assert all(value > 0.5 for value in values_of(metrics, "auc_judd").values())


def test_shuffled_and_information_gain_read_their_inputs() -> None:
    predictions, truth, points = frames()
    metrics = SaliencyMetrics(names=("auc_shuffled", "auc_shuffled_exact", "information_gain"))
    others = [points[index - 2] % torch.tensor(SIZES[index]) for index in range(5)]
    baseline = [one.flip(0) for one in truth]
    metrics.update(predictions, truth, points, KEYS, other=others, baseline=baseline)
    resized = F.resize_bicubic(predictions[3:4], SIZES[3])
    expected = F.auc_shuffled(resized, [points[3]], [others[3]]).item()
    assert values_of(metrics, "auc_shuffled")[KEYS[3]] == pytest.approx(expected, abs=METRIC)
    with pytest.raises(InputError, match="auc_shuffled reads other, which is missing"):
        metrics.update(predictions, truth, points, KEYS, baseline=baseline)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, g, f, k: (p[:, None], g, f, k), r"predictions have shape \(5, 1, 12, 16\)"),
        (lambda p, g, f, k: ([*p[:4], p[4:]], g, f, k), r"predictions\[4\] has shape \(1, 12, 16\)"),
        (lambda p, g, f, k: (p, g[:4], f, k), "5 predictions and 4 ground_truth"),
        (lambda p, g, f, k: (p, g, f, k[:2]), "5 predictions and 2 keys"),
        (lambda p, g, f, k: (p, [*g[:4], g[4][None]], f, k), r"ground_truth\[4\] has shape \(1, 24, 30\)"),
        (
            lambda p, g, f, k: (p, g, [*f[:4], f[4] + 40], k),
            r"outside its map of 24 rows.*scoring .*DIEM/V1/10",
        ),
    ],
)
def test_refusals_name_the_frame(change, message: str) -> None:
    metrics = SaliencyMetrics()
    with pytest.raises(InputError, match=message):
        metrics.update(*change(*frames(), KEYS))
    assert metrics.compute()["frames"] == 0


@pytest.mark.parametrize(
    ("settings", "message"), [({"names": ("CC",)}, "one or more of cc"), ({"policy": "none"}, "one of field")]
)
def test_unknown_names_and_policies(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SaliencyMetrics(**settings)
