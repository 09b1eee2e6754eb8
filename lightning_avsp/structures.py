"""Data structures that data, networks, tasks and prediction exchange, and the interfaces of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

import torch
from torch import Tensor, device, nn

from lightning_avsp.clip_policy import ClipPolicy as ClipPolicy

AudioForm: TypeAlias = Literal["log_mel", "waveform"]
"""Forms in which a network reads audio: log-mel slices or the waveform."""


class SaliencyBatch(TypedDict, total=False):
    """One batch of a dataloader: ``B`` clips of ``T`` frames. Evaluation fields exist in validation and test only."""

    video: Tensor
    """Frames as decoded: uint8 (B, T, H, W, 3), RGB. Normalised on the device by the task."""
    audio: Tensor
    """Log-mel slices, float32 (B, 1, S, Ha, Wa), or waveforms, float32 (B, 1, N), as the data module is configured;
    those of silence where ``has_audio`` is false."""
    has_audio: Tensor
    """True for clips with audio: bool (B,)."""
    text: Tensor
    """Token features of the clip's caption: float32 (B, N, C), start token first, end token last, rows of zeros after
    it; present only if the data module has captions."""
    has_text: Tensor
    """True for clips with a caption: bool (B,)."""
    saliency: Tensor
    """Target map at the network's size: uint8 (B, 1, H, W), 255 = most salient."""
    corpus: list[str]
    """Corpus name of each clip, e.g. ``AVAD``."""
    video_id: list[str]
    """Video name of each clip; unique only together with ``corpus``."""
    frame: Tensor
    """Number of the target frame, from 1: int64 (B,)."""
    ground_truth: list[Tensor]
    """Evaluation: continuous map at its own size, uint8 (Hg, Wg), one per clip."""
    fixations: list[Tensor]
    """Evaluation: fixated pixels (row, column) in the ground truth's pixel grid: int64 (N, 2), one per clip."""


@dataclass(frozen=True)
class Condition:
    """Features that a diffusion network computes once per clip and reads at every denoising step."""

    video: tuple[Tensor, ...] = ()
    """Video features, deepest first, each (B, C, T, H, W); empty without video."""
    audio: Tensor | None = None
    """Audio features (B, C, S, H, W) or (B, N, C), as the network defines."""
    text: Tensor | None = None
    """Text features (B, N, C)."""

    @property
    def batch_size(self) -> int:
        """Number of clips."""
        tensors = (*self.video, self.audio, self.text)
        # every condition has at least one part
        return next(tensor.shape[0] for tensor in tensors if tensor is not None)

    @property
    def device(self) -> device:
        """Device of the features."""
        tensors = (*self.video, self.audio, self.text)
        return next(tensor.device for tensor in tensors if tensor is not None)

    def repeat_interleave(self, repeats: int) -> Condition:
        """Repeat each clip's condition ``repeats`` times in a row, to sample several maps per clip."""
        # neighbours, as the samples of a clip lie in the sampler's batch
        return self._each(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def select(self, clips: list[int]) -> Condition:
        """Select the condition of some clips, by their indices in the batch."""
        return self._each(lambda tensor: tensor[clips])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Condition:
        audio, text = (None if tensor is None else change(tensor) for tensor in (self.audio, self.text))
        return Condition(video=tuple(map(change, self.video)), audio=audio, text=text)


@dataclass(frozen=True)
class Explanation:
    """One view of how a network arrived at its maps."""

    name: str
    """Stem of the files that show it, e.g. ``relevance_v2a_head1``."""
    title: str
    """Title of a few words, with unit or range."""
    values: Tensor
    """Heat maps (B, T, h, w) over the clip's frames (T of 1: over the target frame), or numbers (B, K)."""
    labels: tuple[str, ...] = ()
    """Names of the K numbers."""
    token: int | None = None
    """Row of the caption's token features that it shows, 0 the start token."""


class SaliencyNetwork(nn.Module):
    """Properties of every network that data and tasks depend on."""

    pixel_mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """Mean subtracted from RGB in [0, 1] before :meth:`encode`."""
    pixel_std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    """Standard deviation that RGB in [0, 1] is divided by before :meth:`encode`."""
    clip_frames: int = 16
    """Frames per clip that the network was designed for."""
    audio_form: AudioForm = "log_mel"
    """Form in which the network reads audio, if it reads any."""
    uses_audio: bool = True
    """False if maps do not depend on audio."""
    uses_text: bool = False
    """True if the network reads token features of captions."""
    lr_scales: Mapping[str, float] = {}
    """Factors on the learning rate by prefix of parameter names, e.g. ``{"video_encoder.": 0.1}``."""

    def normalize_video(self, frames: Tensor) -> Tensor:
        """Convert frames, uint8 (B, T, H, W, 3), to the network's input, float32 (B, 3, T, H, W), channels last."""

        # filled on the device: a tensor made of a list would be copied there in every step
        def fill(values: tuple[float, ...]) -> Tensor:
            filled = [frames.new_full((), 255 * value, dtype=torch.float32) for value in values]
            return torch.stack(filled)[:, None, None, None]  # (3, 1, 1, 1)

        # a view, in whose order the result lies too: channels last
        return (frames.permute(0, 4, 1, 2, 3) - fill(self.pixel_mean)).div_(fill(self.pixel_std))

    def diagnostics(self) -> dict[str, Tensor]:
        """Return detached scalars of the last pass by name, for training to log; none by default."""
        return {}

    def explain(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> list[Explanation]:
        """Explain how the network treats a clip; empty by default.

        Args:
            video: Normalised frames (B, 3, T, H, W), or None.
            audio: Audio in the network's form, or None.
            text: Text token features (B, N, C), or None.
            saliency: Ground truth (B, 1, H, W) in [0, 1], for explanations that depend on it.
        """
        return []


class DirectNetwork(SaliencyNetwork, ABC):
    """Interface of every network that predicts the map of a clip in one pass."""

    @abstractmethod
    def forward(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Tensor:
        """Predict the map of a clip, (B, 1, H, W) in [0, 1], of the frames' size; arguments as of :meth:`explain`.

        Raises:
            InputError: If the network cannot work with the given modalities.
        """


class DiffusionNetwork(SaliencyNetwork, ABC):
    """Interface of every conditional denoiser: encode a clip once, denoise its map any number of times."""

    reads_target: bool = False
    """True if :meth:`forward` accepts the clean map as ``saliency`` in training (TAVDiff selects words with it)."""

    @abstractmethod
    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        """Compute the features of a clip; call once per clip; arguments as of :meth:`explain`.

        Rows of zeros in the text are no tokens.

        Raises:
            InputError: If the network cannot work with the given modalities.
        """

    @abstractmethod
    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Predict the clean map from a noisy one.

        Args:
            noisy_map: (B, 1, H, W), the map at diffusion step ``t``.
            t: Diffusion step of each map, int64 (B,), 0 (almost clean) to T-1 (almost noise).
            condition: Result of :meth:`encode`.

        Returns:
            Predicted clean map (B, 1, H, W) in [0, 1].
        """

    def denoising_steps(self, condition: Condition) -> Tensor | None:
        """Number of denoising steps of each clip, int64 (B,); None for the number that the sampling defines."""
        return None

    def forward(
        self,
        noisy_map: Tensor,
        t: Tensor,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
    ) -> Tensor:
        """Encode and denoise once: the training pass."""
        # one call, as DDP and FSDP see no other method
        return self.denoise(noisy_map, t, self.encode(video, audio, text))
