"""Protocols: preparation of predictions and settings that must agree before two tables can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import correlate1d
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.metrics.degenerate import DegeneratePolicy
from lightning_avsp.metrics.functional import resize_bicubic
from lightning_avsp.metrics.functional.maps import Maps
from lightning_avsp.metrics.functional.scores import MetricName

Averaging: TypeAlias = Literal["pooled", "split_means"]
"""Over several splits: one mean over the videos of all test lists, or the mean of each split's mean."""

Negatives: TypeAlias = Literal["video", "corpus"]
"""Other fixations of the shuffled AUC: of all frames of the same video without the current frame's, or of ten
frames of other videos of the corpus, sampled once per video and scaled to its size."""

Resize: TypeAlias = Literal["bicubic", "bilinear"]
"""MATLAB's bicubic ``imresize``, or OpenCV's default: bilinear, no antialiasing."""

Step: TypeAlias = Literal["levels", "range", "range_eps", "blur", "resize"]
"""One step of a protocol.

- ``levels``: scaled to 0..255 and rounded, as an 8-bit file holds it; nothing if it comes from such a file.
- ``range``: scaled to minimum 0 and maximum 1.
- ``range_eps``: the same with float32's eps added to the divisor, as the NTIRE 2026 scorer has it.
- ``blur``: Gaussian of the protocol.
- ``resize``: to the ground truth's size.
"""

CONVENTIONS: dict[DegeneratePolicy, str] = {
    "field": (
        "undefined values are left out, metric by metric; a frame whose ground truth is blank counts as SIM 0 and is "
        "left out of CC and KLD"
    ),
    "skip": "a frame that is degenerate for a metric is left out of it",
    "zero": "undefined values count as 0",
}
"""Conventions of averages, as results state them; every frame that one of them touches is counted with its reason."""

_EPS = torch.finfo(torch.float32).eps

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
    """Preparation of a prediction, in order."""
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

    @torch.no_grad()
    def prepare(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Prepare predictions as this protocol scores them.

        A map that is constant as given stays constant, whatever rounding the steps would add, and one with a value that
        is not finite becomes NaN everywhere, so that both are counted as such.

        Args:
            maps: Predictions (B, H, W), any real type and range.
            size: (rows, columns) of the ground truth.

        Returns:
            Float64 (B, size[0], size[1]).
        """
        # judged as given: a blur or a resize would turn a constant map into noise of 1e-16
        given = Maps(maps)
        # an 8-bit file has its levels: STAViS's code reads them from JPEG
        levels_given = maps.dtype == torch.uint8
        # one precision for all steps, so that scores do not depend on a program's own
        values = maps.to(torch.float64)
        for step in self.steps:
            if step == "levels":
                values = values if levels_given else (scale_range(values) * 255).round()
            elif step == "range":
                values = scale_range(values)
            elif step == "range_eps":
                values = scale_range(values, eps=_EPS)
            elif step == "blur":
                values = blur(values, self.blur_sigma, self.blur_size, self.blur_border)
            elif tuple(values.shape[1:]) != tuple(size):
                resize = resize_bicubic if self.resize == "bicubic" else resize_as_opencv
                values = resize(values, size)
            levels_given = False
        # Rounding of 1e-16 must not pass for a prediction. The challenge makes a constant map 0; others keep its level.
        level = given.maximum * ("range_eps" not in self.steps)
        values = torch.where(given.constant[:, None, None], level[:, None, None], values)
        return values.masked_fill(~given.finite[:, None, None], torch.nan)


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


def scale_range(maps: Tensor, eps: float = 0.0) -> Tensor:
    """Scale maps (B, H, W) to minimum 0 and, but for ``eps`` in the divisor, maximum 1; a constant one becomes 0."""
    low = maps.amin((1, 2), keepdim=True)  # (B, 1, 1)
    span = maps.amax((1, 2), keepdim=True) - low + eps
    return (maps - low) / torch.where(span > 0, span, 1.0)


def blur(maps: Tensor, sigma: float, size: int, border: Literal["symmetric", "reflect"]) -> Tensor:
    """Filter maps (B, H, W) with a Gaussian window of sum 1, with a mirrored border."""
    # separable: MATLAB's fspecial window is the outer product of its profile, whose smallest values lie
    # above the threshold below which it would be cut
    profile = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    mode = {"symmetric": "reflect", "reflect": "mirror"}[border]  # scipy's names
    values = maps.numpy()
    for axis in (1, 2):
        values = correlate1d(values, profile / profile.sum(), axis, mode=mode)
    return torch.from_numpy(values)


def resize_as_opencv(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (B, H, W) as OpenCV's default does: half-pixel centres, no antialiasing."""
    resized = F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=False)
    return resized[:, 0]
