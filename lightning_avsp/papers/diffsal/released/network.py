"""The DiffSal network as released (CVPR 2024, arXiv 2403.01226), built so that its checkpoints load strictly.

It differs from the paper: attention stays within a frame, the read-out sees only the first five
of nine time steps, and the noisy map is the ninth. Without audio the output therefore does not depend on the
noisy map or on the diffusion step at all (evaluation mode); with audio it does so only through the
attention's keys.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder, VideoEncoder
from lightning_avsp.backbones.vggish import VGGish
from lightning_avsp.errors import InputError
from lightning_avsp.layers.attention import FeedForward
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.papers.diffsal.released.attention import ReleasedAttention, ReleasedInteraction
from lightning_avsp.papers.diffsal.released.decoder import READOUT_STEPS, ReleasedDecoder
from lightning_avsp.papers.diffsal.released.mvit import ReleasedMViT
from lightning_avsp.papers.inputs import refuse_text
from lightning_avsp.structures import Condition, DiffusionNetwork

HEADS = 2


class AudioTransformer(nn.Module):
    """One pre-norm transformer layer over (slice, time, mel) tokens, with a final norm that the paper omits.

    The released network computes the paper's patch embedding (Eq. 4) and throws it away, so the layer reads the raw
    VGGish features and ignores the order of slices. It is computed here too: the published parameter and multiply-
    accumulate counts include it. It takes no gradient, as it has no effect. Each of the two heads is an eighth of
    ``width`` wide, the MLP half of it.
    """

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        head_width = width // 8
        self.scale = head_width**-0.5
        self.patch_embedding = nn.Sequential(
            LayerNorm(width), nn.Linear(width, width), LayerNorm(width)
        ).requires_grad_(False)
        self.norm1 = LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * HEADS * head_width, bias=False)
        # a module, not a fused kernel: the published multiply-accumulates include this one softmax of the network
        self.softmax = nn.Softmax(dim=-1)
        self.out = nn.Linear(HEADS * head_width, width)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, width // 2)
        self.norm = LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Mix audio features (B, C, S, h, w) over slices and cells; the result is normed over channels."""
        x = features.flatten(2).transpose(1, 2)  # (B, Shw, C)
        with torch.no_grad():
            self.patch_embedding(x)  # discarded, see the class
        x = x + self._attend(self.norm1(x))
        x = x + self.feed_forward(self.norm2(x))
        return self.norm(x).transpose(1, 2).unflatten(2, features.shape[2:])  # (B, C, S, h, w)

    def _attend(self, x: Tensor) -> Tensor:
        """Self-attention over tokens (B, N, C)."""
        q, k, v = self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, N, C/8) each
        weights = self.softmax(q @ k.transpose(2, 3) * self.scale)  # (B, heads, N, N)
        return self.out((weights @ v).transpose(1, 2).flatten(2))  # (B, N, C)


SMALLEST_FRAME = 64
"""Pixels per side: below, the deepest features are smaller than one window of the key compression.

Every stage leaves (H/64) x (W/64) keys per frame, rounded down: 3 x 6 at 224 x 384, but 1 x 2 at 64 x 128, where
the published fusion, which acts through keys alone, has little effect.
"""


