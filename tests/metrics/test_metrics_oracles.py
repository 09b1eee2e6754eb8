"""Every metric against an independent derivation, in numpy or scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rounding import METRIC
from scipy import stats
from torch import Tensor

from lightning_avsp.metrics import functional as F

B, H, W = 5, 14, 23


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    prediction = torch.rand(B, H, W, generator=generator, dtype=torch.float64)
    target = (torch.rand(B, H, W, generator=generator) * 255).to(torch.uint8)
    fixations = (torch.rand(B, H, W, generator=generator) < 0.05).to(torch.uint8)
    other = (torch.rand(B, H, W, generator=generator) < 0.1).to(torch.uint8)
    assert fixations.flatten(1).sum(1).min() > 0
    return prediction, target, fixations, other


def mann_whitney(positive: np.ndarray, negative: np.ndarray) -> float:
    return stats.mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))


def judd_curve(values: np.ndarray, fixated: np.ndarray, order: np.ndarray) -> float:
    """The ROC curve's trapezoids with ties broken by ``order``, one threshold per fixated pixel."""
    rank = np.empty(len(values), int)
    rank[np.lexsort((order, values))] = np.arange(len(values))  # distinct: ties broken
    thresholds = np.sort(rank[fixated])[::-1]
    n, m = len(thresholds), (~fixated).sum()
    tp = np.r_[0, np.arange(1, n + 1) / n, 1]
    fp = np.r_[0, [((rank >= t) & ~fixated).sum() / m for t in thresholds], 1]
    return float((np.diff(fp) * (tp[1:] + tp[:-1]) / 2).sum())


def test_cc_is_pearsons_r_and_keeps_its_digits_on_a_tiny_range(maps) -> None:
    prediction, target, _, _ = maps
    expected = [
        stats.pearsonr(p.ravel(), g.ravel()).statistic
        for p, g in zip(prediction.numpy(), target.double().numpy(), strict=True)
    ]
    assert F.cc(prediction, target).tolist() == pytest.approx(expected, abs=METRIC)
    shifted = 1000 + 1e-6 * prediction
    # values of 1000 keep 1e-13: 1e-7 of their range, which 322 pixels' means do not add to a result of size 1
    assert torch.allclose(F.cc(shifted, target), F.cc(shifted - 1000, target), rtol=0, atol=1e-9)


def test_sim_is_the_histogram_intersection(maps) -> None:
    prediction, target, _, _ = maps
    expected = []
    for p, g in zip(prediction.numpy() - 3, target.double().numpy(), strict=True):
        p, g = (p - p.min()) / (p.max() - p.min()), (g - g.min()) / (g.max() - g.min())
        expected.append(np.minimum(p / p.sum(), g / g.sum()).sum())
    assert F.sim(prediction - 3, target).tolist() == pytest.approx(expected, abs=METRIC)


def test_nss_is_the_mean_z_score(maps) -> None:
    prediction, _, fixations, _ = maps
    expected = [
        stats.zscore(p, axis=None, ddof=1)[f > 0].mean()
        for p, f in zip(prediction.numpy(), fixations.numpy(), strict=True)
    ]
    assert F.nss(prediction, fixations).tolist() == pytest.approx(expected, abs=METRIC)


def test_kld_is_the_relative_entropy_and_negative_pixels_count_as_zero(maps) -> None:
    prediction, target, _, _ = maps
    expected = [
        stats.entropy(g.ravel(), p.ravel())  # both normalised inside
        for p, g in zip(prediction.numpy(), target.double().numpy(), strict=True)
    ]
    assert F.kld(prediction, target).tolist() == pytest.approx(expected, abs=METRIC)
    logits = prediction - 0.3
    assert torch.equal(F.kld(logits, target), F.kld(logits.clamp(min=0), target))


def test_kld_mit_real_is_the_real_part_of_the_complex_logarithm(maps) -> None:
    prediction, target, _, _ = maps
    eps = np.finfo(float).eps
    expected = []
    for p, g in zip(prediction.numpy() - 0.3, target.double().numpy(), strict=True):
        p, g = p / p.sum(), g / g.sum()
        expected.append((g * np.log((eps + g / (p + eps)).astype(complex))).sum().real)
    assert F.kld(prediction - 0.3, target, negatives="mit_real").tolist() == pytest.approx(
        expected, abs=METRIC
    )


