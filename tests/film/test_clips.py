from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.data.clips import ClipPolicy, clip_at
from lightning_avsp.film.clips import sliding_clips
from lightning_avsp.film.reader import FilmFrame


def film(frames: int, fps: float = 25.0):
    for i in range(frames):
        yield FilmFrame(i, i, i / fps, (i + 1) / fps, np.full((1, 1, 3), i, np.uint8))


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
    frames = [FilmFrame(i, i, t, t, np.zeros((1, 1, 3), np.uint8)) for i, t in enumerate(times)]
    middle = list(sliding_clips(frames, 3, 1, 1, 0.1))[2]
    assert (middle.start, middle.stop) == pytest.approx((0.05, 0.4))
