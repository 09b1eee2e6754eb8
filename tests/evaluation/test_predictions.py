"""Predictions of any program are found and read, and each kind of damage gives one clear line."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rounding import HALF

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.predictions import (
    PredictedFiles,
    checked_frames,
    find_video,
    folder_of_split,
    open_folder,
)
from lightning_avsp.predict.maps import MapSpool

SIZE = (12, 20)
AVAD, COUTROT = find_corpus("AVAD"), find_corpus("Coutrot1")


def levels(count: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SIZE)).astype(np.uint8)


def save(folder: Path, pattern: str, maps: np.ndarray, first: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(maps, start=first):
        Image.fromarray(one).save(folder / pattern.format(number))
    return folder


def read(source: PredictedFiles | None, wanted: list[int] | None = None) -> dict[int, torch.Tensor]:
    assert source is not None
    return dict(source.frames(wanted if wanted is not None else list(source.numbers)))


@pytest.mark.parametrize(
    "pattern", ["{:05d}.png", "img_{:05d}.png", "pred_sal_{:06d}.png", "V1_frame12_{}.bmp"]
)
def test_numbered_images(tmp_path: Path, pattern: str) -> None:
    maps = levels()
    save(tmp_path / "AVAD" / "V1", pattern, maps, first=9)
    source = find_video(tmp_path, AVAD, "V1")
    assert list(source.numbers) == [9, 10, 11]
    found = read(source, [9, 11])
    assert torch.equal(found[11], torch.from_numpy(maps[2]))
    assert found[9].dtype == torch.uint8


@pytest.mark.parametrize("place", ["Coutrot1/clip1", "Coutrot_db1/clip1", "clip1"])
def test_corpora_go_by_their_name_or_their_folder_or_none(tmp_path: Path, place: str) -> None:
    save(tmp_path / place, "{:05d}.png", levels())
    assert list(find_video(tmp_path, COUTROT, "clip1").numbers) == [1, 2, 3]
    assert find_video(tmp_path, COUTROT, "clip2") is None


def test_jpeg_is_read_grey_whether_saved_grey_or_in_colour(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(10, 240, SIZE[1]).astype(np.uint8), (SIZE[0], 1))
    Image.fromarray(smooth).save(tmp_path / "1.jpg", quality=95)
    Image.fromarray(np.stack([smooth] * 3, axis=-1)).save(tmp_path / "2.jpg", quality=95)
    grey, colour = read(open_folder(tmp_path)).values()
    # JPEG at quality 95, and the conversion of colours
    assert np.abs(grey.numpy().astype(int) - smooth).max() <= 3
    assert (grey.float() - colour.float()).abs().max() <= 2


def test_what_lightning_predict_writes(tmp_path: Path) -> None:
    from lightning_avsp.callbacks.record import MapWriter

    maps = torch.rand(2, 1, *SIZE)
    prediction = {"maps": maps, "corpus": ["AVAD"] * 2, "video_id": ["V1"] * 2, "frame": torch.tensor([1, 2])}
    MapWriter(tmp_path / "maps").write_on_batch_end(None, None, prediction, None, None, 0, 0)
    found = read(find_video(tmp_path / "maps", AVAD, "V1"))
    assert list(found) == [1, 2]
    assert torch.equal(found[2], (maps[1, 0] * 255).round().byte())


@pytest.mark.parametrize(("form", "unit"), [("npz", 1), ("png16", 65535)])
def test_what_avsp_predict_writes(tmp_path: Path, form: str, unit: int) -> None:
    maps = np.random.default_rng(0).random((3, *SIZE)).astype(np.float32)
    (tmp_path / "V1").mkdir()
    spool = MapSpool(tmp_path / "maps.raw", form, SIZE)
    for one in maps:
        spool.append(one)
    spool.write_result(tmp_path / "V1", np.arange(3.0))
    spool.close()
    for other in ("saliency.mp4", "overlay.mp4", "prediction.json"):
        (tmp_path / "V1" / other).write_bytes(b"not read")
    found = read(find_video(tmp_path, AVAD, "V1"))
    assert list(found) == [1, 2, 3]
    assert np.allclose(found[3] / unit, maps[2], rtol=0, atol=HALF)


def test_arrays(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((4, *SIZE))
    np.save(tmp_path / "V1.npy", maps)
    np.savez(tmp_path / "V2.npz", maps.astype(np.float16))
    (tmp_path / "V3").mkdir()
    for number, one in enumerate(maps, start=1):
        np.save(tmp_path / "V3" / f"{number:03d}.npy", (one * 1000).astype(np.uint16))
    assert np.array_equal(read(find_video(tmp_path, AVAD, "V1"), [2, 4])[4], maps[3])
    assert np.allclose(read(find_video(tmp_path, AVAD, "V2"))[1], maps[0], rtol=0, atol=HALF)
    assert read(find_video(tmp_path, AVAD, "V3"))[2].dtype == torch.float32
    assert np.array_equal(read(find_video(tmp_path, AVAD, "V3"))[2], (maps[1] * 1000).astype(np.uint16))


def film(path: Path, count: int, colour: bool = False, pix_fmt: str = "yuv420p") -> np.ndarray:
    """A film of smooth maps; what it should show, uint8 (N, H, W)."""
    import av

    size = (32, 48)
    ramp = np.linspace(20, 220, size[1])[None] * np.linspace(0.5, 1, size[0])[:, None]
    maps = np.stack([np.roll(ramp, 8 * index, axis=1) for index in range(count)]).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        for index, one in enumerate(maps):
            pixels = np.stack([one, one // 4 if colour else one, one], axis=-1)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return maps


def test_programs_that_count_from_0(tmp_path: Path) -> None:
    save(tmp_path / "V1", "{}.png", levels(), first=0)
    with pytest.raises(InputError, match=r"0\.png is numbered 0, .* pass --count_from=0"):
        find_video(tmp_path, AVAD, "V1")
    assert list(find_video(tmp_path, AVAD, "V1", count_from=0).numbers) == [1, 2, 3]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["notes.txt"], r"V1 holds no predictions that can be read \(notes\.txt\)"),
        ([], r"V1 holds no predictions that can be read \(nothing\)"),
        (["preview.png"], r"preview\.png carries no frame number"),
        (["00001.png", "1.jpg"], r"are both of frame 1: remove one"),
    ],
)
def test_folders_that_hold_something_else(tmp_path: Path, names: list[str], message: str) -> None:
    (tmp_path / "V1").mkdir()
    for name in names:
        (tmp_path / "V1" / name).write_bytes(b"")
    with pytest.raises(InputError, match=message):
        open_folder(tmp_path / "V1")


def coloured() -> Image.Image:
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[..., 0] = 200
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda at: coloured().save(at),
            r"00002\.png is in colour \(its channels differ by up to 200 levels\)",
        ),
        (
            lambda at: at.write_bytes(at.read_bytes()[:60]),
            r"00002\.png \(60 bytes\) cannot be read as an image: .*; replace this file",
        ),
        (
            lambda at: Image.fromarray(np.full((*SIZE, 4), 90, np.uint8)).save(at),
            r"00002\.png is partly transparent",
        ),
        (lambda at: np.save(at.rename(at.with_suffix(".npy")), np.zeros((2, *SIZE))), r"shape \(2, 12, 20\)"),
        (
            lambda at: np.save(at.rename(at.with_suffix(".npy")), np.array([["x"]], dtype=object)),
            r"00002\.npy .* cannot be read",
        ),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(save(tmp_path / "V1", "{:05d}.png", levels()) / "00002.png")
    with pytest.raises(InputError, match=message) as caught:
        read(find_video(tmp_path, AVAD, "V1"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("pix_fmt", "unit"), [("yuv420p", 1), ("yuv420p10le", 257)])
def test_videos(tmp_path: Path, pix_fmt: str, unit: int) -> None:
    maps = film(tmp_path / "V1.mp4", 5, pix_fmt=pix_fmt)
    source = find_video(tmp_path, AVAD, "V1")
    assert list(source.numbers) == [1, 2, 3, 4, 5]
    found = read(source, [2, 5])
    assert list(found) == [2, 5]
    assert (found[5].dtype == torch.float32) or unit == 1  # more than 8 bits are kept
    # levels that the conversion to YUV and back rounds away
    assert np.abs(found[5].numpy().astype(float) / unit - maps[4]).max() <= 4
    film(tmp_path / "V2.mp4", 2, colour=True)
    with pytest.raises(InputError, match=r"V2\.mp4, frame 1 is in colour"):
        read(find_video(tmp_path, AVAD, "V2"))


def test_folders_of_splits_and_two_predictions_of_a_video(tmp_path: Path) -> None:
    assert folder_of_split(tmp_path, 2) == tmp_path
    (tmp_path / "split2_results").mkdir()
    assert [folder_of_split(tmp_path, split).name for split in (1, 2)] == [tmp_path.name, "split2_results"]
    save(tmp_path / "V1", "{}.png", levels())
    np.save(tmp_path / "V1.npy", levels())
    with pytest.raises(InputError, match=r"AVAD/V1 is predicted twice, by .*V1 and .*V1\.npy"):
        find_video(tmp_path, AVAD, "V1")


@pytest.mark.parametrize(
    ("sizes", "truth", "message"),
    [
        # what networks of the field write
        *(([size], (480, 640), None) for size in [(112, 112), (56, 96), (480, 640), (64, 128)]),
        ([(32, 64), (32, 60)], (64, 128), r"map of frame 2 is 32 x 60 .*, that of frame 1 is 32 x 64"),
        ([(128, 64)], (64, 128), r"maps are 128 x 64 .*frames are 64 x 128 .*of another video, or rotated"),
        ([(20, 200)], (64, 128), r"maps are 20 x 200"),
        ([(4, 8)], (64, 128), r"maps are 4 x 8 .*too small"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(
    tmp_path: Path,
    entries: list[VideoEntry],
    sizes: list[tuple[int, int]],
    truth: tuple[int, int],
    message: str | None,
) -> None:
    (tmp_path / "V1").mkdir()
    for number, size in enumerate(sizes, start=1):
        np.save(tmp_path / "V1" / f"{number}.npy", np.random.default_rng(number).random(size))
    frames = checked_frames(find_video(tmp_path, AVAD, "V1"), range(1, len(sizes) + 1), entries[0], truth)
    if message is None:
        assert len(list(frames)) == 1
        return
    with pytest.raises(InputError, match=message):
        list(frames)


@pytest.mark.parametrize("highest", [-2.0, 0.0])
def test_logarithms_of_densities_are_named(highest: float, tmp_path: Path, entries: list[VideoEntry]) -> None:
    density = np.random.default_rng(0).random((64, 128))
    (tmp_path / "V1").mkdir()
    np.save(tmp_path / "V1" / "1.npy", np.log(density / density.max()) + highest)
    frames = checked_frames(find_video(tmp_path, AVAD, "V1"), [1], entries[0], (64, 128))
    with pytest.raises(
        InputError, match=rf"V\d_\w+: no value of frame 1 is above {highest:g}.*give the density"
    ):
        list(frames)


def test_broken_archives_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "V1.npz", maps=levels().astype(float))
    data = (tmp_path / "V1.npz").read_bytes()
    (tmp_path / "V1.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"V1\.npz \(\d+ bytes\) cannot be read"):
        find_video(tmp_path, AVAD, "V1")
    np.savez(tmp_path / "V2.npz", a=levels(), b=levels())
    with pytest.raises(InputError, match=re.escape("V2.npz has no array 'maps'; its arrays: a, b")):
        find_video(tmp_path, AVAD, "V2")
    np.save(tmp_path / "V3.npy", levels()[0])
    with pytest.raises(InputError, match=r"V3\.npy holds an array of shape \(12, 20\)"):
        find_video(tmp_path, AVAD, "V3")
    np.save(tmp_path / "V4.npy", levels())
    (tmp_path / "V4.npy").write_bytes((tmp_path / "V4.npy").read_bytes()[:-1])
    with pytest.raises(InputError, match=r"V4\.npy ends within frame 3 of 3"):
        read(find_video(tmp_path, AVAD, "V4"))
