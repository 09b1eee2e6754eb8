"""Clip arithmetic, by property and against the released rules written out."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.data.clips import (
    clip_at,
    evaluation_clips,
    loop_clip,
    reversed_clip,
    segments,
    training_clip,
    training_count,
    unscored_frames,
)
from lightning_avsp.errors import InputError
from lightning_avsp.structures import ClipPolicy

RELEASED = ClipPolicy(crop="centre", short_videos="loop")
LAST = ClipPolicy(frames=32, target="last")
REVERSED = ClipPolicy(frames=32, target="last", start_padding="reversed")
lengths = st.integers(1, 400)
policies = st.builds(
    ClipPolicy,
    frames=st.integers(1, 40),
    target=st.sampled_from(["centre", "last"]),
    draw=st.sampled_from(["segments", "random", "one_per_video", "every"]),
    crop=st.sampled_from(["random", "centre"]),
    stride=st.integers(1, 6),
)


@given(n=lengths, policy=policies, every=st.integers(1, 50))
def test_evaluation_scores_each_frame_once(n: int, policy: ClipPolicy, every: int) -> None:
    targets = [clip.target for clip in evaluation_clips(n, policy)]
    assert targets == list(range(1, n + 1))
    strided = [clip.target for clip in evaluation_clips(n, policy, every=every)]
    assert strided
    assert all(b - a == every for a, b in itertools.pairwise(strided))
    assert strided[0] <= every
    assert n - strided[-1] < every


@given(n=lengths, policy=policies)
def test_evaluation_clips_are_runs_with_repeated_edges(n: int, policy: ClipPolicy) -> None:
    for clip in evaluation_clips(n, policy):
        assert len(clip.frames) == policy.frames
        assert clip.frames[policy.target_index] == clip.target
        start = clip.target - policy.target_index * policy.stride
        assert clip.first == start
        assert clip.frames == tuple(
            min(max(k, 1), n) for k in range(start, start + policy.frames * policy.stride, policy.stride)
        )


@given(n=lengths)
def test_released_evaluation_scores_all_but_the_start(n: int) -> None:
    clips = evaluation_clips(n, RELEASED, "released")
    targets = [clip.target for clip in clips]
    if n >= 16:
        assert targets == list(range(9, n + 1))
    assert len(set(targets)) == len(targets)
    assert all(max(clip.frames) <= n for clip in clips)


def test_released_windows_written_out() -> None:
    # One window per start j; the median of its numbers, halves up; a later window replaces an earlier one.
    n, wanted = 40, {}
    for j in range(1, n):
        window = list(range(j, min(n, j + 15) + 1))
        numbers = (window * 16)[:16]
        wanted[int(np.floor(np.median(numbers) + 0.5))] = tuple(numbers)
    got = {clip.target: clip.frames for clip in evaluation_clips(n, RELEASED, "released")}
    assert got == wanted


def test_numbers_written_out() -> None:
    # the ninth of sixteen is the centre
    assert clip_at(5, 100, ClipPolicy()).target == 13
    assert loop_clip(5, 101, ClipPolicy()).target == 13
    assert clip_at(5, 100, ClipPolicy(target="last")).target == 20
    # segments of ninety, every seventy-four: starts 1, 75, ... below n, so a last frame of its own starts none
    assert segments(165) == [(1, 91), (75, 165), (149, 166)]
    assert segments(75) == [(1, 76)]
    assert segments(76) == [(1, 77), (75, 77)]
    assert segments(1) == [(1, 2)]
    assert training_count(165, ClipPolicy(draw="random")) == 10
    assert training_count(5, ClipPolicy(draw="random")) == 1
    assert training_count(5, ClipPolicy(draw="every")) == 1
    assert training_count(165, ClipPolicy(draw="one_per_video")) == 1
    # every fourth frame starts in the middle of four
    assert [clip.target for clip in evaluation_clips(10, ClipPolicy(), every=4)] == [3, 7]
    assert unscored_frames(100, ClipPolicy(start_padding="skip")) == 8
    assert unscored_frames(100, ClipPolicy(frames=32, target="last", start_padding="skip")) == 31
    assert unscored_frames(100, RELEASED, "released") == 8
    assert unscored_frames(100, REVERSED) == 0


def test_released_training_clip_is_the_centre_of_a_segment() -> None:
    clip = training_clip(0, 165, RELEASED, np.random.default_rng(0))
    assert clip.frames == tuple(range(38, 54))  # offset 37 of a full segment
    assert clip.target == 46
    short = training_clip(2, 165 - 8, RELEASED, np.random.default_rng(0))  # frames 149 .. 157
    assert short.frames == (*range(149, 158), *range(149, 156))
    assert short.target == int(np.floor(np.median(short.frames) + 0.5))


@given(n=lengths, policy=policies, seed=st.integers(0, 5), data=st.data())
def test_training_clips_lie_inside(n: int, policy: ClipPolicy, seed: int, data: st.DataObject) -> None:
    count = training_count(n, policy)
    assert count >= 1
    slot = data.draw(st.integers(0, count - 1))
    clip = training_clip(slot, n, policy, np.random.default_rng(seed))
    assert len(clip.frames) == policy.frames
    assert clip.target == clip.frames[policy.target_index]
    covered = (policy.frames - 1) * policy.stride + 1
    if n >= covered:  # only real frames, each once
        assert clip.frames == tuple(range(clip.first, clip.first + covered, policy.stride))
        assert clip.frames[0] >= 1
        assert clip.frames[-1] <= n
    else:
        assert clip.frames == tuple(min(k, n) for k in range(1, covered + 1, policy.stride))
    if policy.draw == "segments" and n >= covered:
        start, stop = segments(n)[slot]
        if stop - start >= covered:
            assert start <= clip.first
            assert clip.first + covered <= stop


@given(n=st.integers(16, 120))
def test_every_window_is_sampled_once(n: int) -> None:
    policy = ClipPolicy(draw="every")
    generator = np.random.default_rng(0)
    firsts = [training_clip(slot, n, policy, generator).first for slot in range(training_count(n, policy))]
    assert firsts == list(range(1, n - 14))


@pytest.mark.parametrize("draw", ["segments", "random", "one_per_video"])
def test_random_starts_reach_both_ends(draw: str) -> None:
    policy = ClipPolicy(draw=draw)  # type: ignore[arg-type]
    generator = np.random.default_rng(0)
    firsts = {training_clip(0, 40, policy, generator).first for _ in range(600)}
    assert firsts == set(range(1, 26))


def test_time_of_a_clip() -> None:
    assert clip_at(1, 100, ClipPolicy()).span(25.0) == pytest.approx((-0.02, 0.62))
    assert clip_at(-7, 100, ClipPolicy()).span(25.0) == pytest.approx((-0.34, 0.30))
    looped = loop_clip(96, 101, ClipPolicy())  # 5 frames, three times and one
    assert looped.frames[-1] == 96
    assert looped.released_span(25.0) == pytest.approx((94.5 / 25, 95.5 / 25))
    times, policy = (0.0, 0.1, 0.3, 0.6), ClipPolicy(frames=2)  # at a varying rate
    assert clip_at(2, 4, policy).span(10.0, times) == pytest.approx((0.1 - 0.05, 0.3 + 0.05))
    # frames outside of the video are one period of the mean rate apart
    assert clip_at(-1, 4, policy).span(10.0, times) == pytest.approx((-0.2 - 0.05, -0.1 + 0.05))
    strided = clip_at(10, 200, ClipPolicy(frames=12, stride=5))  # UNISAL's clips cover 56 frames
    assert strided.span(25.0) == strided.released_span(25.0) == pytest.approx((8.5 / 25, 64.5 / 25))
    backwards = reversed_clip(3, 100, REVERSED)
    assert backwards.span(25.0) == pytest.approx((1.5 / 25, 33.5 / 25))
    assert backwards.released_span(25.0) == pytest.approx(backwards.span(25.0))


def test_reversed_start_written_out() -> None:
    # Frame i is seen after i + 31, ..., i + 1 (AVRSP); from frame 32 on, the 32 frames up to it.
    n = 63
    clips = evaluation_clips(n, REVERSED)
    assert [clip.target for clip in clips] == list(range(1, n + 1))
    for i, clip in enumerate(clips, start=1):
        window = list(range(i + 31, i - 1, -1)) if i < 32 else list(range(i - 31, i + 1))
        assert list(clip.frames) == window
        assert clip.reversed == (i < 32)
        assert not clip.audio_reversed
    assert clips[0].frames[0] == 32
    assert clips[30].frames == tuple(range(62, 30, -1))


@given(n=lengths, frames=st.integers(1, 40), stride=st.integers(1, 4), flip=st.booleans())
def test_reversed_start_of_short_videos_repeats_the_last_frame(
    n: int, frames: int, stride: int, flip: bool
) -> None:
    policy = ClipPolicy(
        frames=frames, target="last", start_padding="reversed", stride=stride, reverse_audio=flip
    )
    clips = evaluation_clips(n, policy)
    assert [clip.target for clip in clips] == list(range(1, n + 1))  # none is left out
    for clip in clips:
        assert clip.frames[-1] == clip.target
        assert len(clip.frames) == frames
        if clip.target > (frames - 1) * stride:
            assert clip == clip_at(clip.target - (frames - 1) * stride, n, policy)
        else:
            window = [min(n, clip.target + k * stride) for k in range(frames)]
            assert list(clip.frames) == window[::-1]
            assert clip.audio_reversed == flip


@given(n=lengths, frames=st.integers(1, 40), stride=st.integers(1, 4), last=st.booleans())
def test_unscored_start(n: int, frames: int, stride: int, last: bool) -> None:
    target = "last" if last else "centre"
    policy = ClipPolicy(frames=frames, target=target, start_padding="skip", stride=stride)  # type: ignore[arg-type]
    before = (frames - 1 if last else frames // 2) * stride
    targets = [clip.target for clip in evaluation_clips(n, policy)]
    # of a video that is all head, the last frame is scored: no video is lost
    assert targets == (list(range(before + 1, n + 1)) or [n])
    assert unscored_frames(n, policy) == n - len(targets)
    assert unscored_frames(n, ClipPolicy(frames=frames, target=target, stride=stride)) == 0  # type: ignore[arg-type]


def test_short_shots_may_start_with_their_first_frame() -> None:
    policy = ClipPolicy(frames=8, target="last", draw="one_per_video", short_videos="front")
    clip = training_clip(0, 5, policy, np.random.default_rng(0))
    assert clip.frames == (1, 1, 1, 1, 2, 3, 4, 5)
    assert clip.target == 5
    assert clip.span(10.0) == pytest.approx((-0.35, 0.45))
    long = training_clip(0, 20, policy, np.random.default_rng(0))
    assert long == training_clip(
        0, 20, ClipPolicy(frames=8, target="last", draw="one_per_video"), np.random.default_rng(0)
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClipPolicy(frames=0), "frames=0"),
        (lambda: ClipPolicy(short_videos="loop", target="last"), "loop"),
        (lambda: ClipPolicy(stride=0), "stride=0"),
        (lambda: ClipPolicy(short_videos="loop", stride=2), "stride=2"),
        (lambda: ClipPolicy(start_padding="reversed"), "needs target='last'"),
        (lambda: ClipPolicy(target="last", reverse_audio=True), "reverse_audio"),
        (lambda: evaluation_clips(40, ClipPolicy(stride=3), "released"), "stride=3"),
        (lambda: evaluation_clips(40, ClipPolicy(target="last"), "released"), "released"),
    ],
)
def test_bad_settings(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
