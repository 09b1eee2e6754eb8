"""What the metrics refuse, and what they say."""

from __future__ import annotations

import pytest
import torch

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
