"""`avsp predict`, `view`, `export` and `submit`: what a trained model gives: maps, pages, exports, submissions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lightning_avsp.errors import InputError, require_range
from lightning_avsp.predict.overlay import Look


def predict(
    videos: list[Path],
    checkpoint: Path,
    out: Path,
    caption: str | None = None,
    captions: str | None = None,
    text_model: str | None = None,
    steps: int | None = None,
    stride: int = 1,
    modality: Literal["av", "v", "a"] = "av",
    seed: int = 0,
    format: Literal["npz", "png", "png16"] = "npz",
    batch: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    allow_truncated: bool = False,
    alignment: Literal["clip", "released"] | None = None,
    style: Literal["heat", "contour", "beside"] = "heat",
    colours: str = Look.colours,
    opacity: float = Look.opacity,
) -> None:
    """Predict the saliency of videos: maps, saliency video and overlay video with the original audio.

    OUT receives ``maps.npz`` (or ``maps/000001.png`` and so on), ``saliency.mp4``, ``overlay.mp4`` and
    ``prediction.json``; of several videos each gets a folder of its name in OUT. A folder appears when everything is
    finished; what an interrupted command has predicted stays hidden beside it, and the same command goes on from there.

    Args:
        videos: Videos to predict (mp4, mov, webm, mkv, avi), folders of videos, or patterns in quotes.
        checkpoint: Checkpoint of a training run, or an official DiffSal release.
        out: Folder to write.
        caption: Caption of the whole videos, for a network that reads text.
        captions: Table of captions by frame instead (csv, jsonl, parquet: video, frame, text), or none to go without.
        text_model: Folder or name of the text model, if it is not where it was in training.
        steps: Denoising steps; the checkpoint's own number when not given.
        stride: Predict every n-th frame; maps in between are interpolated.
        modality: Use frames and audio (av), frames only (v) or audio only (a).
        seed: Seed of the noise that maps are sampled from.
        format: One file of half-precision maps (npz), or PNG images of 8 (png) or 16 bits (png16).
        batch: Clips per forward pass, 16 on a GPU and 4 on the CPU by default; changes speed and memory, not results.
        device: auto, cpu, cuda, cuda:1, mps.
        overwrite: Replace another prediction in OUT.
        allow_truncated: Use what can be decoded of a cut or damaged video.
        alignment: Alignment of log-mel slices with a clip; the checkpoint's own when not given.
        style: Heat map over the frames (heat), lines at a quarter, half and three quarters of each map's peak
            (contour), or frames and heat map side by side (beside).
        colours: Matplotlib colour map of the overlay; inferno, viridis and cividis are read by the colour-blind too.
        opacity: Opacity of the heat map where saliency is highest, 0 to 1.
    """
    from lightning_avsp import __version__

    # imported here, as everywhere in this file: `avsp predict --help` need not wait for torch
    from lightning_avsp.media.audio import LogMel
    from lightning_avsp.media.video import open_video
    from lightning_avsp.predict.captions import find_video_captions
    from lightning_avsp.predict.job import Film, describe_prediction, find_videos, predict_films
    from lightning_avsp.predict.writer import PredictionWriter
    from lightning_avsp.tasks.graphs import use_graphs
    from lightning_avsp.tasks.loading import load_model

    # Mistakes in the request are found before the first frame is predicted.
    look = Look(style, colours, opacity)
    require_range(1, stride=stride, batch=batch)
    folders = find_videos(videos, out)
    infos = [open_video(video, allow_truncated=allow_truncated) for video in folders]
    mute = [info for info in infos if info.audio is None]  # before hours of predicting the others
    if modality == "a" and mute:
        raise InputError(f"{mute[0].path} has no audio, which --modality a needs: use --modality v")
    model = load_model(checkpoint, device, steps, seed)
    if alignment is not None:
        audio = model.spec.audio
        if not isinstance(audio, LogMel):
            raise InputError(
                f"--alignment {alignment} concerns log-mel slices, but {checkpoint} reads the waveform: leave it out"
            )
        spec = replace(model.spec, audio=replace(audio, alignment=alignment))
        model = replace(model, spec=spec)
    on_gpu = model.device.type == "cuda"
    texts = find_video_captions(model, list(folders), caption, captions, text_model)
    films = []
    for info, (video, folder), text in zip(infos, folders.items(), texts, strict=True):
        # another state of a file is another request: interrupted work on the old one is not gone on with
        files = {
            str(path.resolve()): [path.stat().st_size, path.stat().st_mtime_ns]
            for path in (checkpoint, video)
        }
        request = {
            "version": __version__,
            "checkpoint": str(checkpoint),
            "files": files,
            "settings": [stride, modality, steps, seed, alignment, None if text is None else text.texts],
        }
        writer = PredictionWriter(
            folder, info, request, model.spec.map_size, format=format, overwrite=overwrite, look=look
        )
        films.append(Film(info, writer, text))
        for line in describe_prediction(info, modality, stride):
            print(line, flush=True)
    if model.network.uses_text and texts[0] is None:
        print("this network reads text, but is given no captions (--captions none)", flush=True)
    if on_gpu:
        print(
            f"{'bfloat16, as it was trained' if model.half else 'float32'}; {use_graphs(model.network)}",
            flush=True,
        )
    with _stopped_by_sigterm():
        predict_films(model, films, stride, modality, batch or (16 if on_gpu else 4))


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM, which batch systems send, like Ctrl-C, so that no partial output is left behind."""
    import signal
    import threading

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def view(
    folders: list[Path],
    out: Path | None = None,
    colours: str = "inferno",
    notes: Path | None = None,
    scores: str | None = None,
    metric: str = "cc",
) -> None:
    """Write a page with the video, the map over it and a curve over time; several models side by side.

    The curve is the maps' entropy, or a score of each frame where the corpus has ground truth (--scores).

    The page is one file that loads nothing from outside: the videos are in it.

    Args:
        folders: Folders that `avsp predict` wrote, of one video.
        out: HTML file to write; view.html in the first folder when not given.
        colours: Matplotlib colour map; cividis is read alike by the colour-blind.
        notes: Text file to show below the curve.
        scores: ..._frames.csv of `avsp evaluate` for these maps; for several models one each, with commas between.
        metric: Score to draw: cc, sim, nss, auc_judd, kld, as far as its protocol has it.
    """
    from lightning_avsp.cli.progress import split_names
    from lightning_avsp.predict.view import write_view

    text = "" if notes is None else notes.read_text(encoding="utf-8")
    tables = [Path(table) for table in split_names(scores or "")]
    path = write_view(folders, out or folders[0] / "view.html", colours, text, tables, metric)
    print(f"written: {path} ({path.stat().st_size:,} bytes)")


