"""DHF1K in every layout, Hollywood-2 and UCF Sports: recognition, logs, warnings and refusals."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.clips import evaluation_clips, training_clip
from lightning_avsp.data.corpora import corpus_listing, listed_keys, read_videos
from lightning_avsp.data.entries import FrameCountWarning
from lightning_avsp.data.picture_videos import VARIANTS, find_copy
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.structures import ClipPolicy
from lightning_avsp.synthetic import SyntheticSpec, read_video_record, synthesise_corpus
from lightning_avsp.synthetic.record import saliency_maps

SPEC = SyntheticSpec(size=(32, 56), seconds=0.8)  # 10 frames
DHF1K = find_corpus("DHF1K")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A corpus of three videos in each layout. Not to be changed."""
    found = {}
    for layout in ("unisal", "tased", "vinet", "diffsal", "avi"):
        found[layout] = tmp_path_factory.mktemp(layout)
        synthesise_corpus(found[layout], "DHF1K", 3, spec=SPEC, layout=layout)
    return found


@pytest.fixture
def own_copy(roots: dict[str, Path], tmp_path: Path) -> Path:
    """A copy in UNISAL's layout that a test may damage."""
    return Path(shutil.copytree(roots["unisal"], tmp_path / "root"))


@pytest.mark.parametrize(
    ("layout", "variant"),
    [("unisal", "annotation"), ("tased", "annotation"), ("vinet", "per_video"), ("diffsal", "frames_maps")],
)
def test_every_layout_gives_the_same_videos(
    roots: dict[str, Path], layout: str, variant: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = roots[layout]
    with caplog.at_level(logging.INFO):
        entries = [e for part in ("train", "test") for e in read_videos(root, ["DHF1K"], 1, part)]
    assert f"layout {VARIANTS[variant]}, in {root / 'DHF1K'}" in caplog.text  # type: ignore[index]
    assert [entry.video for entry in entries] == ["0001", "0002", "0601"]
    for entry in entries:
        record = read_video_record(root, "DHF1K", entry.video)
        maps = saliency_maps(SPEC, record.fixations)
        assert (entry.n_frames, entry.size, entry.wave) == (10, (32, 56), None)
        for number in (1, 5, 10):
            assert np.array_equal(entry.maps.map(number).numpy(), maps[number - 1])
            points = entry.fixations.points(number, entry.maps.size(number)).numpy()
            assert np.array_equal(points, np.unique(record.fixations[number - 1], axis=0))
    reference = read_videos(roots["unisal"], ["DHF1K"], 1, "train")[0]
    same = entries[0].frames.read([1, 10], (32, 56))
    assert all(map(np.array_equal, same, reference.frames.read([1, 10], (32, 56))))


def test_lists_are_used_where_there_are_some(
    roots: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert [video.fps for video in corpus_listing(roots["vinet"], DHF1K, "train", 1)] == [12.5, 12.5]
    assert [video.fps for video in corpus_listing(roots["tased"], DHF1K, "train", 1)] == [30.0, 30.0]
    assert listed_keys(roots["tased"], ["DHF1K"], 1, "test") == [("DHF1K", "0601")]
    assert "DHF1K: 1 videos in the test part; published: 100" in caplog.text
    root = Path(shutil.copytree(roots["vinet"], tmp_path / "root"))
    path = root / "fold_lists" / "DHF1K_list_train_1_fps.txt"
    path.write_text("1 10 30.000000000000004\n\n002 10 29.999999999999996\n")
    entries = read_videos(root, ["DHF1K"], 1, "train")
    assert [entry.video for entry in entries] == ["0001", "0002"]
    assert [entry.fps for entry in entries] == pytest.approx([30.0, 30.0])
    shutil.rmtree(root / "DHF1K" / "0002")
    with pytest.raises(CorpusNotFoundError, match=r"1 of 2 listed videos are not annotated.*0002"):
        read_videos(root, ["DHF1K"], 1, "train")
    path.write_text("first 10 30.0\n")
    with pytest.raises(InputError, match="'first' is no number"):
        read_videos(root, ["DHF1K"], 1, "train")


def test_other_places_of_a_copy(roots: dict[str, Path], tmp_path: Path) -> None:
    base = tmp_path / "DHF1K"
    for part, names in (("train", ("0001", "0002")), ("val", ("0601",))):
        for name in names:
            shutil.copytree(roots["vinet"] / "DHF1K" / name, base / part / name)
    assert [entry.video for entry in read_videos(tmp_path, ["DHF1K"], 1, "test")] == ["0601"]
    shutil.copytree(base / "train" / "0001", base / "val" / "001")
    with pytest.raises(InputError, match="video 1 lies in"):
        find_copy(tmp_path, DHF1K)
    assert find_copy(roots["unisal"] / "DHF1K", DHF1K).variant == "annotation"
    shutil.copytree(roots["unisal"] / "DHF1K", tmp_path / "elsewhere")
    with pytest.raises(CorpusNotFoundError, match=r"no annotated video.*expected one of"):
        find_copy(tmp_path / "elsewhere", DHF1K)  # a folder of that shape might be another corpus


def test_uncut_videos_name_the_command(roots: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    (entry,) = read_videos(roots["avi"], ["DHF1K"], 1, "test")
    assert entry.n_frames == 10
    assert "decode them once with `avsp data prepare`" in caplog.text
    with pytest.raises(InputError, match=r"601\.AVI.*avsp data prepare"):
        entry.frames.read([1, 2], (32, 56))


def test_fixations_as_matrices_of_another_size_or_none(
    own_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = own_copy / "DHF1K/annotation/0001/fixation"
    Image.new("L", (64, 36)).save(folder / "0003.png")
    entry = read_videos(own_copy, ["DHF1K"], 1, "train")[0]
    with pytest.raises(InputError, match=r"0003\.png.*36 x 64, but the map of this frame is 32 x 56"):
        entry.fixations.points(3, entry.maps.size(3))
    expected = [np.argwhere(np.asarray(Image.open(folder / f"{k:04d}.png")) > 0) for k in range(1, 11)]
    (folder / "maps").mkdir()
    for number, points in enumerate(expected, start=1):
        matrix = np.zeros((32, 56), bool)
        matrix[tuple(points.T)] = True
        savemat(folder / "maps" / f"{number:04d}.mat", {"I": matrix})
        (folder / f"{number:04d}.png").unlink()
    entry = read_videos(own_copy, ["DHF1K"], 1, "train")[0]
    for number, points in enumerate(expected, start=1):
        assert np.array_equal(entry.fixations.points(number, (32, 56)).numpy(), points)
    shutil.rmtree(folder)
    entry = read_videos(own_copy, ["DHF1K"], 1, "train")[0]
    assert "1 of 2 videos have no fixations" in caplog.text
    assert entry.maps.map(1).shape == (32, 56)
    assert entry.fixations.points(1, (32, 56)).shape == (0, 2)


def test_lacking_maps_gaps_and_shifted_numbers(own_copy: Path) -> None:
    maps = own_copy / "DHF1K/annotation/0001/maps"
    (maps / "0010.png").unlink()
    message = "DHF1K/0001: the folders hold 10 frames, 9 maps, 10 fix"
    with pytest.warns(FrameCountWarning, match=message) as record:
        assert read_videos(own_copy, ["DHF1K"], 1, "train")[0].n_frames == 9
    assert len(record) == 1
    (maps / "0004.png").rename(own_copy / "kept.png")
    with pytest.raises(InputError, match=r"0004\.png is missing although 0005\.png is there"):
        read_videos(own_copy, ["DHF1K"], 1, "train")
    (own_copy / "kept.png").rename(maps / "0004.png")
    (maps / "0001.png").unlink()
    with pytest.raises(InputError, match=r"frames with 1, maps with 2"):
        read_videos(own_copy, ["DHF1K"], 1, "train")


def test_absent_parts_name_the_paths(own_copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(own_copy / "DHF1K/annotation/0001/images")
    with pytest.raises(CorpusNotFoundError, match=r"DHF1K/0001: no frames at any of .*video/001\.AVI"):
        read_videos(own_copy, ["DHF1K"], 1, "train")
    with pytest.raises(CorpusNotFoundError, match=r"no folder at .*nowhere"):
        read_videos(tmp_path / "nowhere", ["DHF1K"], 1, "train")
    with pytest.raises(InputError, match="no corpus of this mix has split 2"):
        listed_keys(own_copy, ["DHF1K"], 2, "train")


LONGER = SyntheticSpec(size=(32, 56), seconds=1.6)  # 20 frames


@pytest.fixture(scope="module")
def gaze_roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both corpora, UCF with pictures and with matrices of fixations. Not to be changed."""
    found = {}
    for corpus, layout in (("Hollywood2", "shots"), ("UCF", "pictures"), ("UCF", "matrices")):
        found[layout] = tmp_path_factory.mktemp(layout)
        synthesise_corpus(found[layout], corpus, 3, spec=LONGER, layout=layout)
    return found


@pytest.fixture
def own_ucf(gaze_roots: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of UCF that a test may damage."""
    return Path(shutil.copytree(gaze_roots["pictures"], tmp_path / "root"))


def test_shots_shorter_than_a_clip_are_kept_and_filled(gaze_roots: dict[str, Path]) -> None:
    lengths = {
        entry.video: entry.n_frames for entry in read_videos(gaze_roots["shots"], ["Hollywood2"], 1, "train")
    }
    assert lengths == {"actioncliptrain00001_1": 20, "actioncliptrain00001_2": 12}
    policy = ClipPolicy(frames=32, target="last", draw="one_per_video")
    clip = training_clip(0, 12, policy, np.random.default_rng(0))
    assert len(clip.frames) == 32
    assert set(clip.frames) == set(range(1, 13))
    assert [c.target for c in evaluation_clips(12, policy)] == list(range(1, 13))


def test_names_of_files_videos_and_folders(own_ucf: Path) -> None:
    folder = own_ucf / "UCF" / "training" / "Silent-Discs-001"
    before = read_videos(own_ucf, ["UCF"], 1, "train")[0]
    assert (before.video, before.n_frames, before.fps, before.wave) == (folder.name, 20, 24.0, None)
    assert before.frames.path(7) == folder / "images" / "Silent-Discs_001_007.png"
    picture = before.frames.read([3], (32, 56))[0]
    for kind in ("images", "maps", "fixation"):  # shots may keep the numbers of their film
        for path in sorted((folder / kind).iterdir(), reverse=True):
            path.rename(path.with_name(f"Silent-Discs_001_{int(path.stem[-3:]) + 500}.png"))
    entry = read_videos(own_ucf, ["UCF"], 1, "train")[0]
    assert entry.n_frames == 20
    assert np.array_equal(entry.frames.read([3], (32, 56))[0], picture)
    folder.rename(folder.with_name("Silent-Discs-10"))
    folder.with_name("Silent-Discs-002").rename(folder.with_name("Silent-Discs-9"))
    names = [video.name for video in corpus_listing(own_ucf, find_corpus("UCF"), "train", 1)]
    assert names == ["Silent-Discs-9", "Silent-Discs-10"]
    (own_ucf / "UCF").rename(own_ucf / "ucf_sports")
    (own_ucf / "ucf_sports" / "testing").rename(own_ucf / "ucf_sports" / "test")
    assert len(read_videos(own_ucf, ["UCF-Sports"], 1, "test")) == 1
    assert len(read_videos(own_ucf / "ucf_sports", ["UCF"], 1, "train")) == 2


def test_counts_and_layout_are_logged(gaze_roots: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    listed_keys(gaze_roots["shots"], ["Hollywood2"], 1, "train")
    # how many shots there are was never published
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    listed_keys(gaze_roots["pictures"], ["UCF"], 1, "test")
    assert "UCF: 1 videos in the test part; published: 47" in caplog.text
    with caplog.at_level(logging.INFO):
        read_videos(gaze_roots["shots"], ["Hollywood2"], 1, "test", missing_audio="error")
    assert "Hollywood2: layout <part>/<video>/{images,maps,fixation}, in" in caplog.text


def test_two_kinds_of_names_and_missing_parts(own_ucf: Path) -> None:
    training = own_ucf / "UCF" / "training"
    folder = training / "Silent-Discs-001" / "images"
    shutil.copy(folder / "Silent-Discs_001_001.png", folder / "thumb_1.png")
    with pytest.raises(InputError, match="files of different names"):
        read_videos(own_ucf, ["UCF"], 1, "train")
    shutil.rmtree(own_ucf / "UCF" / "testing")
    with pytest.raises(CorpusNotFoundError, match=r"UCF: nothing at .*testing or .*test; to obtain it"):
        read_videos(own_ucf, ["UCF"], 1, "test")
    shutil.rmtree(training)
    training.mkdir()
    with pytest.raises(InputError, match="holds no video with a folder of maps"):
        read_videos(own_ucf, ["UCF"], 1, "train")
