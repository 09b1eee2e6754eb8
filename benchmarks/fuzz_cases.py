"""Generators of odd and damaged inputs for fuzz_inputs.py: media, tables, images, weights, records and caches.

A kind is a generator: from a random generator and an empty folder it makes a file and returns the reader with a check
of its result. A new kind is one more entry of ``KINDS``.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass
class Case:
    """One generated input."""

    path: Path
    read: Callable[[], Any]
    wrong: Callable[[Any], str | None] = lambda _: None
    """Describes a wrong result; None for a right one, and for damage that nothing can show."""
    must_read: bool = False
    """True if refusing it is wrong too."""
    names: tuple[str, ...] = ()
    """Names of which a refusal must hold one, where it is not that of the path."""


def film(rng: np.random.Generator, path: Path, frames: int, times: list[int], sound: dict[str, Any]) -> None:
    """Write a video whose frame i has grey level 40 + 9 i in its left half."""
    import av

    height, width = (int(2 * rng.integers(16, 40)) for _ in range(2))
    coarse = "mpeg4" if len(set(np.diff(times))) == 1 else "libx264"  # MPEG-4 counts frames, not milliseconds
    codec = {".avi": "mpeg4", ".webm": "libvpx-vp9"}.get(path.suffix, str(rng.choice(["libx264", coarse])))
    index_first = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(f"file:{path}", "w", options=index_first) as out:
        video = out.add_stream(codec, rate=25)
        video.height, video.width, video.pix_fmt = height, width, "yuv420p"
        video.options = {"g": str(rng.integers(1, 30))} | ({"cpu-used": "8"} if codec == "libvpx-vp9" else {})
        if codec != "mpeg4":
            video.codec_context.time_base = Fraction(1, 1000)
        track = out.add_stream(**sound) if sound else None
        for index, at in enumerate(times[:frames]):
            picture = np.full((height, width, 3), 120, np.uint8)
            picture[:, : width // 2] = 40 + 9 * index
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if track is not None:
            wave = np.full((len(track.layout.channels), int(times[-1] * track.rate / 1000)), 0.25, np.float32)
            block = av.AudioFrame.from_ndarray(wave, "fltp", track.layout.name)
            block.sample_rate, block.time_base, block.pts = track.rate, Fraction(1, track.rate), 0
            fit = av.AudioResampler(
                track.format.name, track.layout.name, track.rate, track.codec_context.frame_size
            )
            for each in [*fit.resample(block), *fit.resample(None)]:
                out.mux(track.encode(each))
            out.mux(track.encode(None))


def media(rng: np.random.Generator, folder: Path) -> Case:
    """A video with an odd name, clock, sound or orientation; two thirds of them damaged."""
    from lightning_avsp.media.audio_track import audio_blocks
    from lightning_avsp.media.video import iterate_frames, open_video

    suffix = str(rng.choice([".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts"]))
    path = folder / (str(rng.choice(["film", "a b", "10:30:00", "Łódź", "100%d", "-x", "#1"])) + suffix)
    frames = int(rng.integers(4, 24))
    even = suffix in (".avi", ".webm") or rng.random() < 0.7
    steps = 40 * np.ones(frames) if even else rng.integers(20, 400, frames)
    times = [int(at) for at in np.concatenate([[0], np.cumsum(steps)])]
    codec = {".webm": "libopus", ".avi": "mp3"}.get(suffix, "aac")
    layout = str(rng.choice(["mono", "stereo", "5.1"] if codec == "aac" else ["mono", "stereo"]))
    sound = {} if rng.random() < 0.3 else {"codec_name": codec, "rate": 48_000, "layout": layout}
    film(rng, path, frames, times, sound)
    data = bytearray(path.read_bytes())
    kind = str(rng.choice(["whole", "whole", "cut", "index", "payload", "text"]))
    held = data.find(b"mdat") if suffix in (".mp4", ".mov") else min(400, len(data) // 4)
    if kind == "cut":
        data = data[: int(len(data) * rng.uniform(0.05, 0.98))]
    elif kind == "index":
        for place in rng.integers(8, max(9, held), int(rng.integers(1, 5))):
            data[place] = int(rng.integers(256))
    elif kind == "payload":
        for place in rng.integers(held, len(data), int(rng.integers(1, 20))):
            data[place] = int(rng.integers(256))
    elif kind == "text":
        inner = folder / "inner.ts"
        shutil.move(path, inner)
        lists = ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n{}\n", "{}"]
        data = bytearray(str(rng.choice(lists)).format(inner), "utf-8")
    path.write_bytes(bytes(data))
    tolerant = bool(rng.random() < 0.3)

    def read() -> list[int]:
        info = open_video(path, allow_truncated=tolerant)
        shown = [round((one.pixels[:, : info.width // 4].mean() - 40) / 9) for one in iterate_frames(info)]
        if info.audio is not None:
            for _ in audio_blocks(info, mono=True, rate=16_000, align=True):
                pass
        return shown

    def wrong(shown: list[int]) -> str | None:
        if kind == "text":
            return "a list of other files was read"
        if (tolerant and kind != "whole") or kind == "payload":
            return None
        return None if shown == list(range(frames)) else f"{kind} {suffix}: frames {shown} of {frames}"

    return Case(path, read, wrong, must_read=kind == "whole")


def table(rng: np.random.Generator, folder: Path) -> Case:
    """A table of gaze in any dress; a third of them damaged."""
    from lightning_avsp.curation.importing.gaze import read_gaze
    from lightning_avsp.curation.importing.settings import Columns, ImportSettings, MapSettings

    rows, digits = int(rng.integers(30, 90)), int(rng.integers(0, 3))
    pairs = [[",", "."], [";", "."], [";", ","], ["\t", ","], ["|", "."], ["\t", "."]]
    mark, decimal = map(str, rng.choice(pairs))
    grouped = bool(rng.random() < 0.3)
    values = {
        "time": np.arange(rows) * 4.0,
        "x": np.round(np.cumsum(rng.normal(0, 30, rows)) + 1000, digits),  # crosses the first thousand
        "y": np.round(rng.uniform(100, 999, rows), digits),
    }
    lost = rng.random(rows) < 0.1

    def cell(value: float, gone: bool = False) -> str:
        if gone:
            return str(rng.choice(["", "NA", ".", "nan"]))
        text = f"{value:,.{digits}f}" if grouped else f"{value:.{digits}f}"
        if decimal == ",":
            text = text.translate(str.maketrans(".,", ",."))
        return f'"{text}"' if mark in text or rng.random() < 0.2 else text

    header = list(rng.permutation(["time", "x", "y", "pupil"]))
    cells = {
        name: [cell(v, name == "x" and bool(gone)) for v, gone in zip(values[name], lost, strict=True)]
        for name in values
    }
    cells["pupil"] = ["3"] * rows
    lines = [mark.join(header), *(mark.join(cells[name][row] for name in header) for row in range(rows))]
    end = mark if rng.random() < 0.2 else ""
    text = str(rng.choice(["\n", "\r\n", "\r"])).join(line + end for line in lines)
    text = (f"sep={mark}\n" if rng.random() < 0.1 else "# comment\n" if rng.random() < 0.1 else "") + text
    data = bytearray(text, str(rng.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])))
    damaged = bool(rng.random() < 0.33)
    for place in rng.integers(0, len(data), int(rng.integers(1, 9)) if damaged else 0):
        data[place] = int(rng.integers(256))
    path = folder / "gaze.csv"
    path.write_bytes(bytes(data))
    # without digits behind it, a grouping sign cannot be told from a decimal one
    given = {"decimal": decimal} if grouped and not digits else {}
    settings = ImportSettings(columns=Columns(observer="", valid="", **given), maps=MapSettings(sigma=20.0))

    def wrong(found: Any) -> str | None:
        if damaged:
            return None
        wanted = {**values, "x": np.where(lost, np.nan, values["x"])}
        pairs = {name: (found.samples[name], values) for name, values in wanted.items()}
        off = [name for name, pair in pairs.items() if not np.array_equal(*pair, equal_nan=True)]
        return f"columns {off} are not what was written" if off else None

    return Case(path, lambda: read_gaze(path, settings), wrong, must_read=not damaged)


def picture(rng: np.random.Generator, folder: Path) -> Case:
    """A map as an image of any type and orientation; a third of them damaged."""
    from PIL import Image

    from lightning_avsp.media.images import read_grey

    grey = (rng.integers(0, 6, (int(rng.integers(2, 30)), int(rng.integers(2, 30)))) * 51).astype(np.uint8)
    kind = str(rng.choice(["L", "RGB", "RGBA", "LA", "P", "16", "float", "1", "CMYK", "I"]))
    image = {
        "16": lambda: Image.fromarray(grey.astype(np.uint16) * 257),
        "float": lambda: Image.fromarray((grey / 255).astype(np.float32)),
        "1": lambda: Image.fromarray(grey > 127),
        "I": lambda: Image.fromarray(grey.astype(np.int32) * 257),
    }.get(kind, lambda: Image.fromarray(grey).convert(kind))()
    path = folder / ("map.tif" if kind in ("float", "CMYK", "I") else f"map.{rng.choice(['png', 'jpg'])}")
    orientation, turn = Image.Exif(), int(rng.integers(1, 9))
    orientation[274] = turn
    image.save(path, "TIFF" if path.suffix == ".tif" else "PNG", exif=orientation)
    damaged = bool(rng.random() < 0.33)
    mutate(rng, path, damaged)
    stored = (grey > 127) * 255 if kind == "1" else grey
    flipped = stored[::-1] if turn in (3, 4, 6, 7) else stored  # EXIF 2.3, table of orientations
    mirrored = flipped[:, ::-1] if turn in (2, 3, 7, 8) else flipped
    expected = mirrored.T if turn > 4 else mirrored

    def wrong(found: np.ndarray) -> str | None:
        right = damaged or np.array_equal(found, expected)
        return None if right else f"{kind}: other values than were written"

    readable = not damaged and kind not in ("CMYK", "I")
    return Case(path, lambda: read_grey(path, deep=False), wrong, must_read=readable)


def matrix(rng: np.random.Generator, folder: Path) -> Case:
    """Fixations as a matrix of any type; half of them damaged."""
    from scipy import sparse
    from scipy.io import savemat

    from lightning_avsp.media.matrices import read_matrix

    fixated = rng.random((int(rng.integers(1, 40)), int(rng.integers(1, 40)))) < 0.1
    kind = str(rng.choice(["bool", "uint8", "float64", "sparse", "complex", "cell", "nan"]))
    path = folder / "fixMap_00001.mat"
    content: Any = {
        "sparse": lambda: sparse.csc_matrix(fixated.astype(float)),
        "complex": lambda: fixated * 1j,
        "cell": lambda: np.array([[fixated, 1]], object),
        "nan": lambda: np.full(fixated.shape, np.nan),
    }.get(kind, lambda: fixated.astype(kind))()
    savemat(path, {"eyeMap": content}, do_compression=bool(rng.random() < 0.7))
    damaged = bool(rng.random() < 0.5)
    mutate(rng, path, damaged)

    def wrong(found: np.ndarray) -> str | None:
        right = damaged or np.array_equal(found != 0, fixated)
        return None if right else f"{kind}: other points than were written"

    plain = kind in ("bool", "uint8", "float64", "sparse")
    return Case(path, lambda: read_matrix(path, "eyeMap"), wrong, must_read=plain and not damaged)


def wave(rng: np.random.Generator, folder: Path) -> Case:
    """A WAV file with odd values, rate or header."""
    import soundfile

    from lightning_avsp.media.audio_track import load_audio

    samples = rng.uniform(-0.5, 0.5, (int(rng.integers(1, 3000)), int(rng.integers(1, 3)))).astype(np.float32)
    kind = str(rng.choice(["whole", "nan", "rate", "damaged"]))
    if kind == "nan":
        samples[int(rng.integers(len(samples)))] = rng.choice([np.nan, np.inf, -np.inf])
    path = folder / "sound.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    data = bytearray(path.read_bytes())
    if kind == "rate":
        place = data.find(b"fmt ") + 12
        data[place : place + 4] = struct.pack("<I", int(rng.choice([0, 1, 7, 2**31, 2**32 - 1])))
        path.write_bytes(bytes(data))
    mutate(rng, path, kind == "damaged")

    def wrong(found: tuple[Any, int]) -> str | None:
        if kind in ("nan", "rate"):
            return f"{kind} was read"
        if kind == "damaged" or np.array_equal(found[0].numpy(), samples.T):
            return None
        return f"other samples than were written, mean {found[0].mean():g}"

    return Case(path, lambda: load_audio(path), wrong, must_read=kind == "whole")


def checkpoint(rng: np.random.Generator, folder: Path) -> Case:
    """A small checkpoint, or its content with values of other kinds in it; half of the files damaged."""
    from lightning_avsp.diffusion import Sampling
    from lightning_avsp.input_spec import InputSpec
    from lightning_avsp.media.audio import LogMel
    from lightning_avsp.papers.diffsal import DiffSal
    from lightning_avsp.structures import ClipPolicy
    from lightning_avsp.tasks.loading import INPUT_KEY, load_model

    arguments: dict[str, Any] = {"video_encoder": "tiny", "audio_encoder": "tiny", "modality": "v"}
    spec = InputSpec((64, 96), (64, 96), ClipPolicy(), LogMel(size=(16, 32)))
    content: dict[str, Any] = {
        "pytorch-lightning_version": "2",
        "state_dict": {f"network.{name}": each for name, each in DiffSal(**arguments).state_dict().items()},
        "hyper_parameters": {
            "network": {"class_path": "lightning_avsp.papers.diffsal.DiffSal", "init_args": arguments},
            "sampling": {"steps": 2},
            "diffusion": {"class_path": "lightning_avsp.diffusion.GaussianDiffusion", "init_args": {}},
            "seed": 0,
        },
        INPUT_KEY: spec.as_plain(),
    }
    damaged, changed = bool(rng.random() < 0.5), bool(rng.random() < 0.7)
    code = {"class_path": "os.system"}
    odd = [None, -1, 10**12, float("nan"), "os.system", [], {}, code, [[[1]]], torch.zeros(2)]
    tables: list[dict[Any, Any]] = [content]
    for table_ in tables:
        tables += [value for value in table_.values() if isinstance(value, dict)]
    for _ in range(int(rng.integers(1, 3)) if changed else 0):
        table_ = tables[int(rng.integers(len(tables)))]
        names = [*table_, "odd"]
        table_[names[int(rng.integers(len(names)))]] = odd[int(rng.integers(len(odd)))]
    path = folder / "last.ckpt"
    torch.save(content, path)
    mutate(rng, path, damaged)

    def wrong(found: Any) -> str | None:
        return None if isinstance(found.sampling, Sampling) else "a model without its sampling"

    return Case(path, lambda: load_model(path), wrong, must_read=not damaged and not changed)


def weights(rng: np.random.Generator, folder: Path) -> Case:
    """A weight file of either of torch's formats; most of them damaged."""
    from lightning_avsp.backbones.weights import read_state_dict

    damaged = bool(rng.random() < 0.8)
    path = folder / "encoder.pth"
    zipped = bool(rng.random() < 0.5)
    torch.save({"module.a": torch.rand(3, 4), "epoch": 3}, path, _use_new_zipfile_serialization=zipped)
    mutate(rng, path, damaged)
    return Case(path, lambda: read_state_dict(path), must_read=not damaged)


