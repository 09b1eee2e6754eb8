"""What travels between data, network, task and predictor: batches, conditions, and the network interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn


class SaliencyBatch(TypedDict, total=False):
    """One batch as the data loader gives it. ``B`` clips of ``T`` frames; evaluation fields only in val and test."""

    video: Tensor
    """Frames as decoded: uint8 (B, T, H, W, 3), RGB. Normalised on the device by the task."""
    audio: Tensor
    """Sound as the data module was told: log-mel slices, float32 (B, 1, S, Ha, Wa), or waveforms, float32 (B, 1, N);
    those of silence where ``has_audio`` is false."""
    has_audio: Tensor
    """Whether the clip has a sound track: bool (B,)."""
    text: Tensor
    """Token features of the clip's caption: float32 (B, N, C), start token first, end token last, rows of zeros after
    it; only where the data module was told of captions."""
    has_text: Tensor
    """Whether the clip has a caption: bool (B,)."""
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

    def select(self, clips: list[int]) -> Condition:
        """The condition of some clips, by their places in the batch."""

        def pick(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[clips]

        video = tuple(tensor[clips] for tensor in self.video)
        return Condition(video=video, audio=pick(self.audio), text=pick(self.text))


@dataclass(frozen=True)
class Explanation:
    """One thing that a network can show of how it came to its maps."""

    name: str
    """Stem of the files that it is drawn to, e.g. ``relevance_v2a_head1``."""
    title: str
    """What it shows, in a few words with its unit or range."""
    values: Tensor
    """Heat maps (B, T, h, w) over the clip's frames (T of 1: over the target frame), or numbers (B, K)."""
    labels: tuple[str, ...] = ()
    """Names of the K numbers."""


class SaliencyNetwork(nn.Module):
    """What data and tasks must know of every network, however it makes its maps."""

    pixel_mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """Mean subtracted from RGB in [0, 1] before :meth:`encode`."""
    pixel_std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    """Standard deviation that RGB in [0, 1] is divided by before :meth:`encode`."""
    clip_frames: int = 16
    """Frames per clip that the network was designed for."""
    sound: Literal["log_mel", "waveform"] = "log_mel"
    """Which form of sound the network reads, where it reads any."""
    hears: bool = True
    """Whether sound has a part in the maps."""
    lr_scales: Mapping[str, float] = {}
    """Factors on the learning rate by beginning of parameter names, e.g. ``{"video_encoder.": 0.1}``."""

    def normalize_video(self, frames: Tensor) -> Tensor:
        """Frames as decoded, uint8 (B, T, H, W, 3), to the network's input, float32 (B, 3, T, H, W), channels last."""

        # filled on the device: a tensor made of a list would be copied there in every step
        def fill(values: tuple[float, ...]) -> Tensor:
            filled = [frames.new_full((), 255 * value, dtype=torch.float32) for value in values]
            return torch.stack(filled)[:, None, None, None]  # (3, 1, 1, 1)

        return (frames.permute(0, 4, 1, 2, 3) - fill(self.pixel_mean)).div_(fill(self.pixel_std))

    def diagnostics(self) -> dict[str, Tensor]:
        """Numbers of the last pass that training logs, by name, detached scalars; none unless a network has some."""
        return {}

    def explain(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> list[Explanation]:
        """What the network can show of how it treats a clip; nothing unless a network has something to show.

        Args:
            video: Normalised frames (B, 3, T, H, W), or None.
            audio: Sound in the network's form, or None.
            text: Text token features (B, N, C), or None.
            saliency: Ground truth (B, 1, H, W) in [0, 1], for what can only be shown with it.
        """
        return []


class DirectNetwork(SaliencyNetwork, ABC):
    """Interface of every network that gives the map of a clip in one pass."""

    @abstractmethod
    def forward(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Tensor:
        """Map of a clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), or None.
            audio: Sound in the network's form (``sound``), or None.
            text: Text token features (B, N, C), or None.

        Returns:
            (B, 1, H, W) in [0, 1], of the frames' size.

        Raises:
            InputError: If the network cannot work with the given modalities.
        """


class DiffusionNetwork(SaliencyNetwork, ABC):
    """Interface of every conditional denoiser: encode a clip once, denoise its map as often as wanted."""

    reads_target: bool = False
    """Whether :meth:`forward` takes the clean map as ``saliency`` in training (TAVDiff's choice of words)."""

    @abstractmethod
    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        """Features of a clip; call once per clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), or None.
            audio: Sound in the network's form (``sound``), or None.
            text: Text token features (B, N, C), rows of zeros where there is no token, or None.

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

    def denoising_steps(self, condition: Condition) -> Tensor | None:
        """Number of denoising steps that each clip asks for, int64 (B,); None: as many as the sampling says."""
        return None

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
