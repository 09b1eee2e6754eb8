"""Encoding of a clip to the condition of the denoiser: encoders, text fusion, and substitutes for missing inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder, VideoEncoder
from lightning_avsp.backbones.registry import VideoEncoderName, build_video_encoder
from lightning_avsp.backbones.weights import PartReport
from lightning_avsp.errors import InputError
from lightning_avsp.layers.normalization import group_norm
from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.inputs import check_frame_size
from lightning_avsp.papers.tavdiff.condition import AudioTokens, CaptionTokens, PositionInClip, VisualOnly
from lightning_avsp.papers.tavdiff.products import StageProducts
from lightning_avsp.papers.tavdiff.sitr import SITR
from lightning_avsp.structures import Condition


class SeparableConvolution(nn.Sequential):
    """Convolution in space, then in time (kernel 3), each with group norm and swish: S3D's separable block."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, time_stride: int = 1
    ) -> None:
        pad = kernel // 2
        super().__init__(
            VideoConvolution(
                in_channels, out_channels, (1, kernel, kernel), (1, stride, stride), (0, pad, pad)
            ),
            group_norm(out_channels),
            nn.SiLU(),
            VideoConvolution(out_channels, out_channels, (3, 1, 1), (time_stride, 1, 1), (1, 0, 0)),
            group_norm(out_channels),
            nn.SiLU(),
        )


