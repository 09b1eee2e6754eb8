"""Nothing visible tells which object sounds, and the checks would notice if it did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.synthetic import SyntheticSpec, VideoRecord
from lightning_avsp.synthetic.leaks import FEATURES, check_leaks, probe_auc, visible_features
from lightning_avsp.synthetic.record import draw_video, make_record

SPEC = SyntheticSpec(size=(64, 112))
VIDEOS = 240


@pytest.fixture(scope="module")
def records() -> list[VideoRecord]:
    drawn = (draw_video(SPEC, "sound", 0, "AVAD", index) for index in range(VIDEOS))
    return [make_record(SPEC, scene, gaze) for scene, gaze, _ in drawn]


def test_geometry_motion_and_colour_tell_nothing_about_sound(records: list[VideoRecord]) -> None:
    report = check_leaks(SPEC, records[:120], records[120:])
    assert report.videos == 120
    # About 4 turns per video: the standard error of the share is .022, that of a difference of AUCs below .02
    assert report.sounding_is_fastest == pytest.approx(report.sounding_is_fastest_chance, abs=0.07)
    assert report.sounding_is_fastest_chance == pytest.approx(0.4, abs=0.02)
    assert report.probe_auc < report.chance_auc + 0.03
    assert report.chance_auc == pytest.approx(0.57, abs=0.03)


def test_a_leak_through_speed_is_noticed(records: list[VideoRecord]) -> None:
    leaky = [
        replace(r, attended=np.full_like(r.attended, r.fastest), sounding=np.full_like(r.sounding, r.fastest))
        for r in records
    ]
    report = check_leaks(SPEC, leaky[:120], leaky[120:])
    assert report.sounding_is_fastest == 1.0
    assert report.probe_auc > 0.99


def test_a_weak_leak_through_place_is_noticed(records: list[VideoRecord]) -> None:
    """If every fourth video let the object nearest to the middle sound, the probe would stand out."""
    column = FEATURES.index("centre_distance")
    leaky = [
        replace(r, attended=visible_features(SPEC, r)[..., column].argmin(axis=1)) if k % 4 == 0 else r
        for k, r in enumerate(records)
    ]
    clean, leaking = (probe_auc(SPEC, group[:120], group[120:]) for group in (records, leaky))
    assert leaking > clean + 0.03


def test_features_are_measured_from_the_tracks(records: list[VideoRecord]) -> None:
    record = records[0]
    features = visible_features(SPEC, record)
    n = len(record.radii)
    assert features.shape == (SPEC.frames, n, len(FEATURES))
    assert np.median(features[..., FEATURES.index("speed")], axis=0) == pytest.approx(record.speeds, rel=0.1)
    assert (features[..., FEATURES.index("is_fastest")].argmax(axis=1) == record.fastest).all()
    assert (features[..., -1] == 1 / n).all()


def test_silent_videos_cannot_be_checked() -> None:
    scene, gaze, _ = draw_video(SPEC, "silent", 0, "AVAD", 0)
    with pytest.raises(InputError, match="sound decides in none of the 1 videos"):
        check_leaks(SPEC, [make_record(SPEC, scene, gaze)], [make_record(SPEC, scene, gaze)])
