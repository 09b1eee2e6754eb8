"""Input of a trained model: stored in its checkpoint, so that prediction can repeat it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import AudioInput, LogMel
from lightning_avsp.media.waveform import Waveform
from lightning_avsp.plain_values import build_from, fit_arguments, fit_value
from lightning_avsp.structures import ClipPolicy

_AUDIO: dict[str, type[AudioInput]] = {"log_mel": LogMel, "waveform": Waveform}

LARGEST_SIDE = 8192
"""Most pixels on a side, and most frames that a clip spans, of a model that is loaded."""


@dataclass(frozen=True)
class TextInput:
    """Token features that a model was trained with."""

    model: str
    """Public name, or path, of the text model."""
    fingerprint: str
    """Hash of its weights, configuration and vocabulary."""
    width: int
    """Channels of a row."""
    tokens: int
    """Rows of every clip's features."""


@dataclass(frozen=True)
class InputSpec:
    """Input that a model was trained with, and must be given in prediction."""

    size: tuple[int, int]
    """Height and width of the frames in pixels."""
    map_size: tuple[int, int]
    """Height and width of the maps that the network denoises or regresses."""
    clip: ClipPolicy
    """Length of clips, their target frame, and the handling of a video's first frames."""
    audio: AudioInput
    """Conversion of a clip's audio to log-mel slices or a waveform."""
    text: TextInput | None = None
    """Token features of captions; None without captions."""

    def as_plain(self) -> dict[str, Any]:
        """Return numbers, strings, lists and dicts only, which load with ``weights_only``."""
        plain = asdict(self)
        # by form and not by class, which would be code in a checkpoint
        plain["audio"] = {"form": self.audio.form, **plain["audio"]}
        return plain

    @classmethod
    def from_plain(cls, plain: Any) -> InputSpec:
        """Rebuild a spec from :meth:`as_plain`.

        Raises:
            InputError: If it is not one, or its sizes are absurd.
        """
        values = dict(plain) if isinstance(plain, dict) else {}
        if missing := {"size", "map_size", "clip", "audio"} - values.keys():
            raise InputError(f"input_spec lacks {min(missing)}")
        audio = dict(values.pop("audio")) if isinstance(values["audio"], dict) else {}
        form = fit_value(audio.pop("form", None), Literal["log_mel", "waveform"], "input_spec.audio.form")
        spec = cls(
            **fit_arguments(cls, values, "input_spec"),
            audio=build_from(_AUDIO[form], audio, "input_spec.audio"),
        )
        # a checkpoint from anywhere must not decide how much memory is asked for
        most = max(*spec.size, *spec.map_size, spec.clip.frames * spec.clip.stride)
        if min(*spec.size, *spec.map_size) < 1 or most > LARGEST_SIDE:
            raise InputError(
                f"input_spec has sizes {spec.size} and {spec.map_size}, clips of {spec.clip.frames} frames"
            )
        return spec
