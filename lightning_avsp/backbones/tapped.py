"""Video encoders of DiffSal's Table 7 and Section 4.1 beside MViT: libraries' networks whose layers are tapped.

R3D-18, S3D and Video Swin are torchvision's (BSD-3-Clause), Slow R50 is PyTorchVideo's (Apache-2.0).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.video import (
    R3D_18_Weights,
    S3D_Weights,
    Swin3D_T_Weights,
    r3d_18,
    s3d,
    swin3d_t,
)

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.backbones.weights import StateDict, rename
from lightning_avsp.errors import MissingDependencyError
from lightning_avsp.layers.normalization import LayerNorm
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


class TappedEncoder(VideoEncoder):
    """Layers in a row, of which some leave the features of a scale.

    Args:
        network: Part that the library made; its convolutions and norms become ours.
        channels: Channels of all four scales, deepest first.
        taps: Indices of the layers that leave them, finest first.
        num_scales: Number of scales that are returned, from the deepest.
    """

    def __init__(
        self, network: nn.Module, channels: tuple[int, ...], taps: tuple[int, ...], num_scales: int
    ) -> None:
        super().__init__()
        use_video_layers(network)
        self.taps = taps[-num_scales:]
        self.channels = channels[:num_scales]
        self.strides = VideoEncoder.strides[:num_scales]

    @abstractmethod
    def layers(self) -> Iterable[nn.Module]:
        """Return the layers."""

    def leave(self, x: Tensor, scale: int) -> Tensor:
        """Return the features of a scale, counted from the finest that is returned, from what a layer gave."""
        return x

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode normalised frames (B, 3, T, H, W) to features (B, C_i, T_i, H / s_i, W / s_i), deepest first."""
        x = video
        features: list[Tensor] = []
        for index, layer in enumerate(self.layers()):
            x = layer(x)
            if index in self.taps:
                features.append(self.leave(x, len(features)))
        return tuple(features[::-1])  # decoders begin at the deepest


class R3D18(TappedEncoder):
    """R3D-18 without its classifier; Tran et al., "A Closer Look at Spatiotemporal Convolutions" (CVPR 2018).

    Its four stages have strides 2, 4, 8 and 16; each is averaged over 2x2 pixels to the common 4, 8, 16 and 32. Of 16
    frames it gives 16, 8, 4 and 2 time steps (finest to deepest).
    """

    # of torchvision's transforms for these weights, as for the encoders below
    pixel_mean = (0.43216, 0.394666, 0.37645)
    pixel_std = (0.22803, 0.22145, 0.216989)
    label = "video encoder (r3d_18)"
    loaded_module = "trunk"
    weight_source = WeightSource.torchvision(R3D_18_Weights.KINETICS400_V1)
    unused_weights = ("fc.",)

    def __init__(self, num_scales: int = 4) -> None:
        trunk = r3d_18(weights=None)
        del trunk.fc  # sees no gradient, which DDP would take for a mistake
        super().__init__(trunk, (512, 256, 128, 64), (1, 2, 3, 4), num_scales)
        self.trunk = trunk

    def layers(self) -> Iterable[nn.Module]:
        """Return the stem and the four stages."""
        trunk = self.trunk
        return (trunk.stem, trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4)

    def leave(self, x: Tensor, scale: int) -> Tensor:
        """Average to the strides that all encoders share."""
        return F.avg_pool3d(x, (1, 2, 2))


class SlowR50(TappedEncoder):
    """Slow R50, the 3D ResNet-50 of PyTorchVideo; Feichtenhofer et al., "SlowFast" (ICCV 2019).

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
        try:
            from pytorchvideo.models.hub import slow_r50
        except ImportError as error:
            raise MissingDependencyError(
                "video_encoder=slow_r50 needs pytorchvideo, which is not installed; "
                "pip install 'lightning-avsp[video]', or use video_encoder=r3d_18"
            ) from error
        blocks: nn.ModuleList = slow_r50(pretrained=False).blocks[:5]  # the sixth is the classifier
        super().__init__(blocks, (2048, 1024, 512, 256), (1, 2, 3, 4), num_scales)
        self.blocks = blocks

    def layers(self) -> Iterable[nn.Module]:
        """Return the stem and the four stages."""
        return self.blocks


class S3DEncoder(TappedEncoder):
    """S3D without its classifier, tapped before each spatial halving.

    Of 16 frames it gives 8, 8, 4 and 2 time steps (finest to deepest). Source: Xie et al., "Rethinking Spatiotemporal
    Feature Learning" (ECCV 2018).
    """

    pixel_mean = (0.43216, 0.394666, 0.37645)
    pixel_std = (0.22803, 0.22145, 0.216989)
    label = "video encoder (s3d)"
    weight_source = WeightSource.torchvision(S3D_Weights.KINETICS400_V1)
    unused_weights = ("classifier.",)
    stage_channels = (192, 480, 832, 1024)
    """Channels of the features of each stage, the finest first."""

    def __init__(self, num_scales: int = 4) -> None:
        features: nn.Sequential = s3d(weights=None).features
        super().__init__(features, self.stage_channels[::-1], (3, 6, 12, 15), num_scales)
        self.features = features

    def translate(self, state: StateDict) -> StateDict:
        """Translate the names of kylemin's file; those of torchvision's stay."""
        return rename(state, KYLEMIN)

    def layers(self) -> Iterable[nn.Module]:
        """Return the convolutions, blocks and poolings."""
        return self.features

    def stages(self) -> Sequence[nn.Module]:
        """Return the layers in four parts, each of which ends with one of the four scales, the finest first."""
        ends = (4, 7, 13, 16)
        return [self.features[start:end] for start, end in zip((0, *ends), ends, strict=False)]


class Swin3DTiny(TappedEncoder):
    """Swin3D-T without its classifier, tapped after each of its four stages, with a layer norm at each tap.

    Of 16 frames it gives 8 time steps at every scale. Source: Liu et al., "Video Swin Transformer" (CVPR 2022).
    """

    pixel_mean = (0.485, 0.456, 0.406)
    pixel_std = (0.229, 0.224, 0.225)
    label = "video encoder (swin3d_t)"
    loaded_module = "trunk"
    weight_source = WeightSource.torchvision(Swin3D_T_Weights.KINETICS400_V1)
    unused_weights = ("head.", "norm.")

    def __init__(self, num_scales: int = 4) -> None:
        trunk = swin3d_t(weights=None)
        del trunk.head, trunk.norm  # they see no gradient either
        # patch embedding, then stages with the merging of patches between them
        super().__init__(trunk, (768, 384, 192, 96), (1, 3, 5, 7), num_scales)
        self.trunk = trunk
        self.norms = nn.ModuleList(LayerNorm(width) for width in self.channels[::-1])

    def layers(self) -> Iterable[nn.Module]:
        """Return the patch embedding, the stages and the mergings."""
        return (self.trunk.patch_embed, *self.trunk.features)

    def leave(self, x: Tensor, scale: int) -> Tensor:
        """Normalise (B, T, h, w, C) to (B, C, T, h, w)."""
        return self.norms[scale](x).movedim(-1, 1)