def export(checkpoint: Path, out: Path, overwrite: bool = False) -> None:
    """Write a model in the layout of the Hugging Face hub: config.json, model.safetensors and README.md.

    The folder holds tensors and plain settings, no code; `avsp predict --checkpoint OUT` and `lightning_avsp.load` read
    it.

    Args:
        checkpoint: Checkpoint of a training run, or an official DiffSal release.
        out: Folder to write.
        overwrite: Replace an earlier export in OUT.
    """
    from lightning_avsp.tasks.export import export_model

    for path in export_model(checkpoint, out, overwrite=overwrite):
        print(f"written: {path} ({path.stat().st_size:,} bytes)")


def crowdsal(
    checkpoint: Path,
    root: Path,
    out: Path,
    subset: Literal["public_test", "private_test", "both"] = "both",
    steps: int | None = None,
    seed: int = 0,
    batch: int | None = None,
    device: str = "auto",
) -> None:
    """Write one saliency video for each test clip of the NTIRE 2026 challenge (CrowdSAL), with its number of frames.

    Clips that are there already are kept: the same command goes on where it was stopped. The challenge's own score of
    the folder, where the ground truth is there: avsp evaluate OUT --root ROOT --corpus CrowdSAL --protocol ntire26.

    Args:
        checkpoint: Checkpoint of a training run, exported folder, or an official DiffSal release.
        root: Folder that holds CrowdSAL: Videos and TrainTestSplit.json.
        out: Folder to write, or a .zip file that holds the videos.
        subset: Test clips to predict.
        steps: Denoising steps; the checkpoint's own number when not given.
        seed: Seed of the noise that maps are sampled from.
        batch: Clips per forward pass, 16 on a GPU and 4 on the CPU by default.
        device: auto, cpu, cuda, cuda:1, mps.
    """
    from lightning_avsp.predict.submission import submit_crowdsal
    from lightning_avsp.tasks.loading import load_model

    model = load_model(checkpoint, device, steps, seed)
    subsets = ("public_test", "private_test") if subset == "both" else (subset,)
    batch = batch or (16 if model.device.type == "cuda" else 4)
    written = submit_crowdsal(model, root, out, subsets, batch, lambda line: print(line, flush=True))
    print(f"{len(written)} videos, each with the frames of its clip: {out}")
