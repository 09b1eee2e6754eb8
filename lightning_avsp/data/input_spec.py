"""What a model is fed, so that a checkpoint can say it and a predictor can repeat it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from lightning_avsp.media.audio import LogMel
from lightning_avsp.media.waveform import Waveform
from lightning_avsp.structures import AudioForm

SoundInput: TypeAlias = LogMel | Waveform
"""How the sound of a clip becomes a network's input: ``prepare`` once per film, ``cut`` once per clip."""


@dataclass(frozen=True)
class TextInput:
    """Token features of captions as a model was fed them."""

    model: str
    """Public name, or path, of the text model."""
    fingerprint: str
    """Fingerprint of its weights, configuration and vocabulary."""
    width: int
    """Channels of a row."""
    tokens: int
    """Rows of every clip's features."""


@dataclass(frozen=True)
class InputSpec:
    """What a trained model was fed; a predictor must feed it the same."""

    size: tuple[int, int]
    """Height and width of the frames in pixels."""
    map_size: tuple[int, int]
    """Height and width of the maps that the network denoises or regresses."""
    clip_frames: int
    """Frames per clip."""
    target: Literal["centre", "last"]
    """Which frame of the clip the map belongs to."""
    audio: SoundInput
    """How the sound became log-mel slices or a waveform."""
    stride: int = 1
    """Frames of the film from one frame of a clip to the next."""
    head: Literal["edge", "reversed", "skip"] = "edge"
    """What happens to the first frames of a film (:class:`~lightning_avsp.data.clips.ClipPolicy`)."""
    reverse_audio: bool = False
    """Whether the sound of a reversed clip runs backwards too."""
    text: TextInput | None = None
    """Captions that the data had, or None."""

    @property
    def audio_form(self) -> AudioForm:
        """Form of the audio."""
        return "log_mel" if isinstance(self.audio, LogMel) else "waveform"

    def as_plain(self) -> dict[str, Any]:
        """Only numbers, strings, lists and dicts, which load with ``weights_only``."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> InputSpec:
        """The inverse of :meth:`as_plain`."""
        audio: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain["audio"].items()}
        sizes: dict[str, Any] = {key: tuple(plain[key]) for key in ("size", "map_size")}
        form = Waveform if "hann" in audio else LogMel
        text = TextInput(**plain["text"]) if plain.get("text") else None
        return cls(**{**plain, **sizes, "audio": form(**audio), "text": text})


def sound_options(audio: SoundInput) -> dict[str, Any]:
    """The data module's options that give sound in this form."""
    return (
        {"sound": "log_mel", "audio": audio}
        if isinstance(audio, LogMel)
        else {"sound": "waveform", "waveform": audio}
    )
