"""SoundNet-8: features of a waveform, from both files that its weights are distributed in.

Source: Aytar et al., "SoundNet: Learning Sound Representations from Unlabeled Video" (NIPS 2016), the network of eight
convolutions up to the seventh; STAViS (Tsiami et al., CVPR 2020) ends it with a maximum over pairs of steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.backbones.weights import PartReport, StateDict, load_strict
from lightning_avsp.errors import InputError, require_choice

SoundNetTap = Literal["conv7", "pool7", "conv5"]
"""Layer that features are taken from: the seventh convolution, the pooling behind it, or the fifth convolution."""


@dataclass(frozen=True)
class Layer:
    """One convolution of SoundNet-8, always with stride 2, padded by half its kernel, and with a batch norm."""

    channels: int
    """Channels of its output."""
    kernel: int
    """Length of its kernel, in steps of its input."""
    pool: int = 1
    """Kernel and stride of the maximum pooling behind it; 1: none."""
    sequential: int = 0
    """Index of the convolution in the STAViS file; the batch norm follows it."""


STAGES = (
    Layer(16, 64, 8, 0),
    Layer(32, 32, 8, 4),
    Layer(64, 16, 1, 8),
    Layer(128, 8, 1, 11),
    Layer(256, 4, 4, 14),
    Layer(512, 4, 1, 18),
    Layer(1024, 4, 2, 21),
)
DEPTH: dict[SoundNetTap, int] = {"conv5": 5, "conv7": 7, "pool7": 7}
"""Convolutions that each tap needs; the others are not built, since they would never see a gradient."""

NAME_PREFIX = re.compile(r"(module\.)?(soundnet8?|audionet)\.")
"""Prefix of the names where a whole audio-visual model was saved, or where STAViS packed SoundNet alone."""


class SoundNet8(AudioEncoder):
    """Waveform to a sequence of features: one token for every 2^15 samples, or 2^11 at ``conv5``.

    Of 70560 and 35280 samples ``conv7`` gives 3 and 2 tokens of 1024 channels, ``pool7`` one each, as STAViS,
    ``conv5`` 36 and 18 tokens of 256 channels.

    Raises:
        InputError: If the tap is unknown.
    """

    label = "audio encoder (soundnet8)"
    weight_source = WeightSource(
        key="soundnet8",
        name="SoundNet-8, soundnet8.pth of the STAViS package or soundnet8_final.pth of ViNet",
        url="http://cvsp.cs.ntua.gr/research/stavis/data",
        licence="SoundNet: MIT; of the converted files no terms are known",
        megabytes=15,
        files=("soundnet8.pth", "soundnet8_final.pth"),
        fetchable=False,
    )

    def __init__(self, tap: SoundNetTap = "conv7") -> None:
        super().__init__()
        require_choice("audio_tap", tap, DEPTH)
        self.tap: SoundNetTap = tap
        self.stages = STAGES[: DEPTH[tap]]
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        width = 1
        windows: list[tuple[int, int, int]] = []
        for stage in self.stages:
            self.convs.append(nn.Conv1d(width, stage.channels, stage.kernel, 2, stage.kernel // 2))
            self.norms.append(nn.BatchNorm1d(stage.channels))
            width = stage.channels
            windows += [(stage.kernel, 2, stage.kernel // 2), (stage.pool, stage.pool, 0)]
        # the last pooling belongs to pool7 alone
        self.windows = tuple(windows if tap == "pool7" else windows[:-1])
        self.out_channels = width

    def forward(self, waveform: Tensor) -> Tensor:
        """Encode waveforms (B, 1, N), 22050 Hz, in [-256, 256] as SoundNet was trained, to (B, C, n).

        Raises:
            InputError: If the waveform is too short for a single token.
        """
        if self.tokens(waveform.shape[-1]) < 1:
            raise InputError(
                f"a waveform of {waveform.shape[-1]} samples leaves SoundNet's {self.tap} no token; give longer clips, "
                "or data.audio.pad_to=fixed"
            )
        x = waveform
        last = len(self.stages) - 1
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.relu(norm(conv(x)))  # pooling follows the activation, as in the published network
            pool = self.stages[index].pool
            if pool > 1 and (index < last or self.tap == "pool7"):
                x = F.max_pool1d(x, pool)
        return x

    def tokens(self, samples: int) -> int:
        """Return the length of the features of so many samples."""
        length = samples
        for index, stage in enumerate(self.stages):
            length = (length + 2 * (stage.kernel // 2) - stage.kernel) // 2 + 1
            if index < len(self.stages) - 1 or self.tap == "pool7":
                length //= stage.pool
            if length < 1:
                return 0  # padding alone must not be counted as a token
        return length

    def load_state(self, state: StateDict, source: str) -> PartReport:
        """Load the tensors of either of the two files that SoundNet-8 is distributed in.

        ``soundnet8.pth`` of the STAViS package numbers the layers of a sequence (``soundnet8.0`` the first convolution)
        and has kernels (1, k); ``soundnet8_final.pth`` of ViNet names them (``conv1``, ``batchnorm1``) and has kernels
        (k, 1). Tensors of neither, such as the classifiers', are left out and listed.

        Args:
            state: Names and tensors of the file.
            source: Name of the file in the report and in errors.

        Raises:
            InputError: If it holds no SoundNet-8 or does not fit.
        """
        inside = {name for name in state if NAME_PREFIX.match(name)}  # a whole audio-visual model was saved
        kept: StateDict = {}
        dropped: list[str] = []
        for name, tensor in state.items():
            ours = None if inside and name not in inside else own_name(NAME_PREFIX.sub("", name))
            if ours is None or int(ours.split(".")[1]) >= len(self.stages):
                dropped.append(name)
            else:
                # kernels are (out, in, 1, k) in one file and (out, in, k, 1) in the other
                flat = tensor.dim() == 4 and 1 in tensor.shape[2:]
                kept[ours] = tensor.flatten(2) if flat else tensor
        if not kept:
            raise InputError(
                f"{source} holds no SoundNet-8: its {len(state)} names start with {next(iter(state), None)}, but none "
                "is one of soundnet8.0.weight ... soundnet8.22.bias (STAViS), conv1.weight ... batchnorm7.bias (ViNet)"
            )
        # files from before PyTorch 0.4.1 do not count batches; nothing here reads that count
        counters = tuple(name for name in self.state_dict() if name.endswith("num_batches_tracked"))
        report = load_strict(self, kept, self.label, source, fresh=counters)
        return replace(report, fresh=(), dropped=tuple(dropped))


def own_name(name: str) -> str | None:
    """Translate a tensor's name in either file, or in ours, to :class:`SoundNet8`; None if it has none there."""
    if re.fullmatch(r"(convs|norms)\.\d+\.\w+", name):
        return name
    if match := re.fullmatch(r"(conv|batchnorm)([1-7])\.(\w+)", name):
        kind, number, tensor = match.groups()
        return f"{'convs' if kind == 'conv' else 'norms'}.{int(number) - 1}.{tensor}"
    if match := re.fullmatch(r"(\d+)\.(\w+)", name):
        position, tensor = int(match[1]), match[2]
        for index, stage in enumerate(STAGES):
            if position in (stage.sequential, stage.sequential + 1):
                return f"{'convs' if position == stage.sequential else 'norms'}.{index}.{tensor}"
    return None
