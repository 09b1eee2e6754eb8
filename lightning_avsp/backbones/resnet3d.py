"""3D ResNet video encoders (DiffSal's Table 7): torchvision's R3D-18 and PyTorchVideo's Slow R50."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.video import R3D_18_Weights, r3d_18

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.errors import MissingDependencyError
from lightning_avsp.layers.video_convolution import use_video_layers


class R3D18(VideoEncoder):
    """R3D-18 without its classifier; Tran et al., "A Closer Look at Spatiotemporal Convolutions" (CVPR 2018).

    Its four stages have strides 2, 4, 8 and 16; each is averaged over 2x2 pixels to the common 4, 8, 16 and 32. Of 16
    frames it gives 16, 8, 4 and 2 time steps (finest to deepest).
    """

    pixel_mean = (0.43216, 0.394666, 0.37645)
    pixel_std = (0.22803, 0.22145, 0.216989)
    label = "video encoder (r3d_18)"
    loaded_module = "trunk"
    weight_source = WeightSource.torchvision(R3D_18_Weights.KINETICS400_V1)
    unused_weights = ("fc.",)

    def __init__(self, num_scales: int = 4) -> None:
        super().__init__()
        self.trunk = r3d_18(weights=None)
        del self.trunk.fc
        use_video_layers(self.trunk)
        self.num_scales = num_scales
        self.channels = (512, 256, 128, 64)[:num_scales]
        self.strides = VideoEncoder.strides[:num_scales]

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode frames (B, 3, T, H, W) to features (B, C_i, T_i, H / s_i, W / s_i), deepest first."""
        x = self.trunk.stem(video)  # (B, 64, T, H/2, W/2)
        features: list[Tensor] = []
        for stage in (self.trunk.layer1, self.trunk.layer2, self.trunk.layer3, self.trunk.layer4):
            x = stage(x)
            features.append(x)
        # all encoders share strides 4 to 32
        return tuple(F.avg_pool3d(x, (1, 2, 2)) for x in features[::-1][: self.num_scales])


class SlowR50(VideoEncoder):
    """Slow R50, the 3D ResNet-50 of PyTorchVideo (Apache-2.0); Feichtenhofer et al., "SlowFast" (ICCV 2019).

    It never strides in time: every scale has as many steps as the clip has frames.

    Raises:
        MissingDependencyError: If PyTorchVideo is not installed.
    """

    label = "video encoder (slow_r50)"
    unused_weights = ("blocks.5.",)
    weight_source = WeightSource(
        key="kinetics400",
        name="PyTorchVideo SLOW_8x8_R50",
        url="https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/SLOW_8x8_R50.pyth",
        licence="published with PyTorchVideo (Apache-2.0); trained on Kinetics-400",
        megabytes=124,
    )

    def __init__(self, num_scales: int = 4) -> None:
        super().__init__()
        try:
            from pytorchvideo.models.hub import slow_r50
        except ImportError as error:
            raise MissingDependencyError(
                "video_encoder=slow_r50 needs pytorchvideo, which is not installed; "
                "pip install 'lightning-avsp[video]', or use video_encoder=r3d_18"
            ) from error
        # stem and four stages; the sixth block is the classifier
        self.blocks: nn.ModuleList = slow_r50(pretrained=False).blocks[:5]
        use_video_layers(self.blocks)
        self.num_scales = num_scales
        self.channels = (2048, 1024, 512, 256)[:num_scales]
        self.strides = VideoEncoder.strides[:num_scales]

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode frames (B, 3, T, H, W) to features (B, C_i, T, H / s_i, W / s_i), deepest first."""
        x = self.blocks[0](video)  # (B, 64, T, H/4, W/4)
        features: list[Tensor] = []
        for stage in self.blocks[1:]:
            x = stage(x)
            features.append(x)
        return tuple(features[::-1][: self.num_scales])
