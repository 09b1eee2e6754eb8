"""S3D video encoder (DiffSal's Table 7).

Source: Xie et al., "Rethinking Spatiotemporal Feature Learning" (ECCV 2018); blocks by torchvision (BSD-3-Clause).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.video import S3D_Weights, s3d

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.backbones.weights import StateDict, rename
from lightning_avsp.layers.video_convolution import use_video_layers

KYLEMIN: tuple[tuple[str, str], ...] = (
    (r"base\.(\d+\.branch0)\.0\.conv\.(.+)", r"features.\1.0.\2"),
    (r"base\.(\d+\.branch0)\.0\.bn\.(.+)", r"features.\1.1.\2"),
    *(
        (rf"base\.([\w.]+)\.{theirs}\.(.+)", rf"features.\1.{ours}.\2")
        for theirs, ours in (
            *(("conv_s", "0.0"), ("bn_s", "0.1"), ("conv_t", "1.0"), ("bn_t", "1.1")),
            *(("conv", "0"), ("bn", "1")),
        )
    ),
    (r"fc\.0\.(.+)", r"classifier.1.\1"),
)
"""Names in ``S3D_kinetics400.pt`` (https://github.com/kylemin/S3D, MIT), which ViNet starts from: torchvision's."""


class S3DEncoder(VideoEncoder):
    """S3D without its classifier, tapped before each spatial halving.

    Of 16 frames it gives 8, 8, 4 and 2 time steps (finest to deepest).
    """

    pixel_mean = (0.43216, 0.394666, 0.37645)
    pixel_std = (0.22803, 0.22145, 0.216989)
    label = "video encoder (s3d)"
    weight_source = WeightSource.torchvision(S3D_Weights.KINETICS400_V1)
    unused_weights = ("classifier.",)
    stage_channels = (192, 480, 832, 1024)
    """Channels of the features of each stage, the finest first."""

    def __init__(self, num_scales: int = 4) -> None:
        super().__init__()
        self.features: nn.Sequential = s3d(weights=None).features
        use_video_layers(self.features)
        self.taps = (3, 6, 12, 15)[-num_scales:]
        self.channels = (1024, 832, 480, 192)[:num_scales]
        self.strides = VideoEncoder.strides[:num_scales]

    def translate(self, state: StateDict) -> StateDict:
        """Translate the names of kylemin's file; those of torchvision's stay."""
        return rename(state, KYLEMIN)

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode frames (B, 3, T, H, W) to features (B, C_i, T_i, H / s_i, W / s_i), deepest first."""
        x = video
        features: list[Tensor] = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                features.append(x)
        return tuple(features[::-1])

    def stages(self) -> Sequence[nn.Module]:
        """Return the layers in four parts, each of which ends with one of the four scales, the finest first."""
        ends = (4, 7, 13, 16)
        return [self.features[start:end] for start, end in zip((0, *ends), ends, strict=False)]
