from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.data.clips import ClipPolicy, clip_at
from lightning_avsp.media.video import DecodedFrame
from lightning_avsp.predict.clips import sliding_clips


def film(frames: int, fps: float = 25.0):
    for i in range(frames):
        yield DecodedFrame(i, i, i / fps, (i + 1) / fps, np.full((1, 1, 3), i, np.uint8))


@given(
    st.integers(1, 40), st.integers(1, 17), st.integers(1, 30), st.sampled_from(["centre", "last"]), st.data()
)
def test_clips_are_those_of_the_training_data(frames, length, stride, target, data) -> None:
    policy = ClipPolicy(frames=length, target=target)
    position = policy.target_index
    clips = list(sliding_clips(film(frames), length, position, stride, 1 / 25))
    targets = [*range(0, frames, stride)]
    assert [clip.target for clip in clips] == (
        targets if targets[-1] == frames - 1 else [*targets, frames - 1]
    )
    for clip in clips:
        wanted = clip_at(clip.target + 1 - position, frames, policy)
        assert tuple(clip.frames[:, 0, 0, 0] + 1) == wanted.frames
        assert wanted.target == clip.target + 1
        assert (clip.start, clip.stop) == pytest.approx(wanted.span(25.0))
        seen = (clip.start + clip.overhang[0], clip.stop - clip.overhang[1])
        assert seen == pytest.approx(wanted.released_span(25.0))


@pytest.mark.parametrize("stride", [1, 5, 40])
def test_no_more_than_a_clip_is_held(stride) -> None:
    alive: list[weakref.ref] = []

    def watched():
        for frame in film(200):
            alive.append(weakref.ref(frame))
            yield frame

    for _ in sliding_clips(watched(), 16, 8, stride):
        assert sum(reference() is not None for reference in alive) <= 17
    assert len(alive) == 200  # each frame was asked for once


def test_true_times_count_with_variable_frame_rate() -> None:
    times = [0.0, 0.1, 0.3, 0.35, 0.6]
    frames = [DecodedFrame(i, i, t, t, np.zeros((1, 1, 3), np.uint8)) for i, t in enumerate(times)]
    middle = list(sliding_clips(frames, 3, 1, 1, 0.1))[2]
    assert (middle.start, middle.stop) == pytest.approx((0.05, 0.4))


def test_the_head_of_a_causal_film_is_seen_backwards() -> None:
    """Frame i of the first L-1 follows frames i + L-1, ..., i + 1, and its sound is that of the same stretch."""
    clips = list(sliding_clips(film(12), 4, 3, 1, 1 / 25, reversed_head=True))
    assert [clip.target for clip in clips] == list(range(12))
    numbers = [[int(frame.flat[0]) for frame in clip.frames] for clip in clips]
    assert numbers[:3] == [[3, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2]]
    assert numbers[3:5] == [[0, 1, 2, 3], [1, 2, 3, 4]]
    assert [clip.reversed for clip in clips] == [True] * 3 + [False] * 9
    assert (clips[1].start, clips[1].stop) == pytest.approx((0.5 / 25, 4.5 / 25))
    assert (clips[4].start, clips[4].stop) == pytest.approx((0.5 / 25, 4.5 / 25))


def test_frames_of_a_clip_may_lie_apart() -> None:
    clips = list(sliding_clips(film(10), 3, 1, 1, 1 / 25, spacing=2))
    numbers = [[int(frame.flat[0]) for frame in clip.frames] for clip in clips]
    assert numbers == [[max(0, t - 2), t, min(9, t + 2)] for t in range(10)]
    assert clips[4].covered == 5
    assert (clips[4].start, clips[4].stop) == pytest.approx((1.5 / 25, 6.5 / 25))
    assert clips[0].start == pytest.approx(-2.5 / 25)
