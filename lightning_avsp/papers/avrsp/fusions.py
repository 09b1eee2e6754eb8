"""The other fusions of audio and video in Table V of AVRSP (D12), and the product that is not in the paper.

Each fuses visual features (B, C, T, h, w) and audio features (B, C_a, n) to features (B, C, T, h, w); ``channels`` are
C and ``audio_channels`` C_a. Those with ``by_step`` take the audio of each time step, n = T.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import TransformerLayer
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.avrsp.relevance import RAVF, BilinearForm, FusionName, RAVFSettings


def sound_of_steps(audio: Tensor, waveform: Tensor, centres: Tensor, steps: int) -> Tensor:
    """Interpolate audio features (B, C, n) between their tokens to the times of the video's steps (B, C, steps).

    Args:
        audio: Features of the waveform.
        waveform: (B, 1, N); the clip fills its middle, at 30 frames per second a third of it, and zeros pad it (D4).
            Mere silence is taken to fill all.
        centres: Sample that each token is centred on (n,).
        steps: Time steps of the video, which divide the clip evenly.
    """
    middle = (waveform.shape[-1] - 1) / 2
    distance = (torch.arange(waveform.shape[-1], device=waveform.device) - middle).abs()
    reach = ((waveform[:, 0] != 0) * distance).amax(dim=1, keepdim=True)  # (B, 1)
    share = (
        2 * torch.arange(steps, device=audio.device) + 1
    ) / steps - 1  # -1 to 1, from the clip's start to its end
    times = middle + torch.where(reach > 0, reach, middle) * share  # (B, steps)
    centres = centres.to(audio.device)
    spacing = centres[1] - centres[0] if len(centres) > 1 else 1.0
    place = ((times - centres[0]) / spacing).clamp(0, audio.shape[-1] - 1)
    before = place.long()
    after = (before + 1).clamp_max(audio.shape[-1] - 1)
    weight = (place - before)[:, None].to(audio.dtype)

    def at(tokens: Tensor) -> Tensor:
        return audio.gather(2, tokens[:, None].expand(-1, audio.shape[1], -1))

    return torch.lerp(at(before), at(after), weight)


class Elementwise(nn.Module):
    """Audio of the same time step added to, multiplied with or concatenated to every position."""

    by_step = True

    def __init__(self, kind: FusionName, channels: int, audio_channels: int) -> None:
        super().__init__()
        self.kind = kind
        self.sound = nn.Conv1d(audio_channels, channels, 1)
        self.mix = VideoConvolution(2 * channels, channels, 1) if kind == "concat" else nn.Identity()

    def forward(self, features: Tensor, audio: Tensor) -> Tensor:
        """Fuse."""
        sound = self.sound(audio)[..., None, None].expand_as(features)
        if self.kind == "add":
            return features + sound
        if self.kind == "mul":
            return features * sound
        return self.mix(torch.cat([features, sound], dim=1))


class Bilinear(nn.Module):
    """Bilinear form of the visual features at each position and the audio of its time step.

    ``low_rank``: a product of two projections to ``rank`` channels, projected back; ``full``: ``nn.Bilinear`` on
    projections to a quarter of ``rank`` (STAViS has 128).
    """

    by_step = True

    def __init__(self, channels: int, audio_channels: int, rank: int, form: BilinearForm) -> None:
        super().__init__()
        self.form = form
        width = rank if form == "low_rank" else rank // 4
        self.visual = nn.Linear(channels, width)
        self.sound = nn.Linear(audio_channels, width)
        self.out: nn.Linear | nn.Bilinear = (
            nn.Linear(width, channels) if form == "low_rank" else nn.Bilinear(width, width, channels)
        )

    def forward(self, features: Tensor, audio: Tensor) -> Tensor:
        """Fuse."""
        visual = self.visual(features.movedim(1, -1))  # (B, T, h, w, width)
        sound = self.sound(audio.transpose(1, 2))[:, :, None, None]
        if self.form == "low_rank":
            fused = self.out(visual * sound)
        else:
            fused = self.out(visual.relu(), sound.relu().expand_as(visual).contiguous())
        return fused.movedim(-1, 1)


class BottleneckTransformer(nn.Module):
    """Two transformers, one for each modality, that exchange information through a few bottleneck tokens only.

    Source: Nagrani et al., "Attention Bottlenecks for Multimodal Fusion" (NeurIPS 2021), Equations 8 and 9: in each
    layer both modalities attend to themselves and to the bottleneck, whose two versions are then averaged.
    """

    def __init__(
        self,
        channels: int,
        audio_channels: int,
        width: int,
        layers: int = 2,
        bottlenecks: int = 4,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.visual_in = nn.Linear(channels, width)
        self.sound_in = nn.Linear(audio_channels, width)
        self.bottleneck = nn.Parameter(0.02 * torch.randn(1, bottlenecks, width))

        def transformer(depth: int) -> nn.ModuleList:
            return nn.ModuleList(
                TransformerLayer(width, heads, width // heads, 4 * width) for _ in range(depth)
            )

        self.visual_layers = transformer(layers)
        # the last exchange reaches the visual tokens from the layer before: a last layer of audio would have no effect
        self.sound_layers = transformer(layers - 1)
        self.norm = LayerNorm(width)
        self.visual_out = nn.Linear(width, channels)

    def forward(self, features: Tensor, audio: Tensor) -> Tensor:
        """Fuse."""
        visual = self.visual_in(features.flatten(2).transpose(1, 2))  # (B, N, width)
        sound = self.sound_in(audio.transpose(1, 2))  # (B, n, width)
        shared = self.bottleneck.expand(len(visual), -1, -1)
        n_visual, n_sound = visual.shape[1], sound.shape[1]
        for index, look in enumerate(self.visual_layers):
            seen = look(torch.cat([visual, shared], dim=1))
            visual, shared_seen = seen[:, :n_visual], seen[:, n_visual:]
            if index < len(self.sound_layers):
                attended = self.sound_layers[index](torch.cat([sound, shared], dim=1))
                sound, shared = attended[:, :n_sound], (shared_seen + attended[:, n_sound:]) / 2
        fused = self.visual_out(self.norm(visual)).transpose(1, 2)
        return fused.unflatten(2, features.shape[2:])


class AudioProduct(nn.Module):
    """One factor per channel, computed from the audio of the whole clip, on the visual features of every scale.

    Not in the paper (D13): audio that is fused at the coarsest scale only is learned late or never where small objects
    decide. It is averaged in a few spans, not over the clip, so that the factors reflect its order.
    """

    spans = 4  # parts of the clip whose audio is averaged separately

    def __init__(self, channels: int, audio_channels: int, scales: int) -> None:
        super().__init__()
        self.factors = nn.ModuleList(nn.Linear(self.spans * audio_channels, channels) for _ in range(scales))

    def forward(self, features: list[Tensor], audio: Tensor) -> list[Tensor]:
        """Multiply features (B, C, T, h_i, w_i) of every scale by audio features (B, C_a, n)."""
        attended = F.adaptive_avg_pool1d(audio, self.spans).flatten(1)  # (B, spans C_a)
        return [
            x * (1 + factor(attended)[:, :, None, None, None])
            for x, factor in zip(features, self.factors, strict=True)
        ]


def build_fusion(
    name: FusionName,
    channels: int,
    audio_channels: int,
    width: int,
    ravf: RAVFSettings,
    bilinear: BilinearForm = "low_rank",
) -> nn.Module:
    """Build a fusion by any name but ``none``; of ``ravf_product`` only its RAVF: its product works on every scale.

    ``width`` is that of the tokens, or the rank of the bilinear form.
    """
    if name in ("ravf", "ravf_product"):
        return RAVF(channels, audio_channels, width, ravf)
    if name == "bilinear":
        return Bilinear(channels, audio_channels, width, bilinear)
    if name == "mbt":
        return BottleneckTransformer(channels, audio_channels, width)
    return Elementwise(name, channels, audio_channels)
