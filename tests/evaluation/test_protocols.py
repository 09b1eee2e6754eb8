"""Protocols against the benchmark's own values and against independent implementations of each step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rounding import METRIC
from scipy.ndimage import correlate, gaussian_filter
from torch import Tensor

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.sources import MatFixations, PictureFrames, PictureMaps
from lightning_avsp.evaluation.protocols import PROTOCOLS, find_protocol, resize_as_opencv
from lightning_avsp.evaluation.scoring import ScoringJob, score_video
from lightning_avsp.evaluation.truth import video_negatives, without
from lightning_avsp.metrics.functional import resize_bicubic


class ArrayVideo:
    """Predictions and ground truth of one video, both from arrays; frames count from ``first``."""

    def __init__(self, maps: np.ndarray, truth: np.ndarray, fixations: np.ndarray, first: int = 1) -> None:
        self.maps, self.truth, self.fixations, self.first = maps, truth, fixations, first

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + len(self.maps))

    def frames(self, wanted):
        for number in wanted:
            yield number, torch.from_numpy(self.maps[number - self.first])

    def map(self, number: int, deep: bool = False) -> Tensor:
        return torch.from_numpy(self.truth[number - self.first])

    def size(self, number: int) -> tuple[int, int]:
        return self.truth.shape[1:]

    def points(self, number: int) -> Tensor:
        if number < self.first:
            return torch.zeros(0, 2, dtype=torch.int64)
        return torch.from_numpy(np.argwhere(self.fixations[number - self.first] > 0))


def entry(frames: int, size: tuple[int, int]) -> VideoEntry:
    here = (Path("nowhere"), "{}")
    return VideoEntry(
        "AVAD", "v0", frames, 25.0, PictureFrames(*here), PictureMaps(*here), MatFixations(*here), None, size
    )


@pytest.fixture(scope="module")
def golden(shared: Path) -> tuple[ArrayVideo, dict, np.ndarray]:
    arrays = np.load(shared / "golden" / "metrics.npz")
    video = json.loads((shared / "golden" / "metrics.json").read_text())["video"]["v0"]
    # the field's frame numbers: the first that STAViS predicts is the ninth
    source = ArrayVideo(*(arrays[f"video/v0/{key}"] for key in ("pred_u8", "gt_u8", "fix")), first=9)
    return source, video, arrays["video/v0/salmap"]


@pytest.mark.shared
def test_stavis_prepares_a_map_as_the_original_does(golden) -> None:
    source, _, prepared = golden
    size = prepared.shape[1:]
    ours = find_protocol("stavis").prepare(torch.from_numpy(source.maps), size)
    assert torch.allclose(ours, torch.from_numpy(prepared), rtol=0, atol=METRIC)


@pytest.mark.shared
def test_stavis_scores_a_video_as_the_original_does(golden) -> None:
    source, reference, _ = golden
    protocol = find_protocol("stavis")
    job = ScoringJob(entry(13, (72, 128)), protocol, source, source, tuple(source.numbers))
    rows = score_video(job)
    columns = {"cc": 0, "sim": 1, "nss": 2, "auc_judd": 3}
    for row, expected in zip(rows, reference["per_frame"], strict=True):
        for name, column in columns.items():
            value = np.nan if expected[column] is None else expected[column]
            assert row.values[name] == pytest.approx(value, abs=METRIC, nan_ok=True)
        # the original averages 1000 random splits, whose mean has a standard error of .0016; ours is exact
        shuffled = np.nan if expected[4] is None else expected[4]
        assert row.values["auc_shuffled"] == pytest.approx(shuffled, abs=4e-3, nan_ok=True)
    for name, column in [*columns.items(), ("auc_shuffled", 4)]:
        mean = np.nanmean([row.values[name] for row in rows])
        assert mean == pytest.approx(reference["per_video"][column], abs=METRIC if column < 4 else 2e-3)
    assert rows[2].reasons == {
        "cc": "zero_target",
        "sim": "zero_target",
        "nss": "no_fixations",
        "auc_judd": "no_fixations",
        "auc_shuffled": "no_fixations",
    }


def maps(frames: int = 3, size: tuple[int, int] = (21, 34), seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return resize_bicubic(torch.rand(frames, 5, 7, generator=generator), size)


def test_stavis_on_floats_goes_through_8_bit_levels() -> None:
    given = maps()
    low, high = given.amin((1, 2), keepdim=True), given.amax((1, 2), keepdim=True)
    levels = ((given - low) / (high - low) * 255).round().numpy()
    scaled = levels / levels.max((1, 2), keepdims=True)
    offsets = np.arange(-6, 7) ** 2
    kernel = np.exp(-np.add.outer(offsets, offsets) / 8)
    blurred = np.stack([correlate(one, kernel / kernel.sum(), mode="reflect") for one in scaled])
    expected = resize_bicubic(torch.from_numpy(blurred), (48, 64))
    assert torch.allclose(
        find_protocol("stavis").prepare(given.float(), (48, 64)), expected, rtol=0, atol=METRIC
    )


def test_8_bit_predictions_are_taken_as_they_are() -> None:
    given = (maps() * 100 + 40).round().to(torch.uint8)
    stretched = ((given - given.amin((1, 2), keepdim=True)).double() / 3).round()  # other levels, same range
    protocol = find_protocol("stavis")
    assert not torch.allclose(
        protocol.prepare(given, (21, 34)), protocol.prepare(stretched, (21, 34)), atol=1e-3
    )
    plain = find_protocol("plain").prepare(given, (21, 34))
    assert torch.equal(plain, given.double())


def opencv_bilinear(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Two nearest pixels per axis around the half-pixel centre, edges repeated."""
    for axis, wanted in enumerate(size):
        length = values.shape[axis]
        place = np.clip((np.arange(wanted) + 0.5) * length / wanted - 0.5, 0, length - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = np.expand_dims(place - low, 1 - axis)
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


@pytest.mark.parametrize("size", [(48, 64), (10, 13), (21, 34)])
def test_bilinear_is_opencvs(size: tuple[int, int]) -> None:
    given = maps()
    expected = np.stack([opencv_bilinear(one, size) for one in given.numpy()])
    assert np.allclose(resize_as_opencv(given, size).numpy(), expected, rtol=0, atol=METRIC)


def test_vinet_resizes_first_and_blurs_there() -> None:
    given = maps()
    resized = resize_as_opencv(given, (48, 64)).numpy()
    # an 11-pixel window of sigma 2 ends at 2.5 sigma
    blurred = np.stack([gaussian_filter(one, 2, mode="mirror", truncate=2.5) for one in resized])
    low, high = blurred.min((1, 2), keepdims=True), blurred.max((1, 2), keepdims=True)
    expected = (blurred - low) / (high - low) * 255
    ours = find_protocol("vinet").prepare(given, (48, 64)).numpy()
    assert np.array_equal(ours, ours.round())
    assert np.abs(ours - expected).max() <= 0.5 + 255 * METRIC  # rounded to levels


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_says_nothing_is_not_turned_into_noise(name: str) -> None:
    given = maps(3).float()
    given[0] = 0.3
    given[1, 0, 0] = torch.nan
    prepared = find_protocol(name).prepare(given, (48, 64))
    assert prepared.shape == (3, 48, 64)
    assert prepared[0].unique().tolist() == pytest.approx([0.0 if name == "ntire26" else 0.3])
    assert prepared[1].isnan().all()
    assert prepared[2].isfinite().all()
    assert prepared[2].std() > 0


def test_negatives_are_the_rest_of_the_video() -> None:
    points = [
        torch.tensor([[0, 1], [2, 3]]),
        torch.tensor([[2, 3], [5, 0]]),
        torch.zeros(0, 2, dtype=torch.int64),
    ]
    negatives = video_negatives(points)
    assert without(negatives, points[0]).tolist() == [[5, 0]]
    assert without(negatives, points[2]).tolist() == [[0, 1], [2, 3], [5, 0]]