def test_information_gain_in_bits(maps) -> None:
    prediction, baseline, fixations, _ = maps
    expected = []
    for p, b, f in zip(prediction.numpy(), baseline.double().numpy(), fixations.numpy(), strict=True):
        p, b = (p - p.min()) / (p - p.min()).sum(), (b - b.min()) / (b - b.min()).sum()
        eps = np.finfo(float).eps
        expected.append((np.log2(eps + p) - np.log2(eps + b))[f > 0].mean())
    assert F.information_gain(prediction, fixations, baseline).tolist() == pytest.approx(expected, abs=METRIC)


def test_exact_shuffled_auc_is_mann_whitney(maps) -> None:
    prediction, _, fixations, other = maps
    coarse = (prediction * 9).round()  # ties
    expected = [
        mann_whitney(p[f > 0], p[o > 0])
        for p, f, o in zip(coarse.numpy(), fixations.numpy(), other.numpy(), strict=True)
    ]
    assert F.auc_shuffled_exact(coarse, fixations, other).tolist() == pytest.approx(expected, abs=METRIC)


def test_shuffled_auc_is_the_mean_over_random_splits(maps) -> None:
    prediction, _, fixations, other = maps
    generator = np.random.default_rng(0)
    for index, value in enumerate(F.auc_shuffled(prediction, fixations, other).tolist()):
        p = prediction[index].numpy()
        p = (p - p.min()) / (p.max() - p.min())
        hits, pool = p[fixations[index].numpy() > 0], p[other[index].numpy() > 0]
        k = min(len(hits), len(pool))
        areas = []
        for _ in range(600):
            drawn = generator.choice(pool, k, replace=False)
            grid = np.arange(10, -1, -1) * 0.1
            tp = np.r_[0, [(hits >= t).mean() for t in grid], 1]
            fp = np.r_[0, [(drawn >= t).mean() for t in grid], 1]
            areas.append((np.diff(fp) * (tp[1:] + tp[:-1]) / 2).sum())
        assert value == pytest.approx(np.mean(areas), abs=5 * np.std(areas) / np.sqrt(len(areas)))


@pytest.mark.parametrize("levels", [2, 5, None])
def test_judd_is_the_mean_over_random_tie_breaking(maps, levels: int | None) -> None:
    prediction, _, fixations, _ = maps
    if levels is not None:
        prediction = (prediction * (levels - 1)).round()
    generator = np.random.default_rng(1)
    for index, value in enumerate(F.auc_judd(prediction, fixations).tolist()):
        values, fixated = prediction[index].numpy().ravel(), fixations[index].numpy().ravel() > 0
        areas = [judd_curve(values, fixated, generator.random(values.size)) for _ in range(300)]
        error = 5 * np.std(areas) / np.sqrt(len(areas)) + 1e-12
        assert value == pytest.approx(np.mean(areas), abs=error)


def test_judd_without_jitter_counts_equal_thresholds_in_turn(maps) -> None:
    prediction, _, fixations, _ = maps
    for levels in (3, 400):
        coarse = (prediction * levels).round()
        values = F.auc_judd(coarse, fixations, ties="mit_nojitter").tolist()
        for p, f, value in zip(coarse.numpy(), fixations.numpy() > 0, values, strict=True):
            n, pixels = f.sum(), p.size
            thresholds = np.sort(p[f])[::-1]
            tp = np.r_[0, np.arange(1, n + 1) / n, 1]
            above = [((p >= t).sum() - i) / (pixels - n) for i, t in enumerate(thresholds, start=1)]
            fp = np.r_[0, above, 1]
            assert value == pytest.approx((np.diff(fp) * (tp[1:] + tp[:-1]) / 2).sum(), abs=METRIC)


