"""Hollywood-2 and UCF Sports: file names, short shots, both forms of fixations, faults."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.clips import evaluation_clips, training_clip
from lightning_avsp.data.corpora import corpus_listing, listed_keys, read_videos
from lightning_avsp.data.sources import MatFixations, PictureFixations, PictureFrames
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.structures import ClipPolicy
from lightning_avsp.synthetic import SyntheticSpec, read_video_record, synthesise_corpus
from lightning_avsp.synthetic.record import saliency_maps

SPEC = SyntheticSpec(size=(32, 56), seconds=1.6)  # 20 frames


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both corpora, UCF with pictures and with matrices of fixations. Not to be changed."""
    found = {}
    for corpus, layout in (("Hollywood2", "shots"), ("UCF", "pictures"), ("UCF", "matrices")):
        found[layout] = tmp_path_factory.mktemp(layout)
        synthesise_corpus(found[layout], corpus, 3, spec=SPEC, layout=layout)
    return found


@pytest.fixture
def own_ucf(roots: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of UCF that a test may damage."""
    return Path(shutil.copytree(roots["pictures"], tmp_path / "root"))


@pytest.mark.parametrize(
    ("layout", "corpus", "kind"),
    [
        ("shots", "Hollywood2", PictureFixations),
        ("pictures", "UCF", PictureFixations),
        ("matrices", "UCF", MatFixations),
    ],
)
def test_entries(roots: dict[str, Path], layout: str, corpus: str, kind: type) -> None:
    for part in ("train", "test"):
        for entry in read_videos(roots[layout], [corpus], 1, part):
            record = read_video_record(roots[layout], corpus, entry.video)
            maps = saliency_maps(SPEC, record.fixations)
            assert isinstance(entry.fixations, kind)
            assert entry.n_frames == len(record.gaze)
            assert (entry.fps, entry.wave) == (24.0, None)
            for number in (1, entry.n_frames):
                assert np.array_equal(entry.maps.map(number).numpy(), maps[number - 1])
                points = entry.fixations.points(number, entry.maps.size(number)).numpy()
                assert np.array_equal(points, np.unique(record.fixations[number - 1], axis=0))


def test_file_names_of_ucf(roots: dict[str, Path]) -> None:
    entry = read_videos(roots["pictures"], ["UCF"], 1, "train")[0]
    assert isinstance(entry.frames, PictureFrames)
    assert entry.video == "Silent-Discs-001"
    assert entry.frames.path(7).name == "Silent-Discs_001_007.png"
    assert entry.frames.path(7).is_file()


def test_shots_shorter_than_a_clip_are_kept_and_filled(roots: dict[str, Path]) -> None:
    lengths = {
        entry.video: entry.n_frames for entry in read_videos(roots["shots"], ["Hollywood2"], 1, "train")
    }
    assert lengths == {"actioncliptrain00001_1": 20, "actioncliptrain00001_2": 12}
    policy = ClipPolicy(frames=32, target="last", draw="one_per_video")
    clip = training_clip(0, 12, policy, np.random.default_rng(0))
    assert len(clip.frames) == 32
    assert set(clip.frames) == set(range(1, 13))
    assert [c.target for c in evaluation_clips(12, policy)] == list(range(1, 13))


def test_shots_may_keep_the_numbers_of_their_film(own_ucf: Path) -> None:
    folder = own_ucf / "UCF" / "training" / "Silent-Discs-001"
    before = read_videos(own_ucf, ["UCF"], 1, "train")[0]
    picture = before.frames.read([3], (32, 56))[0]
    for kind in ("images", "maps", "fixation"):
        for path in sorted((folder / kind).iterdir(), reverse=True):
            path.rename(path.with_name(f"Silent-Discs_001_{int(path.stem[-3:]) + 500}.png"))
    entry = read_videos(own_ucf, ["UCF"], 1, "train")[0]
    assert entry.n_frames == 20
    assert np.array_equal(entry.frames.read([3], (32, 56))[0], picture)


def test_videos_come_in_natural_order(own_ucf: Path) -> None:
    training = own_ucf / "UCF" / "training"
    (training / "Silent-Discs-001").rename(training / "Silent-Discs-10")
    (training / "Silent-Discs-002").rename(training / "Silent-Discs-9")
    names = [video.name for video in corpus_listing(own_ucf, find_corpus("UCF"), "train", 1)]
    assert names == ["Silent-Discs-9", "Silent-Discs-10"]


def test_known_counts_are_logged(roots: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    listed_keys(roots["shots"], ["Hollywood2"], 1, "train")
    # how many shots there are was never published
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    listed_keys(roots["pictures"], ["UCF"], 1, "test")
    assert "UCF: 1 videos in the test part; published: 47" in caplog.text


def test_the_layout_is_logged(roots: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read_videos(roots["shots"], ["Hollywood2"], 1, "test", missing_audio="error")
    assert "Hollywood2: layout <part>/<video>/{images,maps,fixation}, in" in caplog.text


def test_other_names_of_folders(own_ucf: Path) -> None:
    (own_ucf / "UCF").rename(own_ucf / "ucf_sports")
    (own_ucf / "ucf_sports" / "testing").rename(own_ucf / "ucf_sports" / "test")
    assert len(read_videos(own_ucf, ["UCF-Sports"], 1, "test")) == 1
    assert len(read_videos(own_ucf / "ucf_sports", ["UCF"], 1, "train")) == 2


def test_two_kinds_of_names_in_one_folder(own_ucf: Path) -> None:
    folder = own_ucf / "UCF" / "training" / "Silent-Discs-001" / "images"
    shutil.copy(folder / "Silent-Discs_001_001.png", folder / "thumb_1.png")
    with pytest.raises(InputError, match="files of different names"):
        read_videos(own_ucf, ["UCF"], 1, "train")


def test_missing_parts(own_ucf: Path) -> None:
    shutil.rmtree(own_ucf / "UCF" / "testing")
    with pytest.raises(CorpusNotFoundError, match=r"UCF: nothing at .*testing or .*test; to obtain it"):
        read_videos(own_ucf, ["UCF"], 1, "test")
    shutil.rmtree(own_ucf / "UCF" / "training")
    (own_ucf / "UCF" / "training").mkdir()
    with pytest.raises(InputError, match="holds no video with a folder of maps"):
        read_videos(own_ucf, ["UCF"], 1, "train")