class TinySeparableEncoder(VideoEncoder):
    """Frames to one scale of 64 channels at an eighth of their size and a quarter of their number.

    S3D's deepest scale has a 32nd of the size; frames of 64x128 would keep 2x4 positions.
    """

    label = "video encoder (tiny)"
    channels = (64,)
    strides = (8,)
    stage_channels = (32, 64, 64)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            SeparableConvolution(3, 32, kernel=7, stride=4, time_stride=2),
            SeparableConvolution(32, 64, stride=2, time_stride=2),
            # the last stage keeps the size: 8x16 positions at 64x128
            SeparableConvolution(64, 64),
        )

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode frames (B, 3, T, H, W) to one map (B, 64, T / 4, H / 8, W / 8)."""
        return (self.layers(video),)

    def stages(self) -> Sequence[nn.Module]:
        """Return the three blocks."""
        return tuple(self.layers)


def build_frames(
    name: VideoEncoderName, weights: str | None, frozen: bool
) -> tuple[VideoEncoder, PartReport]:
    """Build the encoder of the frames, which returns its deepest scale alone, and report what it started from.

    Any video encoder; ``tiny`` is :class:`TinySeparableEncoder`. Arguments and errors as of
    :func:`build_video_encoder`.
    """
    if name != "tiny":
        return build_video_encoder(name, 1, weights, frozen)
    encoder = TinySeparableEncoder()
    return encoder, encoder.prepare(weights, frozen)


Modalities = Literal["v", "av", "tv", "ta", "tav"]
"""Inputs of the network: t text, a audio, v video."""

NAMES = {"v": "video", "a": "audio", "t": "text"}
"""Meaning of the letters of ``modalities``."""
CAUSES = {
    "video": "a clip has frames",
    "audio": "give waveforms (data.audio=Waveform), or choose modalities without a",
    "text": "give captions (data.captions), or choose modalities without t",
}
"""Remedy when an input is missing in training."""


class ConditionEncoder(nn.Module):
    """Encoder of visual tokens f_tv, audio tokens and, without video, caption tokens, all of the denoiser's width.

    In training every input of the network must be given. At test time missing ones are left out: without audio or
    video their tokens are, without text the visual features are those of a network without text.

    Args:
        modalities: Inputs: ``v``, ``av``, ``tv``, ``ta`` or ``tav``; an encoder is needed for each letter.
        width: Width d of the tokens.
        text_width: Width of the text token features.
        video_encoder: Encoder of the frames.
        fusion: Fusion of text and video, made for the video encoder's channels.
        audio_encoder: Encoder of the waveform.
        products: True for the audio, and for the text, whose function the visual features are multiplied by (X20).

    Raises:
        InputError: If there are to be products and the video encoder cannot be run stage by stage.
    """

    def __init__(
        self,
        modalities: Modalities,
        width: int,
        text_width: int,
        video_encoder: VideoEncoder | None = None,
        fusion: VisualOnly | SITR | None = None,
        audio_encoder: AudioEncoder | None = None,
        products: tuple[bool, bool] = (False, False),
    ) -> None:
        super().__init__()
        self.modalities = modalities
        self.text_width = text_width
        self.video_encoder = video_encoder
        self.fusion = fusion
        self.place = PositionInClip(width) if video_encoder is not None else None
        self.audio_encoder = audio_encoder
        self.sound: AudioTokens | None = None
        if audio_encoder is not None:
            self.sound = AudioTokens(audio_encoder.out_channels, width)
        # with video, text acts through its fusion alone
        in_condition = modalities.replace("t", "") if "v" in modalities else modalities
        self.caption = CaptionTokens(text_width, width) if "t" in in_condition else None
        self.products: StageProducts | None = None
        if video_encoder is not None and any(products):
            sound_width = audio_encoder.out_channels if products[0] and audio_encoder is not None else None
            self.products = StageProducts(video_encoder, sound_width, text_width if products[1] else None)
        # marks the modality of each token of the condition
        self.kind = nn.ParameterDict({NAMES[letter]: torch.randn(width) * 0.02 for letter in in_condition})

    def forward(
        self, video: Tensor | None, audio: Tensor | None, text: Tensor | None, saliency: Tensor | None
    ) -> Condition:
        """Compute the condition of a batch of clips; arguments and errors as of :meth:`TAVDiff.encode`."""
        given = {"video": video, "audio": audio, "text": text}
        missing = [NAMES[letter] for letter in self.modalities if given[NAMES[letter]] is None]
        # a run that silently trains without an input would be scored as with it
        if self.training and missing:
            raise InputError(
                f"modalities={self.modalities} reads {missing[0]}, which the training clips lack: {CAUSES[missing[0]]}"
            )
        text = self._check_text(text)
        # (B, C, n)
        encoded = None if audio is None or self.audio_encoder is None else self.audio_encoder(audio)
        sound = None if encoded is None or self.sound is None else self.sound(encoded)
        sound = None if sound is None else sound + self.kind["audio"].to(sound.dtype)
        visual = self._encode_video(video, encoded, text, saliency)
        caption = None
        if self.caption is not None and text is not None:
            caption = self.caption(text)
            # rows of zeros stay: they are no tokens
            caption = caption + self.kind["text"].to(caption.dtype) * (caption != 0).any(dim=-1, keepdim=True)
        if visual is None and sound is None and caption is None:
            got = " and ".join(name for name, value in given.items() if value is not None) or "nothing"
            raise InputError(
                f"a network with modalities={self.modalities} can do nothing with {got} alone; give it "
                f"{' or '.join(self.kind)}"
            )
        return Condition(video=() if visual is None else (visual,), audio=sound, text=caption)

    def features(self, video: Tensor, encoded: Tensor | None, text: Tensor | None) -> Tensor:
        """Compute the visual features f_v (B, C, T', h, w), times audio and caption where there are products.

        Args:
            video: Normalised frames (B, 3, T, H, W).
            encoded: Audio features (B, C_a, n), or None.
            text: Token features (B, N, text_width), or None.

        Raises:
            InputError: If this network reads no video, or the frames' size is no multiple of 32.
        """
        if self.video_encoder is None:
            raise InputError(f"a network with modalities={self.modalities} has no visual features")
        check_frame_size("TAVDiff", video)
        if self.products is not None:
            multiplied: Tensor = self.products(self.video_encoder, video, encoded, text)
            return multiplied
        features: Tensor = self.video_encoder(video)[0]
        return features

    def _check_text(self, text: Tensor | None) -> Tensor | None:
        if text is None or "t" not in self.modalities:
            return None
        if text.shape[-1] != self.text_width:
            raise InputError(
                f"the captions' token features have {text.shape[-1]} channels but the network was built for "
                f"text_width={self.text_width}; set text_width={text.shape[-1]}, or make the features anew"
            )
        return text

    def _encode_video(
        self, video: Tensor | None, encoded: Tensor | None, text: Tensor | None, saliency: Tensor | None
    ) -> Tensor | None:
        if video is None or self.fusion is None or self.place is None:
            return None
        visual = self.fusion(self.features(video, encoded, text), text, saliency)  # f_tv (B, d, T', h, w)
        return self.place(visual) + self.kind["video"][:, None, None, None].to(visual.dtype)

    def shown(self, video: Tensor, audio: Tensor | None, text: Tensor) -> Tensor:
        """Compute the visual features that SITR reads, for showing its choices: (B, C, T', h, w)."""
        encoded = None if audio is None or self.audio_encoder is None else self.audio_encoder(audio)
        return self.features(video, encoded, self._check_text(text))
