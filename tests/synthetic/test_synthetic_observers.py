"""Simulated observers: latency, lapses, and the maps that their fixations give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lightning_avsp.synthetic import SyntheticSpec, VideoRecord
from lightning_avsp.synthetic.observers import (
    ANYWHERE,
    ON_CENTRE,
    ON_OTHER,
    ON_TARGET,
    gaze_pixels,
    saliency_maps,
)
from lightning_avsp.synthetic.record import draw_video

SPEC = SyntheticSpec()


def draw(spec: SyntheticSpec, index: int) -> VideoRecord:
    return draw_video(spec, "sound", 0, "AVAD", index)[1]


def test_observers_follow_the_sound_after_their_latency() -> None:
    for index in range(10):
        record = draw(SPEC, index)
        times = np.arange(SPEC.frames) / SPEC.fps
        for time, old, new in zip(
            record.switch_times[1:], record.switch_objects, record.switch_objects[1:], strict=False
        ):
            early = (times >= time) & (times < time + 0.08)
            late = (times > time + 0.4) & (times < time + 1.2)
            assert (record.gaze_target[early] == old).all()
            assert (record.gaze_target[late] == new).all()


def test_observers_without_noise_or_lapses_look_where_the_object_was_a_frame_ago() -> None:
    spec = replace(SPEC, gaze_noise=0.0, lapse=0.0, centre_lapse=0.0)
    record = draw(spec, 0)
    before = record.positions[:-1][np.arange(99)[:, None], record.gaze_target[1:]]
    centre = np.array([127 / 2, 63 / 2])
    assert record.gaze[1:] == pytest.approx(centre + 0.96 * (before - centre))


def test_lapses_have_their_shares_and_last() -> None:
    records = [draw(SPEC, index) for index in range(60)]
    modes = np.concatenate([record.gaze_mode.ravel() for record in records])
    shares = [float((modes == mode).mean()) for mode in (ON_TARGET, ON_OTHER, ANYWHERE, ON_CENTRE)]
    # of 24,000 lapses that may begin: a standard error of .0024
    assert shares == pytest.approx([0.84, 0.05, 0.05, 0.06], abs=0.01)
    for record in records[:3]:  # a lapse may begin only every 4 frames
        assert (record.gaze_mode.reshape(25, 4, 16) == record.gaze_mode.reshape(25, 4, 16)[:, :1]).all()


def test_gaze_stays_in_the_frame_and_pixels_are_its_pixels() -> None:
    gaze = draw(SPEC, 0).gaze
    assert (gaze >= 0).all()
    assert (gaze <= [127, 63]).all()
    assert np.array_equal(gaze_pixels(SPEC, gaze)[..., ::-1], np.floor(gaze + 0.5))


@pytest.mark.parametrize("annotation_size", [None, (96, 128)])
def test_maps_are_blurred_fixation_counts_with_peak_255(annotation_size: tuple[int, int] | None) -> None:
    spec = replace(SPEC, annotation_size=annotation_size)
    record = draw(spec, 1)
    rows, columns = spec.map_size
    maps = saliency_maps(spec, record.fixations[:5])
    for frame in range(5):
        counts = np.zeros((rows, columns))
        np.add.at(counts, tuple(record.fixations[frame].T), 1)
        sigma = (4.0 * rows / 64, 4.0 * columns / 128)
        blurred = gaussian_filter(counts, sigma, mode="constant", truncate=8)
        assert maps[frame] == pytest.approx(255 * blurred / blurred.max(), abs=0.51)  # in whole levels
        assert maps[frame].max() == 255
