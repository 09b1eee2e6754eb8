"""DiffSal as its paper describes it.

Source: Xiong et al., "DiffSal: Joint Audio and Video Learning for Diffusion Saliency Prediction" (CVPR 2024,
arXiv 2403.01226), Section 4. Where the paper is silent or contradicts itself the choice is numbered (D1 ...) in the
model card beside this package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder, VideoEncoder
from lightning_avsp.errors import InputError
from lightning_avsp.layers.attention import TransformerLayer
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.resampling import resample_time
from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.diffsal.paper.decoder import (
    AttentionKind,
    Interaction,
    ModulationStage,
    NoiseEncoder,
    PredictionHead,
)
from lightning_avsp.papers.inputs import check_frame_size, refuse_text
from lightning_avsp.structures import Condition, DiffusionNetwork


class TemporalEnhancement(nn.Module):
    """Patch embedding, learnable position along time, one transformer layer over all tokens of the audio.

    For another number of slices than ``slices``, T_a, the positions are interpolated linearly.
    """

    def __init__(self, channels: int, slices: int = 9) -> None:
        super().__init__()
        # Per token: the encoder's grid is coarse already, so a patch is one cell (D9)
        self.patch_embedding = nn.Sequential(
            LayerNorm(channels), nn.Linear(channels, channels), LayerNorm(channels)
        )
        self.position = nn.Parameter(torch.zeros(1, slices, channels))
        nn.init.trunc_normal_(self.position, std=0.02)
        # widths of attention and MLP: a quarter and a half of the tokens', as in the released configuration
        self.transformer = TransformerLayer(channels, 2, channels // 8, channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Enhance (B, C, S, h, w)."""
        size = x.shape[2:]
        tokens = self.patch_embedding(x.movedim(1, -1))  # (B, S, h, w, C)
        position: Tensor = self.position
        if position.shape[1] != size[0]:
            position = F.interpolate(position.transpose(1, 2), size=size[0], mode="linear").transpose(1, 2)
        tokens = tokens + position[:, :, None, None].to(tokens.dtype)  # Equation 4
        tokens = self.transformer(tokens.flatten(1, 3))  # (B, S h w, C), Equation 5
        return tokens.transpose(1, 2).unflatten(2, size)


