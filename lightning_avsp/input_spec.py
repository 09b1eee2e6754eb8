"""Input of a trained model: stored in its checkpoint, so that prediction can repeat it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lightning_avsp.media.audio import AudioInput, LogMel
from lightning_avsp.media.waveform import Waveform
from lightning_avsp.structures import ClipPolicy

_AUDIO: dict[str, type[AudioInput]] = {"log_mel": LogMel, "waveform": Waveform}


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
        plain["audio"] = {"form": self.audio.form, **plain["audio"]}
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> InputSpec:
        """Rebuild a spec from :meth:`as_plain`."""
        audio: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain["audio"].items()}
        text = plain["text"]
        return cls(
            size=tuple(plain["size"]),
            map_size=tuple(plain["map_size"]),
            clip=ClipPolicy(**plain["clip"]),
            audio=_AUDIO[audio.pop("form")](**audio),
            text=None if text is None else TextInput(**text),
        )
