"""``avsp predict``: saliency of any film with sound, from a trained checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lightning_avsp.errors import InputError


def predict(
    video: Path,
    checkpoint: Path,
    out: Path,
    steps: int | None = None,
    stride: int = 1,
    modality: Literal["av", "v", "a"] = "av",
    seed: int = 0,
    format: Literal["npz", "png", "png16"] = "npz",
    batch: int = 4,
    device: str = "auto",
    overwrite: bool = False,
    allow_truncated: bool = False,
    alignment: Literal["clip", "released"] | None = None,
    colours: str = "turbo",
    opacity: float = 0.7,
) -> None:
    """Predict where people look in a film: maps, saliency film and overlay film with the original sound.

    OUT receives ``maps.npz`` (or ``maps/000001.png`` and so on), ``saliency.mp4``, ``overlay.mp4`` and
    ``prediction.json``. It appears when everything is finished; on an error nothing is left behind.

    Args:
        video: Film to predict: mp4, mov, webm, mkv, avi.
        checkpoint: Checkpoint of a training run, or an official DiffSal release.
        out: Folder to write.
        steps: Denoising steps; the checkpoint's own number when not given.
        stride: Predict every n-th frame; maps in between are interpolated.
        modality: Use picture and sound (av), picture only (v) or sound only (a).
        seed: Start of the noise that maps are drawn from.
        format: One file of half-precision maps (npz), or PNG pictures of 8 (png) or 16 bits (png16).
        batch: Clips per forward pass; changes speed and memory, not results.
        device: auto, cpu, cuda, cuda:1, mps.
        overwrite: Replace an earlier prediction in OUT.
        allow_truncated: Use what can be decoded of a cut or damaged film.
        alignment: How log-mel slices are laid on a clip; the checkpoint's own way when not given.
        colours: Matplotlib colour map of the overlay.
        opacity: Opacity of the overlay where saliency is highest, 0 to 1.
    """
    from lightning_avsp.media.video import open_film
    from lightning_avsp.predict.job import FilmJob, describe, pick_device
    from lightning_avsp.predict.overlay import colour_table
    from lightning_avsp.predict.writer import check_out
    from lightning_avsp.tasks.loading import load_model

    video, checkpoint, out = Path(video), Path(checkpoint), Path(out)
    # Everything that can be wrong with the request is found before the first frame is predicted.
    if not 0 <= opacity <= 1:
        raise InputError(f"opacity is {opacity}: give a number from 0 to 1")
    if stride < 1 or batch < 1:
        raise InputError(f"stride={stride} and batch={batch} must both be at least 1")
    colour_table(colours)
    check_out(out, overwrite)
    film = open_film(video, allow_truncated=allow_truncated)
    if modality == "a" and film.sound is None:
        raise InputError(f"{video} has no sound track, which --modality a needs: use --modality v")
    chosen = pick_device(device)
    model = load_model(checkpoint)
    if steps is not None:
        model = replace(model, sampling=replace(model.sampling, steps=steps))
    if alignment is not None:
        from lightning_avsp.media.audio import LogMel

        if not isinstance(model.audio, LogMel):
            raise InputError(
                f"--alignment {alignment} is about log-mel slices, but {checkpoint} reads the waveform: leave it out"
            )
        model = replace(model, audio=replace(model.audio, alignment=alignment))
    model.sampling.timesteps(model.diffusion)  # refuses more steps than the process has

    for line in describe(film, modality, stride):
        print(line, flush=True)
    job = FilmJob(film, model, stride, modality, seed, batch, chosen)
    request = {"checkpoint": str(checkpoint), "format": format, "colours": colours, "opacity": opacity}
    with _stopped_by_sigterm():
        seconds = job.run(out, format, overwrite, colours, opacity, request)
    if film.sound is not None and modality == "av" and job.report.used != "av":
        print("this network has no audio encoder: the sound had no part in the maps")
    print(
        f"{job.done} frames in {seconds:.1f} s ({job.done / seconds:.1f} frames/s on {chosen}): "
        f"maps, saliency.mp4, overlay.mp4 and prediction.json are in {out}"
    )


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM, which batch systems send, like Ctrl-C, so that no partial output stays behind."""
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
