"""The suite in Python: load a model, predict a video, score maps."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_avsp.errors import InputError, MissingDependencyError
from lightning_avsp.evaluation.evaluate import Evaluation, SplitName, evaluate_predictions
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.media.audio_track import check_audio
from lightning_avsp.media.mp4_writer import Mp4Writer
from lightning_avsp.media.video import VideoInfo, open_video
from lightning_avsp.predict.captions import find_video_captions
from lightning_avsp.predict.maps import MapFormat, MapSpool
from lightning_avsp.predict.overlay import Look, Style
from lightning_avsp.predict.predictor import Modality, PredictionReport, predict_video
from lightning_avsp.predict.writer import frames_with_maps, to_levels
from lightning_avsp.tasks.loading import EXPORTED, LoadedModel, load_model

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Prediction:
    """The maps of a video.

    Examples:
        >>> maps = avsp.load("best.ckpt").predict("video.mp4", stride=4)
        >>> maps.frames[:3], maps.maps.shape, maps.maps.dtype
        (array([1, 2, 3]), (12, 64, 96), dtype('float16'))
        >>> maps.save("saliency").name, maps.overlay("overlay.mp4").name
        ('saliency', 'overlay.mp4')
    """

    video: VideoInfo
    """The video."""
    frames: np.ndarray
    """Frame numbers from 1, int64 (N,)."""
    times: np.ndarray
    """Seconds after the first frame, float64 (N,)."""
    maps: np.ndarray
    """Saliency in [0, 1], float16 (N, H, W), in the size that the network predicts; mapped from disk, so that a long
    video takes no memory."""
    used: str
    """Modalities that the maps depend on, e.g. ``av``."""

    def save(self, folder: Path | str, format: MapFormat = "npz") -> Path:
        """Write the maps as ``avsp predict`` does: ``maps.npz``, or ``maps/000001.png`` and so on.

        Args:
            folder: Folder to write into; made if it is missing.
            format: One file of half-precision maps (``npz``), or PNG images of 8 (``png``) or 16 bits (``png16``).

        Returns:
            The folder.

        Raises:
            InputError: If there are maps already.
        """
        folder = Path(folder)
        target = folder / ("maps.npz" if format == "npz" else "maps")
        if target.exists():
            raise InputError(f"{target} exists: remove it, or give another folder")
        folder.mkdir(parents=True, exist_ok=True)
        # inside the folder: only within one file system a rename puts all maps there at once
        with tempfile.TemporaryDirectory(prefix=".maps.", dir=folder) as partial:
            spool = MapSpool(Path(partial) / "raw", format, self.maps.shape[1:])
            for saliency in self.maps:
                spool.append(saliency.astype(np.float32))
            spool.write_result(Path(partial), self.times)
            spool.close()
            (Path(partial) / target.name).rename(target)
        return folder

    def overlay(
        self,
        path: Path | str,
        style: Style = Look.style,
        colours: str = Look.colours,
        opacity: float = Look.opacity,
    ) -> Path:
        """Write the video with the maps over its frames and its own audio, as mp4.

        Args:
            path: File to write.
            style: Heat map over the frames (``heat``), lines around it (``contour``), or side by side (``beside``).
            colours: Name of a matplotlib colour map; ``inferno``, ``viridis`` and ``cividis`` are read by the
                colour-blind too.
            opacity: Opacity of the heat map where saliency is 1.

        Returns:
            The file.
        """
        path, look = Path(path), Look(style, colours, opacity)
        # under its own name a file is always whole
        partial = path.with_name(f".{path.name}.partial")
        try:
            with Mp4Writer(partial, look.resized(self.video)) as writer:
                for pts, frame, saliency in frames_with_maps(self.video, self.maps):
                    writer.write(look.draw(frame, to_levels(saliency, frame.shape[:2])), pts)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return partial.replace(path)


@dataclass(frozen=True)
class Model:
    """A trained network, ready to predict; made by :func:`load`.

    Examples:
        >>> model = avsp.load("best.ckpt")
        >>> type(model.loaded.network).__name__, model.loaded.spec.size
        ('DiffSal', (64, 96))
    """

    loaded: LoadedModel
    """Network, input specification and sampling."""

    def predict(
        self,
        video: Path | str,
        *,
        stride: int = 1,
        modality: Modality = "av",
        caption: str | None = None,
        captions: str | None = None,
        batch: int = 4,
    ) -> Prediction:
        """Predict a map for every frame of a video.

        Args:
            video: Path of the video.
            stride: Predict every ``stride``-th frame and the last; maps in between are interpolated.
            modality: Use frames and audio (``av``), frames only (``v``) or audio only (``a``).
            caption: Caption of the whole video, for a network that reads text.
            captions: Table of captions by frame instead, or ``none``.
            batch: Clips per forward pass; changes speed and memory, not results.

        Raises:
            InputError: If the video cannot be read to its end, or an option does not fit the network.
        """
        info = open_video(video)
        (texts,) = find_video_captions(self.loaded, [info.path], caption, captions)
        # before the frames, so that damage is not found after hours
        if modality != "v":
            check_audio(info)
        report = PredictionReport()
        # POSIX keeps the mapped file until the last array that shows it is gone
        with tempfile.TemporaryDirectory(prefix="avsp.") as folder:
            # on disk: an hour of maps would fill the memory
            spool = MapSpool(Path(folder) / "maps.raw", "npz", self.loaded.spec.map_size)
            predicted = predict_video(
                self.loaded,
                info,
                stride=stride,
                modality=modality,
                captions=texts,
                batch=batch,
                report=report,
            )
            for _, saliency in predicted:
                spool.append(saliency)
            if report.damage:
                raise InputError(f"{report.damage}; `avsp predict` keeps the frames before it")
            maps = spool.mapped()
            spool.close()
        return Prediction(info, np.arange(1, len(maps) + 1), np.array(report.times), maps, report.used)


def load(
    path: Path | str, *, device: str = "auto", steps: int | None = None, seed: int | None = None
) -> Model:
    """Load a trained model.

    Examples:
        >>> model = avsp.load("exported")  # written by `avsp export best.ckpt --out exported`
        >>> model.loaded.source
        'trained DiffSal'

    Args:
        path: Checkpoint of a training run, folder that ``avsp export`` wrote, official DiffSal file, or the name of an
            exported model on the Hugging Face hub, ``owner/name``.
        device: ``auto``, ``cpu``, ``cuda``, ...
        steps: Denoising steps; the model's own number when None.
        seed: Seed of the noise; the model's own when None.

    Raises:
        InputError: If there is no such model, or the file is of another kind.
    """
    path = Path(path)
    # runs/bst.ckpt is a misspelt path, not a name of the hub
    if not path.exists() and _HUB_NAME.fullmatch(str(path)) and not path.suffix:
        path = _download(str(path))
    return Model(load_model(path, device, steps, seed))


def evaluate(
    predictions: Path | str,
    *,
    root: Path | str,
    corpus: str | Sequence[str] = "AVAD",
    protocol: str = "stavis",
    split: SplitName = "1",
    workers: int = 1,
) -> Evaluation:
    """Score a folder of maps that any program made, as ``avsp evaluate`` does.

    Examples:
        >>> scores = avsp.evaluate("maps", root="data", corpus="AVAD", protocol="plain")
        >>> sorted(scores.corpora["AVAD"].metrics)[:3]
        ['auc_judd', 'cc', 'kld']
        >>> 0 < scores.corpora["AVAD"].metrics["sim"].mean < 1
        True

    Args:
        predictions: Folder with ``<corpus>/<video>`` or ``<video>``: images, arrays or videos of maps.
        root: Root of the corpora.
        corpus: Corpus, or several.
        protocol: ``stavis``, ``vinet``, ``dhf1k``, ``ntire26`` or ``plain``.
        split: Number of the test list, or ``all``.
        workers: Processes. More than one needs a script with an ``if __name__ == "__main__"`` guard.

    Raises:
        InputError: If predictions are missing or broken, or the corpus is not there.
    """
    corpora = [corpus] if isinstance(corpus, str) else list(corpus)
    return evaluate_predictions(
        Path(predictions), Path(root), corpora, find_protocol(protocol), split, workers=workers
    )


def _download(name: str) -> Path:
    """Download an exported model from the Hugging Face hub, or find it in its cache."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is no file here; to look for it on the Hugging Face hub: pip install huggingface_hub"
        ) from error
    try:
        # a repository may hold much else
        return Path(snapshot_download(name, allow_patterns=list(EXPORTED)))
    except Exception as error:  # offline, missing and private models each raise their own
        raise InputError(
            f"{name} is neither a file or folder here nor a model of the Hugging Face hub that can be reached "
            f"({type(error).__name__}): check the path, or the network"
        ) from error