class ReleasedDiffSal(DiffusionNetwork):
    """Released DiffSal; the defaults are the published sizes for clips of 16 frames of 224 x 384 pixels.

    Args:
        modality: ``av``: video and audio (the video alone when no audio is given); ``v``: video only.
        video_encoder: Returns four feature maps, deepest first, and has ``channels``; default: the released
            MViTv2-S. The decoder's widths follow it.
        audio_encoder: Features of single slices, with ``out_channels``; default: VGGish, frozen.
        head_channels: Width of the temporal read-outs that the head sums.
        interaction: ``mim`` as released, or ``mim_residual``, where audio also multiplies the features.
        attention: ``eca`` as released, or ``standard`` cross-attention (within frames, Table 4).
        num_stages: Attention stages, 1 to 4, deepest first (Figure 6).
        mel_bins: Bins of the audio features along mel, for ``mim_residual``.
    """

    def __init__(
        self,
        modality: Literal["av", "v"] = "av",
        video_encoder: VideoEncoder | None = None,
        audio_encoder: AudioEncoder | None = None,
        head_channels: int = 768,
        interaction: ReleasedInteraction = "mim",
        attention: ReleasedAttention = "eca",
        num_stages: int = 4,
        mel_bins: int = 12,
    ) -> None:
        super().__init__()
        self.modality = modality
        self.video_encoder = ReleasedMViT() if video_encoder is None else video_encoder
        self.audio_encoder: AudioEncoder | None = None
        self.audio_transformer: AudioTransformer | None = None
        audio_width = None
        if modality == "av":
            self.audio_encoder = VGGish() if audio_encoder is None else audio_encoder
            audio_width = self.audio_encoder.out_channels
            self.audio_transformer = AudioTransformer(audio_width)
            # RGB statistics of the released audio-visual training, given there on a scale of 0 to 255.
            self.pixel_mean = (114.7748 / 255, 107.7354 / 255, 99.475 / 255)
            self.pixel_std = (38.7568578 / 255, 37.88248729 / 255, 40.02898126 / 255)
        else:
            # The video-only release was trained on DHF1K with ImageNet's statistics.
            self.pixel_mean = (0.485, 0.456, 0.406)
            self.pixel_std = (0.229, 0.224, 0.225)
        channels = self.video_encoder.channels
        self.decoder = ReleasedDecoder(
            channels, head_channels, audio_width, mel_bins, interaction, attention, num_stages
        )

    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        """Compute the features of a clip; call once per clip.

        Args:
            video: Normalised frames (B, 3, T, H, W): T such that the encoder gives 4 to 8 time steps, H and W
                from 64; the published network has 16 frames of 224 x 384.
            audio: Log-mel slices (B, 1, S, Ha, Wa), one more than the video features have time steps; or
                None, which selects the path without audio.
            text: Must be None.

        Returns:
            Video features (B, C, T', h, w), deepest first, and audio features (B, Ca, S, ha, wa) or None.

        Raises:
            InputError: If the network cannot work with its inputs.
        """
        if video is None:
            raise InputError("released DiffSal needs video; for audio alone use variant=paper.")
        refuse_text("DiffSal", text)
        if min(video.shape[-2:]) < SMALLEST_FRAME:
            raise InputError(
                f"frames are {video.shape[-2]} x {video.shape[-1]} pixels, but released DiffSal needs "
                f"{SMALLEST_FRAME} x {SMALLEST_FRAME} at least. Use larger frames."
            )
        features = tuple(self.video_encoder(video))
        steps = features[0].shape[2] + 1  # the noisy map is one more
        if not READOUT_STEPS <= steps < 2 * READOUT_STEPS:
            raise InputError(
                f"{video.shape[2]} frames give {steps} time steps with the noisy map, but the released "
                f"read-out takes {READOUT_STEPS} to {2 * READOUT_STEPS - 1}. "
                f"Use clips of {self.clip_frames} frames."
            )
        if audio is None or self.audio_encoder is None or self.audio_transformer is None:
            return Condition(video=features)  # audio that is missing selects the path without keys from it
        if audio.shape[2] != steps:
            raise InputError(
                f"audio has {audio.shape[2]} slices, but the video {steps} time steps with the noisy map; "
                f"cut the audio into {steps} slices"
            )
        # (B, C, S, h, w)
        return Condition(
            video=features, audio=self.audio_transformer(self.audio_encoder.encode_slices(audio))
        )

    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Predict the clean map (B, 1, H, W) in [0, 1] from a noisy one at steps ``t`` (B,), 0 to 999."""
        return self.decoder(noisy_map, t, condition.video, condition.audio)
