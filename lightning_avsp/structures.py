"""What travels between data, network, task and predictor: batches, conditions, and the network interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypedDict

from torch import Tensor, nn


class SaliencyBatch(TypedDict, total=False):
    """One batch as the data loader gives it. ``B`` clips of ``T`` frames; evaluation fields only in val and test."""

    video: Tensor
    """Frames as decoded: uint8 (B, T, H, W, 3), RGB. Normalised on the device by the task."""
    audio: Tensor
    """Log-mel slices: float32 (B, 1, S, Ha, Wa); those of silence, log(0.01), where ``has_audio`` is false."""
    has_audio: Tensor
    """Whether the clip has a sound track: bool (B,)."""
    saliency: Tensor
    """Target map at the network's size: uint8 (B, 1, H, W), 255 = most salient."""
    corpus: list[str]
    """Corpus name of each clip, e.g. ``AVAD``."""
    video_id: list[str]
    """Video name of each clip; unique only together with ``corpus``."""
    frame: Tensor
    """1-based number of the target frame: int64 (B,)."""
    ground_truth: list[Tensor]
    """Evaluation: continuous map at its own size, uint8 (Hg, Wg), one per clip."""
    fixations: list[Tensor]
    """Evaluation: fixated pixels (row, column) in the ground truth's pixel grid: int64 (N, 2), one per clip."""


@dataclass(frozen=True)
class Condition:
    """What a diffusion network computes once per clip and reads at every denoising step."""

    video: tuple[Tensor, ...] = ()
    """Video features, deepest first, each (B, C, T, H, W); empty when there is no video."""
    audio: Tensor | None = None
    """Audio features (B, C, S, H, W) or (B, N, C), as the network defines."""
    text: Tensor | None = None
    """Text features (B, N, C)."""

    @property
    def batch_size(self) -> int:
        """Number of clips."""
        tensors = (*self.video, self.audio, self.text)
        return next(tensor.shape[0] for tensor in tensors if tensor is not None)

    def repeat_interleave(self, repeats: int) -> Condition:
        """Each clip's condition ``repeats`` times in a row, for drawing several samples per clip."""

        def repeat(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.repeat_interleave(repeats, dim=0)

        video = tuple(tensor.repeat_interleave(repeats, dim=0) for tensor in self.video)
        return Condition(video=video, audio=repeat(self.audio), text=repeat(self.text))


class DiffusionNetwork(nn.Module, ABC):
    """Interface of every conditional denoiser: encode a clip once, denoise its map as often as wanted."""

    pixel_mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """Mean subtracted from RGB in [0, 1] before :meth:`encode`."""
    pixel_std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    """Standard deviation that RGB in [0, 1] is divided by before :meth:`encode`."""
    clip_frames: int = 16
    """Frames per clip that the network was designed for."""

    @abstractmethod
    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        """Features of a clip; call once per clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), or None.
            audio: Log-mel slices (B, 1, S, Ha, Wa), or None.
            text: Text token features (B, N, C), or None.

        Raises:
            InputError: If the network cannot work with the given modalities.
        """

    @abstractmethod
    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Clean map predicted from a noisy one.

        Args:
            noisy_map: (B, 1, H, W), the map at diffusion step ``t``.
            t: Diffusion step of each map, int64 (B,), 0 (almost clean) to T-1 (almost noise).
            condition: What :meth:`encode` returned.

        Returns:
            Predicted clean map (B, 1, H, W) in [0, 1].
        """

    def forward(
        self,
        noisy_map: Tensor,
        t: Tensor,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
    ) -> Tensor:
        """Encode and denoise once: the training pass, one call so that DDP and FSDP see it."""
        return self.denoise(noisy_map, t, self.encode(video, audio, text))

    def normalize_video(self, frames: Tensor) -> Tensor:
        """Frames as decoded, uint8 (B, T, H, W, 3), to the network's input, float (B, 3, T, H, W)."""
        video = frames.permute(0, 4, 1, 2, 3).float()  # (B, 3, T, H, W)
        # plain numbers per channel: a tensor made of them here would be copied to the device in every step
        for channel, (mean, std) in enumerate(zip(self.pixel_mean, self.pixel_std, strict=True)):
            video[:, channel].sub_(255 * mean).div_(255 * std)
        return video