def record(rng: np.random.Generator, folder: Path) -> Case:
    """Records of a run and results, as JSON and YAML: damaged, nested without end, or of other kinds."""
    from lightning_avsp.evaluation.audit.leaks import audit_leaks
    from lightning_avsp.report.results import read_all_results
    from lightning_avsp.run_folder import read_run_json

    deep = "[" * int(rng.integers(1, 100_000))
    texts = [
        '{"finished": true, "videos": {"train": [["AVAD", "V1"]]}}',
        '{"videos": [{"corpus": "AVAD", "video": "V1", "frames": 3, "cc": 0.5}], "averages": {"test/cc": 0.5}}',
        deep,
        '{"videos": ' + deep,
        "null",
        '["a"]',
        '{"videos": 3, "seed": "x", "leaks": 5}',
        "{a: &x [*x, *x], b: !!python/object/apply:os.getcwd []}",
    ]
    names = ("run.json", "config.yaml", "results/test.json")
    (folder / "results").mkdir()
    for name in names:
        (folder / name).write_text(str(rng.choice(texts)))
        mutate(rng, folder / name, bool(rng.random() < 0.5))
    path = folder / names[0]

    def read_all() -> None:
        if rng.random() < 0.3:
            read_run_json(path)
        elif rng.random() < 0.5:
            list(read_all_results(folder))
        else:
            audit_leaks([folder])

    return Case(path, read_all, names=("run.json", "config.yaml", "test.json", folder.name))


