"""Convolutions over clips, each computed in the form that the hardware is fast at."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.depthwise import depthwise_convolution
from lightning_avsp.layers.normalization import LayerNorm

Triple = tuple[int, int, int]


class ConvGeometry(NamedTuple):
    """Arguments of a 3-D convolution apart from its tensors."""

    stride: Triple
    padding: Triple
    dilation: Triple
    groups: int


Form = Callable[[Tensor, Tensor, "Tensor | None", ConvGeometry], Tensor]
"""Function of clip (B, C, T, H, W), weight and bias as of ``nn.Conv3d``, and geometry."""


def fold_frames(x: Tensor) -> Tensor:
    """Fold (B, C, T, H, W) to (B T, C, H, W), without a copy where the channels lie last in memory."""
    return x.transpose(1, 2).flatten(0, 1)


def unfold_frames(x: Tensor, batch: int) -> Tensor:
    """Unfold (B T, C, H, W) to (B, C, T, H, W), without a copy."""
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


def convolve_plain(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> Tensor:
    """Convolve with the library's 3-D convolution."""
    return F.conv3d(x, weight, bias, *geometry)


def convolve_points(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> Tensor:
    """Convolve with a (1, 1, 1) kernel as a linear layer on channels-last tokens."""
    return F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)


def convolve_space(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> Tensor:
    """Convolve with a (1, k, k) kernel as 2-D convolution of every frame."""
    stride, padding, dilation, groups = geometry
    frames, plane = fold_frames(x), weight.squeeze(2)
    y = F.conv2d(frames, plane, bias, stride[1:], padding[1:], dilation[1:], groups)
    return unfold_frames(y, x.shape[0])


def convolve_time(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> Tensor:
    """Convolve with a (k, 1, 1) kernel as 2-D convolution over time and all positions of the frame."""
    stride, padding, dilation, groups = geometry
    sizes = (stride[0], 1), (padding[0], 0), (dilation[0], 1)
    y = F.conv2d(x.flatten(3), weight.squeeze(-1), bias, *sizes, groups)  # (B, C', T', H W)
    return y.unflatten(3, x.shape[3:])


def convolve_windows(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> Tensor:
    """Convolve in 2-D with the frames of each window of time side by side as channels.

    Channels are filled up with zeros to a multiple of 8, which matrix units want.
    """
    stride, padding, dilation, _ = geometry
    kernel = weight.shape[2]
    clip = F.pad(x.permute(0, 2, 3, 4, 1), (0, 0, 0, 0, 0, 0, padding[0], padding[0]))  # (B, T, H, W, C)
    windows = clip.unfold(1, dilation[0] * (kernel - 1) + 1, stride[0])[..., :: dilation[0]]
    frames = windows.transpose(-1, -2).flatten(-2)  # (B, T', H, W, k C)
    flat = weight.transpose(1, 2).flatten(1, 2)  # (C', k C, kh, kw)
    missing = -flat.shape[1] % 8
    if missing:
        frames, flat = F.pad(frames, (0, missing)), F.pad(flat, (0, 0, 0, 0, 0, missing))
    if flat.shape[-2:] == (1, 1) and stride[1:] == (1, 1):
        return F.linear(frames, flat.flatten(1), bias).movedim(-1, 1)
    y = F.conv2d(frames.flatten(0, 1).movedim(-1, 1), flat, bias, stride[1:], padding[1:], dilation[1:])
    return unfold_frames(y, x.shape[0])


def convolve_patches(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> Tensor:
    """Convolve channel by channel, with a (1, k, k) kernel and as large a stride, as weighted sum of each patch."""
    height, width = weight.shape[3:]
    tokens = x.permute(0, 2, 3, 4, 1)  # (B, T, H, W, C)
    tokens = tokens[:, :, : x.shape[3] // height * height, : x.shape[4] // width * width]
    tokens = tokens.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # (B, T, H', k, W', k, C)
    sums = (tokens * weight[:, 0, 0].movedim(0, -1)[:, None].to(tokens.dtype)).sum(dim=(3, 5))
    return (sums if bias is None else sums + bias.to(sums.dtype)).movedim(-1, 1)


def convolve_taps(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> Tensor:
    """Convolve as a sum over the kernel's taps in time, each a 2-D convolution of every frame."""
    stride, padding, dilation, groups = geometry
    total: Tensor | None = None
    steps = (x.shape[2] + 2 * padding[0] - dilation[0] * (weight.shape[2] - 1) - 1) // stride[0] + 1
    for tap in range(weight.shape[2]):
        offset = tap * dilation[0] - padding[0]  # frame that step 0 reads
        first = max(0, -(offset // stride[0]))  # first and last step that read a frame of the clip
        last = min(steps - 1, (x.shape[2] - 1 - offset) // stride[0])
        if last < first:
            continue
        frames = x[:, :, offset + first * stride[0] : offset + last * stride[0] + 1 : stride[0]]
        y = F.conv2d(
            fold_frames(frames), weight[:, :, tap], None, stride[1:], padding[1:], dilation[1:], groups
        )
        y = F.pad(unfold_frames(y, x.shape[0]), (0, 0, 0, 0, first, steps - 1 - last))
        total = y if total is None else total + y
    assert total is not None, "the kernel reads no frame"
    return total if bias is None else total + bias.to(total.dtype)[:, None, None, None]


def convolve_depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> Tensor:
    """Convolve channel by channel with our own kernel on channels-last memory."""
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    stride, padding, dilation, channels = geometry
    results = weight.shape[0] // channels
    if results > 1:  # of each channel, side by side: then loads are of adjacent values
        x = torch.stack([x.movedim(1, -1)] * results, dim=-1).flatten(-2).movedim(-1, 1)
    y = depthwise_convolution(x, weight, list(stride), list(padding), list(dilation))
    return y if bias is None else y + bias.to(y.dtype)[:, None, None, None]


FORMS: dict[str, Form] = {
    "plain": convolve_plain,
    "points": convolve_points,
    "space": convolve_space,
    "time": convolve_time,
    "windows": convolve_windows,
    "patches": convolve_patches,
    "taps": convolve_taps,
    "depthwise": convolve_depthwise,
}


class VideoConvolution(nn.Conv3d):
    """``nn.Conv3d`` with the same parameters, initialisation and result, computed in the form that suits its kernel.

    The result's channels lie last in memory, and nothing is copied where those of the input do, too.
    The channels of the input may be a multiple of ``in_channels``: each set is convolved with the same weight.

    Attributes:
        form: Key of :data:`FORMS` to compute in; None chooses by kernel and device.
    """

    form: str | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, T, H, W) to (B, C', T', H', W')."""
        weight, bias, sets = self.weight, self.bias, input.shape[1] // self.in_channels
        form = self.form or self.best_form(input.device.type, input.shape[2])
        if form == "depthwise":  # reads strided memory, and each weight for every set
            return convolve_depthwise(input, weight, bias, self.geometry())
        memory = torch.channels_last_3d
        if form == "plain" and self._has_unsafe_gradient(input):
            if self.kernel_size[0] < input.shape[2] or self.kernel_size[0] == 1:
                memory = torch.contiguous_format
            else:
                form = "windows" if self.groups == 1 else "taps"
        input = input.contiguous(memory_format=memory)
        if sets > 1:
            weight = weight.repeat(sets, 1, 1, 1, 1)
            bias = None if bias is None else bias.repeat(sets)
        return FORMS[form](input, weight, bias, self.geometry(sets))

    def _has_unsafe_gradient(self, x: Tensor) -> bool:
        """Detect a convolution for which oneDNN 3.10 (torch 2.11) leaves rows of the weight's gradient unwritten.

        On the CPU, in channels-last memory: kernels that stride in time, or are as long as the clip or longer, and
        dilated ones of single channels in bfloat16.
        """
        needed = x.device.type == "cpu" and torch.is_grad_enabled() and self.weight.requires_grad
        geometry = self.geometry()
        long = self.kernel_size[0] > 1 and (self.kernel_size[0] >= x.shape[2] or geometry.stride[0] > 1)
        spread = self.groups == self.in_channels and max(geometry.dilation) > 1
        return needed and (long or spread)

    def geometry(self, sets: int = 1) -> ConvGeometry:
        """Return stride, padding, dilation and number of groups for ``sets`` sets of channels."""
        assert not isinstance(self.padding, str)
        return ConvGeometry(
            _triple(self.stride), _triple(self.padding), _triple(self.dilation), sets * self.groups
        )

    def forms(self) -> list[str]:
        """Return the names of all forms that compute this convolution, the plain one first."""
        depthwise = self.groups == self.in_channels
        stride, padding, _, _ = self.geometry()
        in_time = self.kernel_size[0] > 1 or stride[0] > 1 or padding[0] > 0
        in_space = self.kernel_size[1:] != (1, 1) or stride[1:] != (1, 1) or padding[1:] != (0, 0)
        fits = {
            "points": not in_time and not in_space and self.groups == 1,
            "space": not in_time,
            "time": not in_space,
            "windows": self.groups == 1,
            "patches": depthwise
            and self.out_channels == self.in_channels
            and not in_time
            and stride == self.kernel_size
            and padding == (0, 0, 0),
            "taps": True,
            "depthwise": depthwise,
        }
        return ["plain", *(name for name, fit in fits.items() if fit)]

    def best_form(self, device: str, steps: int) -> str:
        """Choose the form for a type of device and a number of input time steps.

        On the CPU the library's 3-D convolution is the fastest once the channels lie last.
        """
        forms = self.forms()
        if device != "cuda":
            return "points" if "points" in forms else "plain"
        if self.kernel_size[0] == steps and "windows" in forms and self.padding[0] == 0:
            return "points" if steps == 1 and "points" in forms else "windows"  # a product over all of time
        if self.in_channels < 8 and self.groups == 1:
            return "windows"
        return next(
            (name for name in ("points", "patches", "depthwise", "space", "time") if name in forms), "plain"
        )


class VideoMaxPool(nn.MaxPool3d):
    """``nn.MaxPool3d`` in two passes of 2-D pooling, over the frame and over time, whose kernels are far faster.

    Where several cells of a window hold its maximum, the gradient may go to another of them.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pool (B, C, T, H, W) to (B, C, T', H', W')."""
        if self.dilation not in (1, (1, 1, 1)) or self.return_indices:
            return super().forward(input)
        (kernel, *space), (stride, *steps) = _triple(self.kernel_size), _triple(self.stride)
        pad, *margins = _triple(self.padding)
        y = input.contiguous(memory_format=torch.channels_last_3d)
        if max(*space, *steps) > 1:
            frames = F.max_pool2d(fold_frames(y), space, steps, margins, ceil_mode=self.ceil_mode)
            y = unfold_frames(frames, input.shape[0])
        if max(kernel, stride) > 1:
            rows = F.max_pool2d(y.flatten(3), (kernel, 1), (stride, 1), (pad, 0), ceil_mode=self.ceil_mode)
            y = rows.unflatten(3, y.shape[3:])
        return y


class VideoBatchNorm(nn.BatchNorm3d):
    """``nn.BatchNorm3d`` that folds time into the batch: the kernels for channels-last memory know maps, not clips."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, T, H, W)."""
        if not input.is_contiguous(memory_format=torch.channels_last_3d):
            return super().forward(input)
        return unfold_frames(super().forward(fold_frames(input)), input.shape[0])

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (4, 5):
            raise ValueError(f"expected (B, C, T, H, W), got {input.dim()} axes")


def use_video_layers(module: nn.Module) -> None:
    """Compute the 3-D convolutions, max poolings and norms of a library's module as ours; names stay."""
    ours: dict[type[nn.Module], type[nn.Module]] = {
        nn.Conv3d: VideoConvolution,
        nn.BatchNorm3d: VideoBatchNorm,
        nn.MaxPool3d: VideoMaxPool,
        nn.LayerNorm: LayerNorm,
    }
    for part in module.modules():
        part.__class__ = ours.get(type(part), type(part))
        if isinstance(part, nn.ReLU):
            part.inplace = (
                False  # results above are views of maps; changed in place, they cost copies backward
            )


def _triple(value: int | tuple[int, ...]) -> Triple:
    """Return one value per axis."""
    first, second, third = (value,) * 3 if isinstance(value, int) else value
    return first, second, third
