"""What a model is fed, so that a checkpoint can say it and a predictor can repeat it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lightning_avsp.data.audio import LogMel


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
    audio: LogMel
    """How the sound became log-mel slices."""

    def as_plain(self) -> dict[str, Any]:
        """Only numbers, strings, lists and dicts, which load with ``weights_only``."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> InputSpec:
        """The inverse of :meth:`as_plain`."""
        audio: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain["audio"].items()}
        sizes: dict[str, Any] = {key: tuple(plain[key]) for key in ("size", "map_size")}
        return cls(**{**plain, **sizes, "audio": LogMel(**audio)})
