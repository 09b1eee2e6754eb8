from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.data.clips import evaluation_clip
from lightning_avsp.data.reader import clip_span
from lightning_avsp.media.audio import LogMel
from lightning_avsp.media.video import DecodedFrame
from lightning_avsp.predict.clips import video_clips
from lightning_avsp.structures import ClipPolicy


def decoded(frames: int, fps: float = 25.0):
    for i in range(frames):
        yield DecodedFrame(i, i, i / fps, np.full((1, 1, 3), i, np.uint8))


POLICIES = st.one_of(
    st.builds(
        ClipPolicy,
        frames=st.integers(1, 17),
        target=st.sampled_from(["centre", "last"]),
        stride=st.integers(1, 3),
    ),
    st.builds(
        ClipPolicy,
        frames=st.integers(1, 9),
        target=st.just("last"),
        start_padding=st.just("reversed"),
        stride=st.integers(1, 2),
    ),
)


@given(st.integers(1, 40), POLICIES, st.integers(1, 30))
def test_clips_are_those_of_a_test(frames: int, policy: ClipPolicy, stride: int) -> None:
    found = list(video_clips(decoded(frames), policy, stride))
    targets = list(range(1, frames + 1, stride))
    assert [item.clip.target for item in found] == targets + [frames] * (targets[-1] != frames)
    for item in found:
        wanted = evaluation_clip(item.clip.target, frames, policy)
        assert item.clip == wanted
        assert tuple(item.frames[:, 0, 0, 0] + 1) == wanted.frames
        for audio in (LogMel(), LogMel(alignment="released")):
            span = clip_span(audio, item.clip, 25.0, item.times)
            assert span == pytest.approx(clip_span(audio, wanted, 25.0))


@pytest.mark.parametrize("stride", [1, 5, 40])
def test_no_more_than_a_clip_is_held(stride: int) -> None:
    alive: list[weakref.ref] = []

    def watched():
        for frame in decoded(200):
            alive.append(weakref.ref(frame.pixels))
            yield frame

    for _ in video_clips(watched(), ClipPolicy(frames=16), stride):
        assert sum(reference() is not None for reference in alive) <= 17
    assert len(alive) == 200  # each frame was asked for once


def test_true_times_count_with_variable_frame_rate() -> None:
    times = [0.0, 0.1, 0.3, 0.35, 0.6]
    frames = [DecodedFrame(i, i, t, np.zeros((1, 1, 3), np.uint8)) for i, t in enumerate(times)]
    middle = list(video_clips(frames, ClipPolicy(frames=3)))[2]
    assert clip_span(LogMel(), middle.clip, 10.0, middle.times) == pytest.approx((0.05, 0.4))
