"""A network that gives its map in one pass, seen as a denoiser that ignores its noise."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.diffusion import Sampling
from lightning_avsp.structures import Condition, DiffusionNetwork, DirectNetwork, Explanation

ONE_PASS = Sampling(steps=1)
"""Sampling that calls such a network once and returns its map."""


class OnePass(DiffusionNetwork):
    """What predictors and audits ask of a denoiser, answered by a :class:`DirectNetwork`.

    The map is the condition: whatever noise it starts from, sampling with :data:`ONE_PASS` returns it.

    Args:
        network: Gives the map of a clip.
    """

    def __init__(self, network: DirectNetwork) -> None:
        super().__init__()
        self.network = network
        self.pixel_mean, self.pixel_std = network.pixel_mean, network.pixel_std
        self.clip_frames, self.audio_form = network.clip_frames, network.audio_form

    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        """The map itself, (B, 1, 1, H, W), as the only features; the sound if it had a part in it."""
        saliency = self.network(video, audio, text)  # (B, 1, H, W)
        return Condition(video=(saliency[:, :, None],), audio=audio if self.network.uses_audio else None)

    def explain(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> list[Explanation]:
        """What the network shows itself."""
        return self.network.explain(video, audio, text, saliency)

    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The map that :meth:`encode` made, at the size of ``noisy_map``."""
        saliency = condition.video[0][:, :, 0].float()  # (B, 1, H, W)
        if saliency.shape[-2:] == noisy_map.shape[-2:]:
            return saliency
        return F.interpolate(saliency, size=noisy_map.shape[-2:], mode="bilinear", align_corners=False)