class PaperDiffSal(DiffusionNetwork):
    """Video and audio encoders, and the Saliency-UNet that denoises a map on their features.

    Args:
        video_encoder: Encoder of the frames; None for a network of audio alone.
        audio_encoder: Encoder of single slices (N, 1, H, W) -> (N, C_a, H / 16, W / 16); None for one of video alone.
        channels: Decoder widths at strides 32, 16, 8, 4 (deepest first); they need not equal the encoder's.
        head_channels: Width of the temporal convolutions' output, which the prediction head reads.
        attention: ECA, standard cross-attention (Table 4) or convolution (Table 1).
        interaction: Interaction of audio and video (Table 3).
        num_stages: MAM stages, from the deepest (Figure 6).
        video_steps: T_v, time steps of the visual features in the decoder.
        audio_slices: T_a, slices of a clip.
        mel_bins: Width of the audio features (``mim_residual`` only).
        dropout: Dropout inside the ResNet stages of the noise encoder.
    """

    def __init__(
        self,
        video_encoder: VideoEncoder | None,
        audio_encoder: AudioEncoder | None,
        channels: tuple[int, ...],
        head_channels: int,
        attention: AttentionKind = "eca",
        interaction: Interaction = "mim",
        num_stages: int = 4,
        video_steps: int = 8,
        audio_slices: int = 9,
        mel_bins: int = 12,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        audio_channels = None if audio_encoder is None else audio_encoder.out_channels
        self.video_steps = video_steps
        self.video_encoder = video_encoder
        self.audio_encoder = audio_encoder
        used = channels[:num_stages]
        self.channels = used
        if video_encoder is not None:
            self.pixel_mean, self.pixel_std = video_encoder.pixel_mean, video_encoder.pixel_std
            # An encoder as wide as the decoder needs no projection: MViTv2-S, as in the paper
            self.projections = nn.ModuleList(
                nn.Identity() if theirs == ours else VideoConvolution(theirs, ours, 1)
                for theirs, ours in zip(video_encoder.channels, used, strict=True)
            )
        else:
            # Without video: learned constants stand where visual features would be (D14)
            self.blank = nn.ParameterList(torch.zeros(1, width, video_steps, 1, 1) for width in used)
            for constant in self.blank:
                nn.init.trunc_normal_(constant, std=0.02)
        if audio_channels is not None:
            self.enhancement = TemporalEnhancement(audio_channels, audio_slices)
        self.noise_encoder = NoiseEncoder(channels, num_stages, dropout)
        self.stages = nn.ModuleList(
            ModulationStage(
                width,
                used[index - 1] if index else None,
                index + 1,
                video_steps + 1,
                head_channels,
                attention,
                interaction,
                audio_channels,
                mel_bins,
            )
            for index, width in enumerate(used)
        )
        self.head = PredictionHead(head_channels, channels[-1])

    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        """Compute the features of a clip; call once per clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), H and W multiples of 32; None to use audio alone.
            audio: Log-mel slices (B, 1, S, Ha, Wa); None to use video alone.
            text: Must be None.

        Returns:
            Visual features (B, C_i, T_v, H / s_i, W / s_i), deepest first, and audio features (B, C_a, S, h_a, w_a).

        Raises:
            InputError: If neither video nor audio that this network can use is given, or sizes do not fit.
        """
        refuse_text("DiffSal", text)
        features: tuple[Tensor, ...] = ()
        if video is not None and self.video_encoder is not None:
            check_frame_size("DiffSal", video, 64)
            features = tuple(
                resample_time(project(feature), self.video_steps)
                for project, feature in zip(self.projections, self.video_encoder(video), strict=True)
            )
        enhanced = None
        if audio is not None and self.audio_encoder is not None:
            enhanced = self.enhancement(self.audio_encoder.encode_slices(audio))  # (B, C_a, S, h_a, w_a)
        if not features and enhanced is None:
            has = [name for name in ("video", "audio") if getattr(self, f"{name}_encoder") is not None]
            got = [name for name, value in (("video", video), ("audio", audio)) if value is not None]
            raise InputError(
                f"this network works on {' or '.join(has)}, but got {' and '.join(got) or 'neither'}"
            )
        return Condition(video=features, audio=enhanced)

    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Predict the clean map from a noisy one of the frames' size (Equation 6).

        Raises:
            InputError: If the map's size does not fit the condition's.
        """
        height, width = noisy_map.shape[-2:]
        noise = self.noise_encoder(noisy_map, t)  # f_s^i (B, C_i, h_i, w_i)
        x: Tensor | None = None
        outputs = []
        for index, stage in enumerate(self.stages):
            f_s = noise[index].unsqueeze(2)  # (B, C, 1, h, w)
            f_v = self._visual(condition, index, f_s)  # (B, C, T_v, h, w)
            if f_v.shape[-2:] != f_s.shape[-2:]:
                raise InputError(
                    f"a noisy map of {height}x{width} does not fit visual features of {tuple(f_v.shape[-2:])} at "
                    f"scale {index + 1}; give the map the size of the frames"
                )
            x, output = stage(torch.cat([f_v, f_s], dim=2), x, condition.audio)
            outputs.append(output)
        return self.head(outputs, (height, width), noisy_map.dtype)

    def _visual(self, condition: Condition, index: int, like: Tensor) -> Tensor:
        """Return the visual features of one scale, or their substitute when the clip has no video (D14)."""
        if condition.video:
            return condition.video[index]
        shape = (like.shape[0], like.shape[1], self.video_steps, like.shape[3], like.shape[4])
        if self.video_encoder is None:
            return self.blank[index].expand(shape)
        return like.new_zeros(shape)
