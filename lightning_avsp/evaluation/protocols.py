"""Protocols: settings that must agree before two tables of numbers can be compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.prepare import Resize, Step, prepare_maps
from lightning_avsp.metrics.degenerate import DegeneratePolicy
from lightning_avsp.metrics.functional.scores import MetricName

Averaging: TypeAlias = Literal["pooled", "split_means"]
"""Over several splits: one mean over the videos of all test lists, or the mean of each split's mean."""

Negatives: TypeAlias = Literal["video", "corpus"]
"""Other fixations of the shuffled AUC: of all frames of the same video without the current frame's, or of ten
frames of other videos of the corpus, sampled once per video and scaled to its size."""

ProtocolName: TypeAlias = Literal["stavis", "vinet", "dhf1k", "ntire26", "plain"]


@dataclass(frozen=True)
class Protocol:
    """Rules by which predictions are scored. Every mean is over frames first, then over videos."""

    name: str
    """Name in results."""
    source: str
    """Published evaluation that it follows, and deviations."""
    metrics: tuple[MetricName, ...]
    """Metrics of every frame."""
    steps: tuple[Step, ...]
    """Preparation of a prediction, in order; see :mod:`lightning_avsp.evaluation.prepare`."""
    resize: Resize = "bicubic"
    """Interpolation of a prediction to the ground truth's size."""
    blur_sigma: float = 0.0
    """Deviation of the Gaussian, in pixels of the map at that step."""
    blur_size: int = 0
    """Width of its window in pixels, odd."""
    blur_border: Literal["symmetric", "reflect"] = "symmetric"
    """Mirrored border with the edge pixel repeated (MATLAB), or not (OpenCV)."""
    first_frame: int = 1
    """First frame that is scored, counted from 1; the last one is the list's."""
    averaging: Averaging = "pooled"
    """Over several splits; a corpus with a single list is always averaged over its splits' means."""
    policy: DegeneratePolicy = "field"
    """Treatment of degenerate frames in averages."""
    formulas: Literal["mit", "ntire26"] = "mit"
    """Definitions of the MIT benchmark, or those of the NTIRE 2026 challenge."""
    repeats: bool = False
    """True if a pixel fixated n times counts n times."""
    negatives: Negatives = "video"
    """Source of the other fixations of the shuffled AUC."""

    def prepare(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Prepare predictions (B, H, W) for scoring: float64 (B, size[0], size[1])."""
        return prepare_maps(
            maps,
            size,
            self.steps,
            resize=self.resize,
            blur_sigma=self.blur_sigma,
            blur_size=self.blur_size,
            blur_border=self.blur_border,
        )

    def as_plain(self) -> dict[str, Any]:
        """Return every setting, for results."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


_AUDIO_VISUAL: tuple[MetricName, ...] = ("cc", "sim", "nss", "auc_judd", "auc_shuffled")

_ENTRIES = (
    Protocol(
        name="stavis",
        source=(
            "the evaluation of STAViS (Tsiami et al., CVPR 2020), with which audio-visual results are "
            "published; ties of AUC-Judd and splits of sAUC in expectation instead of at random; JPEG coding of "
            "predictions is not imitated"
        ),
        metrics=_AUDIO_VISUAL,
        steps=("levels", "range", "blur", "resize"),
        blur_sigma=2.0,
        blur_size=13,
        first_frame=9,  # its clips of 16 frames predict their ninth: frames 1 to 8 never get a prediction
    ),
    Protocol(
        name="vinet",
        source=(
            "the evaluation of ViNet (Jain et al., IROS 2021): bilinear to the ground truth's size, Gaussian "
            "there, 8-bit levels; without its JPEG coding, its zeros for frames that were not predicted, and "
            "the fixations that it keeps from earlier videos"
        ),
        metrics=_AUDIO_VISUAL,
        steps=("resize", "blur", "levels"),
        resize="bilinear",
        blur_sigma=2.0,
        blur_size=11,
        blur_border="reflect",
    ),
    Protocol(
        name="dhf1k",
        source=(
            "the evaluation of DHF1K (Wang et al., CVPR 2018): maps as given, bicubic to the ground truth's "
            "size, negatives of sAUC from ten frames of other videos, drawn by seed and once per video"
        ),
        metrics=_AUDIO_VISUAL,
        steps=("resize",),
        negatives="corpus",
    ),
    Protocol(
        name="ntire26",
        source=(
            "the scoring of the NTIRE 2026 challenge on video saliency prediction (CrowdSAL): its own "
            "formulas, repeated fixations counted"
        ),
        metrics=("cc", "sim", "nss", "auc_judd"),
        steps=("range_eps", "resize"),
        resize="bilinear",
        formulas="ntire26",
        repeats=True,
    ),
    Protocol(
        name="plain",
        source="maps as given, bicubic to the ground truth's size, every listed frame: as `lightning test` scores",
        metrics=("cc", "sim", "nss", "auc_judd", "kld"),
        steps=("resize",),
    ),
)

PROTOCOLS: dict[str, Protocol] = {entry.name: entry for entry in _ENTRIES}
"""Named protocols."""


def find_protocol(name: str) -> Protocol:
    """Find a named protocol.

    Raises:
        InputError: If none has that name.
    """
    if name not in PROTOCOLS:
        raise InputError(f"no protocol is called {name!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
