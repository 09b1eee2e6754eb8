"""Lists, JSON files, maps and fixations of corpora: their contents, and refused ones."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from lightning_avsp.data.captions.features import TokenFeatures
from lightning_avsp.data.captions.lines import read_captions
from lightning_avsp.data.catalogue import find_corpus, read_own
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.crowdsal import read_split
from lightning_avsp.data.entries import FrameCountWarning
from lightning_avsp.data.lists import ListedVideo, list_path, listed_videos, parse_fold_list
from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.data.sources import MatFixations, PictureMaps, read_fixation_lists
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.media.images import resize

HOSTILE_NAMES = ["../x", "..", "/tmp/x", "a/b", "a\\b", "a\x1b[2Jb", "a\x00b", "x" * 300]


def written(folder: Path, text: str) -> Path:
    path = folder / "list.txt"
    path.write_text(text)
    return path


def test_lists_as_they_are_published(tmp_path: Path) -> None:
    path = written(tmp_path, "V1_A 125 24.999750\n\n   \nV2_B 308 29.999999999999996\n\n")
    wanted = [ListedVideo("V1_A", 125, 24.99975), ListedVideo("V2_B", 308, 29.999999999999996)]
    assert parse_fold_list(path) == wanted
    path = written(tmp_path, "b 10 25.0\na name 20 25.0\n")  # order is kept, names may hold spaces
    assert [video.name for video in parse_fold_list(path)] == ["b", "a name"]
    path.write_text("caf\u00e9 10 25.0\r\n", encoding="utf-8-sig")  # a byte order mark is no part of a name
    assert parse_fold_list(path) == [ListedVideo("caf\u00e9", 10, 25.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            (f"V0 10 25.0\n{line}\n", r"list\.txt:2: ")
            for line in ("V1 125", "V1 many 25.0", "V1 125 fast", "V1 0 25.0", "V1 125 0.0", "V1 125 nan")
        ),
        ("a 10 25.0\nb 10 25.0\na 10 25.0\n", r"list\.txt:3: 'a' is listed twice"),
        ("\n\n", "lists no video"),
        (b"caf\xe9 10 25.0\n", r"list\.txt is not UTF-8 text \(byte 0x.*save it as UTF-8"),
        ("caf\u00e9 10 25.0\n".encode("utf-16"), r"list\.txt is not UTF-8 text \(byte 0x.*save it as UTF-8"),
    ],
)
def test_unusable_lists_are_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=message):
        parse_fold_list(path)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_leave_their_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"list\.txt:1: .*cannot name a video"):
        parse_fold_list(written(tmp_path, f"{name} 10 25.0\n"))
    base = tmp_path / "CrowdSAL"
    base.mkdir()
    split = {"train": [f"{name}.mp4"], "public_test": [], "private_test": []}
    (base / "TrainTestSplit.json").write_text(json.dumps(split))
    with pytest.raises(InputError, match=r"TrainTestSplit\.json: .*cannot name a video"):
        read_split(base)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("synthetic.json", read_manifest),
        ("corpora/Lab.json", read_own),
        ("TrainTestSplit.json", read_split),
        ("fixations.json", lambda root: read_fixation_lists(root / "fixations.json")),
        ("AVAD.jsonl", lambda root: read_captions(root / "AVAD.jsonl")),
        ("model.json", lambda root: TokenFeatures(root).model()),
    ],
)
@pytest.mark.parametrize("content", [b"[" * 100_000 + b"\n", b"\xff\xfe{\x00", b'{"a": "\xe9"}\n'])
def test_json_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, read: Callable[[Path], object], content: bytes
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    if name == "AVAD.jsonl":
        path.write_bytes(content + b"\n")  # a whole line: a half-written last one is passed over
    with pytest.raises(InputError, match=Path(name).name) as refused:
        read(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_list_that_claims_any_number_of_frames_is_bounded_by_files(own_root: Path) -> None:
    path = list_path(own_root, find_corpus("AVAD"), "test", 1)
    path.write_text("".join(f"{v.name} 99999999999 25.0\n" for v in parse_fold_list(path)))
    with pytest.warns(FrameCountWarning, match="the list says 99999999999 frames"):
        assert {entry.n_frames for entry in read_videos(own_root, ["AVAD"], 1, "test")} == {40}


def test_missing_list_and_root(tmp_path: Path) -> None:
    with pytest.raises(CorpusNotFoundError, match=r"fold_lists/AVAD_list_train_1_fps\.txt.*avsp data synth"):
        listed_videos(tmp_path, find_corpus("AVAD"), "train", 1)
    with pytest.raises(CorpusNotFoundError, match=r"absent.*STAViS data page"):
        listed_videos(tmp_path / "absent", find_corpus("AVAD"), "train", 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, bool])
def test_fixations_are_points_whatever_the_type(tmp_path: Path, dtype: type) -> None:
    matrix = np.zeros((48, 64), dtype)
    source = MatFixations(tmp_path, "fixMap_{:05d}.mat")
    for number, fixated in enumerate(([], [[3, 5], [10, 0], [47, 63]]), start=1):
        for row, column in fixated:
            matrix[row, column] = 1
        savemat(source.path(number), {"eyeMap": matrix})
        points = source.points(number, (48, 64))
        assert points.dtype == torch.int64
        assert points.shape == (len(fixated), 2)
        assert points.tolist() == fixated


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: savemat(path, {"fixations": np.zeros((48, 64)), "other": np.zeros(1)}),
            "no matrix 'eyeMap'; its matrices: fixations, other",
        ),
        (
            lambda path: savemat(path, {"eyeMap": np.zeros((64, 48))}),
            "64 x 48, but the map of this frame is 48 x 64",
        ),
        (lambda path: path.write_bytes(b""), r"fixMap_00009\.mat cannot be read"),
        (lambda path: path.write_bytes(b"garbage" * 40), r"fixMap_00009\.mat cannot be read"),
        (lambda path: None, r"fixMap_00009\.mat is missing"),
    ],
)
def test_unusable_fixations_are_named(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    source = MatFixations(tmp_path, "fixMap_{:05d}.mat")
    write(source.path(9))
    with pytest.raises(InputError, match=message):
        source.points(9, (48, 64))


def test_map_keeps_its_size_and_target_has_the_networks(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:96, 0:128]
    blob = 255 * np.exp(-((rows - 40) ** 2 + (columns - 100) ** 2) / 400)
    Image.fromarray(blob.astype(np.uint8)).save(tmp_path / "eyeMap_00001.jpg", quality=95)
    saliency = PictureMaps(tmp_path, "eyeMap_{:05d}.jpg").map(1)
    assert (saliency.shape, saliency.dtype) == ((96, 128), torch.uint8)
    target = resize(saliency.numpy(), (24, 40))
    assert (target.shape, target.dtype) == ((24, 40), np.uint8)
    row, column = np.unravel_index(target.argmax(), target.shape)
    assert abs(row - 40 / 4) <= 1
    assert abs(column - 100 / 3.2) <= 1