def test_repeats_count_each_fixation(maps) -> None:
    prediction, baseline, fixations, other = maps
    counts = fixations * torch.randint(1, 4, fixations.shape).to(torch.uint8)
    lists = [one.nonzero().repeat_interleave(one[one > 0].long(), dim=0) for one in counts]
    assert [len(one) for one in lists] == counts.flatten(1).sum(1).tolist()
    for score in (
        F.nss,
        F.auc_judd,
        lambda p, f, repeats: F.auc_shuffled(p, f, other, repeats=repeats),
        lambda p, f, repeats: F.auc_shuffled_exact(p, f, other, repeats=repeats),
        lambda p, f, repeats: F.information_gain(p, f, baseline, repeats=repeats),
    ):
        weighted = score(prediction, counts, repeats=True)
        assert torch.equal(weighted, score(prediction, lists, repeats=True))
        assert not torch.allclose(weighted, score(prediction, counts, repeats=False))
        assert torch.equal(
            score(prediction, lists, repeats=False), score(prediction, fixations, repeats=False)
        )
    p, c = prediction[0].numpy(), counts[0].numpy()
    expected = np.repeat(stats.zscore(p, axis=None, ddof=1).ravel(), c.ravel()).mean()
    assert F.nss(prediction, counts, repeats=True)[0].item() == pytest.approx(expected, abs=METRIC)
    hits = np.repeat(p.ravel(), c.ravel())
    last = (p[c == 0] > hits.min()).mean()
    judd = mann_whitney(hits, p[c == 0]) + last / (2 * len(hits))
    assert F.auc_judd(prediction, counts, repeats=True)[0].item() == pytest.approx(judd, abs=METRIC)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.uint8])
def test_any_type_equals_its_float64_copy(maps, dtype: torch.dtype) -> None:
    prediction, target, fixations, other = maps
    given = (prediction * (255 if dtype == torch.uint8 else 1)).to(dtype)
    names = ("cc", "sim", "nss", "auc_judd", "kld", "auc_shuffled", "auc_shuffled_exact", "information_gain")
    inputs = {"target": target, "fixations": fixations, "other": other, "baseline": target}
    ours = F.saliency_scores(given, names=names, **inputs)
    copy = F.saliency_scores(given.double(), names=names, **inputs)
    for name in names:
        assert ours[name].dtype == torch.float64
        assert torch.allclose(ours[name], copy[name], rtol=0, atol=METRIC), name
        assert not ours[name].isnan().any()


def test_all_at_once_equals_one_by_one_and_leaves_inputs_alone(maps) -> None:
    prediction, target, fixations, other = maps
    before = [one.clone() for one in maps]
    together = F.saliency_scores(
        prediction.requires_grad_(),
        names=("auc_shuffled", "kld", "auc_judd", "nss", "sim", "cc"),
        target=target,
        fixations=fixations,
        other=other,
    )
    alone = {
        "cc": F.cc(prediction, target),
        "sim": F.sim(prediction, target),
        "kld": F.kld(prediction, target),
        "nss": F.nss(prediction, fixations),
        "auc_judd": F.auc_judd(prediction, fixations),
        "auc_shuffled": F.auc_shuffled(prediction, fixations, other),
    }
    assert set(together) == set(alone)
    for name, values in alone.items():
        assert torch.allclose(together[name], values, rtol=0, atol=METRIC)
        assert not values.requires_grad
    for given, kept in zip(maps, before, strict=True):
        assert torch.equal(given.detach(), kept)


@pytest.mark.parametrize("contiguous", [True, False])
def test_views_and_chunks_are_read_right(maps, contiguous: bool) -> None:
    prediction, target, fixations, _ = maps
    flipped = [one.transpose(1, 2) for one in (prediction, target, fixations)]
    if contiguous:
        flipped = [one.contiguous() for one in flipped]
    ours = F.saliency_scores(flipped[0], target=flipped[1], fixations=flipped[2])
    for name, values in F.saliency_scores(prediction, target=target, fixations=fixations).items():
        assert torch.allclose(ours[name], values, rtol=0, atol=METRIC)
    large, truth = torch.rand(2, 3, 300, 600)  # more pixels than one chunk holds
    points = (torch.rand(3, 300, 600) < 1e-4).to(torch.uint8)
    names = ("cc", "sim", "nss", "auc_judd", "kld")
    whole = F.saliency_scores(large, names=names, target=truth, fixations=points)
    last = F.saliency_scores(large[2:], names=names, target=truth[2:], fixations=points[2:])
    for name in names:
        assert whole[name].shape == (3,)
        assert whole[name][2].item() == pytest.approx(last[name].item(), abs=METRIC)