def arrays(rng: np.random.Generator, folder: Path) -> Case:
    """A file of arrays, as caches are; most of them damaged."""
    from lightning_avsp.array_file import ArrayFile, ArrayWriter

    path = folder / "cache.arrays"
    values = rng.random((int(rng.integers(1, 20)), 3))
    with path.open("wb") as stream:
        writer = ArrayWriter(stream)
        writer.array("a", values)
        writer.blobs("b", [b"one", b"", b"three"])
        writer.finish({"kind": "fuzz"})
    damaged = bool(rng.random() < 0.8)
    mutate(rng, path, damaged)

    def read_all() -> np.ndarray:
        found = ArrayFile(path)
        bytes(found.blob("b", 2))
        return np.array(found.array("a"))

    def wrong(found: np.ndarray) -> str | None:
        return None if damaged or np.array_equal(found, values) else "other values than were written"

    return Case(path, read_all, wrong, must_read=not damaged)


def mutate(rng: np.random.Generator, path: Path, damaged: bool) -> None:
    """Change, cut or repeat bytes of a file."""
    data = bytearray(path.read_bytes())
    if not damaged:
        return
    if rng.random() < 0.3:
        data = data[: int(rng.integers(0, len(data)))]
    for place in rng.integers(0, max(1, len(data)), int(rng.integers(1, 12))):
        if data:
            data[place] = int(rng.integers(256))
    path.write_bytes(bytes(data))


KINDS: dict[str, tuple[Callable[[np.random.Generator, Path], Case], int]] = {
    "media": (media, 240),
    "table": (table, 150),
    "picture": (picture, 60),
    "matrix": (matrix, 60),
    "wave": (wave, 60),
    "checkpoint": (checkpoint, 160),
    "weights": (weights, 80),
    "record": (record, 120),
    "arrays": (arrays, 80),
}
"""Generators, and the cases of each in a full run."""
