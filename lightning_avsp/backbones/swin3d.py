"""Video Swin Transformer encoder, tiny size (Section 4.1 of DiffSal names it as an alternative).

Source: Liu et al., "Video Swin Transformer" (CVPR 2022); blocks by torchvision (BSD-3-Clause).
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.video import Swin3D_T_Weights, swin3d_t

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.video_convolution import use_video_layers


class Swin3DTiny(VideoEncoder):
    """Swin3D-T without its classifier, tapped after each of its four stages, with a layer norm at each tap.

    Of 16 frames it gives 8 time steps at every scale.
    """

    pixel_mean = (0.485, 0.456, 0.406)
    pixel_std = (0.229, 0.224, 0.225)
    label = "video encoder (swin3d_t)"
    loaded_module = "trunk"
    weight_source = WeightSource.torchvision(Swin3D_T_Weights.KINETICS400_V1)
    unused_weights = ("head.", "norm.")

    def __init__(self, num_scales: int = 4) -> None:
        super().__init__()
        self.trunk = swin3d_t(weights=None)
        del self.trunk.head
        del self.trunk.norm
        use_video_layers(self.trunk)
        # stages at 0, 2, 4, 6; patch merging between them
        self.taps = (0, 2, 4, 6)[-num_scales:]
        self.channels = (768, 384, 192, 96)[:num_scales]
        self.strides = VideoEncoder.strides[:num_scales]
        self.norms = nn.ModuleList(LayerNorm(width) for width in self.channels[::-1])

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode frames (B, 3, T, H, W) to features (B, C_i, T / 2, H / s_i, W / s_i), deepest first."""
        x = self.trunk.patch_embed(video)  # (B, T/2, H/4, W/4, C)
        features: list[Tensor] = []
        for index, layer in enumerate(self.trunk.features):
            x = layer(x)
            if index in self.taps:
                features.append(self.norms[len(features)](x).movedim(-1, 1))  # (B, C, T/2, h, w)
        return tuple(features[::-1])
