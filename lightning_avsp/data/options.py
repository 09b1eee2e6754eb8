"""Options of the data module, in groups: training clips, validation, tests, and loading."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning_avsp.data.augmentation import Augmentation
from lightning_avsp.data.entries import MissingAudio
from lightning_avsp.data.loader import StartMethod
from lightning_avsp.data.partition import Selection
from lightning_avsp.data.samplers import Balance
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.media.random_access import Backend


@dataclass(frozen=True)
class TrainingOptions:
    """Training clips."""

    augmentation: Augmentation = Augmentation()  # noqa: RUF009  # frozen
    """Random changes of clips; none by default."""
    balance: Balance = "none"
    """Weight of each corpus of a mix in an epoch: ``none``, by its number of clips; ``uniform``, all the same;
    ``sqrt``, by the root of its number (:class:`~lightning_avsp.data.samplers.BalancedMix`)."""
    blank_maps: Literal["redraw", "keep"] = "redraw"
    """Clips whose target frame has no gaze: ``redraw`` another one, or ``keep`` them."""
    uneven: Literal["drop", "pad"] = "drop"
    """Training on several devices that clips do not divide evenly: ``drop`` the rest or ``pad`` by repeating."""


@dataclass(frozen=True)
class ValidationOptions:
    """Validation videos, which choose the checkpoint."""

    selection: Selection = "validation"
    """``validation``: videos held out of the training list; ``test`` (labelled): the test list, as in the field's
    released code; ``none``: the whole list trains on a fixed schedule, and the last checkpoint counts."""
    share: float = 0.1
    """Share of each corpus' training videos that is held out, at least one video."""
    seed: int = 0
    """Seed of that choice and of mismatched audio: by default the same for every training seed, so that runs differ in
    their training alone."""
    every: int | None = None
    """Validate only every k-th frame. By default a fit predicts at most a fifth as many frames as an epoch has clips,
    but one of each video (:func:`~lightning_avsp.data.clips.validation_step`); other commands score all."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require_range(1, **{"validation.every": self.every})


@dataclass(frozen=True)
class EvaluationOptions:
    """Corpora and frames of a test, and perturbations of its audio and captions."""

    corpora: list[str] | None = None
    """Corpora that are tested, by default all of ``data.corpora``; others than the trained ones may be among them."""
    every: int = 1
    """Score only every k-th frame, for demonstrations and audits; 1 for any result that is compared with another.
    Written into the results."""
    frames: Literal["all", "released"] = "all"
    """``all`` frames, or those that the released protocol scores (not the first ``clip.frames // 2``)."""
    audio: Literal["true", "other_video", "silent"] = "true"
    """Audio: ``true``, mismatched (of an ``other_video``, :func:`~lightning_avsp.data.mismatch.other_videos`), or
    ``silent``."""
    audio_shift: float = 0.0
    """Seconds by which audio comes too late (negative: too early)."""
    text: Literal["true", "other_video", "none"] = "true"
    """Captions: ``true``, those of an ``other_video``, or ``none``."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require_range(1, **{"test.every": self.every})
        # infinity would read as silence, and pass for a test of it
        if not math.isfinite(self.audio_shift):
            raise InputError(f"test.audio_shift must be a number of seconds, got {self.audio_shift}")


@dataclass(frozen=True)
class LoadingOptions:
    """Videos that are read, and the means of reading them."""

    cache: Path | None = None
    """Folder given to ``avsp data prepare --out``, read instead of the corpus where it is up to date."""
    video_backend: Backend = "pyav"
    """Decoder of corpora of video files: ``pyav`` (in order from the last key frame), ``torchcodec`` (faster random
    access, where it is installed), or ``decord`` (colours differ from the other two by about two grey levels)."""
    missing_audio: MissingAudio = "error"
    """Rule for videos without an audio file."""
    limit_videos: int | None = None
    """At most so many videos of each part, the first listed; for trials."""
    eval_batch_size: int | None = None
    """Clips of a validation or test batch; ``batch_size`` by default."""
    start_method: StartMethod | None = None
    """Start of dataloader workers; by default the one that is safe beside threads
    (:func:`~lightning_avsp.data.loader.worker_context`)."""

    def __post_init__(self) -> None:
        """Check ranges."""
        counts = {"loading.limit_videos": self.limit_videos, "loading.eval_batch_size": self.eval_batch_size}
        require_range(1, **counts)
