"""Captioning a corpus: which frames, and what a kill leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lightning_avsp.backbones.blip2 import Captioner, open_captioner
from lightning_avsp.data.captions.lines import (
    Caption,
    caption_corpus,
    caption_path,
    read_captions,
    uncaptioned_frames,
    write_captions,
)
from lightning_avsp.data.clips import evaluation_clips
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.errors import InputError
from lightning_avsp.structures import ClipPolicy


@pytest.mark.parametrize("every", [1, 4, 7, 100])
def test_the_frames_that_a_thinned_test_scores(corpus: Path, tmp_path: Path, every: int) -> None:
    video = read_videos(corpus, ["AVAD"], "all")[0]
    wanted = uncaptioned_frames([video], every, tmp_path / "AVAD.jsonl", "m")[video.video]
    assert wanted == [clip.target for clip in evaluation_clips(video.n_frames, ClipPolicy(), every=every)]


class Killed(Captioner):
    """Dies after two batches."""

    calls = 0

    def caption(self, frames: Sequence[np.ndarray]) -> list:
        self.calls += 1
        if self.calls > 2:
            raise KeyboardInterrupt
        return super().caption(frames)


def test_killed_and_resumed_equals_uninterrupted(corpus: Path, tmp_path: Path, blip2_folder: Path) -> None:
    captioner = open_captioner(str(blip2_folder))
    videos = read_videos(corpus, ["AVAD"], "all")
    whole, path = caption_path(tmp_path / "whole", "AVAD"), caption_path(tmp_path / "killed", "AVAD")
    counts = caption_corpus(videos, uncaptioned_frames(videos, 9, whole, captioner.name), whole, captioner, 2)
    assert sum(counts.values()) == 18

    dying = Killed(captioner.name, captioner.network, captioner.processor)
    with pytest.raises(KeyboardInterrupt):
        caption_corpus(videos, uncaptioned_frames(videos, 9, path, captioner.name), path, dying, 2)
    assert len(read_captions(path)) == 3  # three frames a video, in batches of two and one
    with path.open("ab") as file:
        file.write(b'{"video": "V')  # killed in the middle of a line
    todo = uncaptioned_frames(videos, 9, path, captioner.name)
    assert sum(map(len, todo.values())) == 15
    reported: list[tuple[int, int]] = []
    caption_corpus(videos, todo, path, captioner, 2, lambda done, total: reported.append((done, total)))
    assert read_captions(path) == read_captions(whole)
    assert reported[-1] == (15, 15)
    assert uncaptioned_frames(videos, 9, path, captioner.name) == {}


def test_captions_of_two_models_are_not_mixed(corpus: Path, tmp_path: Path) -> None:
    path = caption_path(tmp_path, "AVAD")
    write_captions(path, [Caption("V1_Sound", 1, "a dog", "blip2-a")])
    with pytest.raises(InputError, match="captions of blip2-a, but blip2-b"):
        uncaptioned_frames(read_videos(corpus, ["AVAD"], "all"), 1, path, "blip2-b")
