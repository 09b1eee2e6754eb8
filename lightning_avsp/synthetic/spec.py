"""Settings of a synthetic corpus: one frozen description, its units, and its scaling to any frame size.

Lengths are stated in *recipe pixels*: pixels of a 64 x 112 frame. They are multiplied by
:attr:`SyntheticSpec.scale`, so a video of 224 x 384 shows the same scene, only larger.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lightning_avsp.errors import InputError, require_range
from lightning_avsp.plain_values import build_from

Condition = Literal["sound", "music", "silent"]
"""Cue that observers follow: the sounding object, or, with music or silence, the fastest one."""

CONDITIONS: tuple[Condition, ...] = ("sound", "music", "silent")
"""All conditions, in the order of :attr:`SyntheticSpec.shares`."""

RECIPE_SIZE = (64, 112)
"""Frame height and width that recipe pixels refer to."""

PITCHES = (220.0, 440.0, 880.0)
"""Fundamental of the red, the green and the blue object, in Hz."""

COLOURS = ((220, 50, 50), (60, 200, 70), (70, 90, 235))
"""RGB of the objects, in the order of :data:`PITCHES`."""

STATEMENT = (
    "SYNTHETIC: computer-generated discs, tones and simulated observers, made to test whether a model "
    "listens. Nobody was recorded, and no result on it says anything about natural films."
)
"""Goes into every description of a synthetic corpus."""


@dataclass(frozen=True)
class SyntheticSpec:
    """Description of the video, audio and simulated observers of a synthetic corpus.

    Raises:
        InputError: If a value is out of range.
    """

    size: tuple[int, int] = (64, 128)
    """Frame height and width in pixels."""
    annotation_size: tuple[int, int] | None = None
    """Height and width of maps and fixations; None: as the frames. True corpora use 480 x 640."""
    fps: float = 12.5
    """Frames per second."""
    seconds: float = 8.0
    """Length of a video."""
    sample_rate: int = 16000
    """Audio samples per second."""
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Shares of videos where sound decides, with unrelated music, and silent; they sum to 1."""
    three_objects: float = 0.6
    """Share of videos with three objects; the others have two."""
    observers: int = 16
    """Simulated observers per video."""
    latency: float = 0.2
    """Mean time from a change of the sounding object to the observers' change of target, in seconds."""
    latency_sd: float = 0.05
    """Standard deviation of that time over observers, in seconds; each is clipped to 0.08-0.4 s."""
    pursuit_lag: float = 0.08
    """Seconds that the gaze trails behind the object it follows; one frame at 12.5 frames per second."""
    gaze_noise: float = 3.5
    """Standard deviation of the gaze around its target, in recipe pixels."""
    map_sigma: float = 4.0
    """Standard deviation of the Gaussian that turns fixations into a map, in recipe pixels."""
    lapse: float = 0.1
    """Share of lapses: half of them look at another object, half anywhere."""
    centre_lapse: float = 0.06
    """Share of lapses towards the middle of the frame."""
    lapse_seconds: float = 0.32
    """Seconds that a lapse lasts; four frames at 12.5 frames per second."""
    pixel_noise: float = 4.0
    """Standard deviation of the camera noise, in grey levels."""
    jpeg_quality: int = 95
    """Quality of frames and maps; colour is never subsampled."""

    def __post_init__(self) -> None:
        for name, size in {"size": self.size, "annotation_size": self.map_size}.items():
            require_range(16, **{f"height of {name}": size[0], f"width of {name}": size[1]})
        require_range(
            0, 1, three_objects=self.three_objects, lapse=self.lapse, centre_lapse=self.centre_lapse
        )
        for name in ("latency", "latency_sd", "pursuit_lag", "gaze_noise", "pixel_noise"):
            require_range(0, **{name: getattr(self, name)})
        require_range(1e-6, map_sigma=self.map_sigma, lapse_seconds=self.lapse_seconds)
        require_range(1, 100, fps=self.fps)
        require_range(50, 100, jpeg_quality=self.jpeg_quality)
        require_range(8000, sample_rate=self.sample_rate)
        # two observers, or no human ceiling; two frames, or no video
        require_range(2, observers=self.observers, frames=self.frames)
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise InputError(
                f"synthetic spec: shares {self.shares} do not sum to 1; give sound, music, silent"
            )
        if self.lapse + self.centre_lapse > 1:
            raise InputError(
                f"synthetic spec: lapse {self.lapse} and centre_lapse {self.centre_lapse} exceed 1 together"
            )

    @property
    def frames(self) -> int:
        """Frames per video."""
        return round(self.seconds * self.fps)

    @property
    def samples(self) -> int:
        """Audio samples per video; exactly as long as its frames."""
        # of the frames, not of the seconds asked for: audio is exactly as long
        return round(self.frames / self.fps * self.sample_rate)

    @property
    def scale(self) -> float:
        """Frame pixels per recipe pixel; the tighter side counts, so that the objects always have room."""
        # the tighter side, so that the objects always have room
        return min(self.size[0] / RECIPE_SIZE[0], self.size[1] / RECIPE_SIZE[1])

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of maps and fixations."""
        return self.annotation_size or self.size

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as stored in ``synthetic.json``."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SyntheticSpec:
        """Return the spec that :meth:`to_dict` described.

        Raises:
            InputError: If a field is unknown, or a value does not fit.
        """
        return build_from(cls, values, "the synthetic corpus' spec, of another version of the generator?")
