"""Small audio encoders for tests and the synthetic corpora, which keep the pitch: of log-mel slices, of waveforms."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder
from lightning_avsp.errors import InputError
from lightning_avsp.layers.embeddings import grid_positions
from lightning_avsp.layers.normalization import group_norm

RATE = 22_050
"""Rate that the filters are tuned for, in Hz."""
LOWEST, HIGHEST = 80.0, 8000.0
"""Band of the filters, in Hz."""


class TinyAudioEncoder(AudioEncoder):
    """Log-mel slice to features at a 16th of its size: four strided convolutions, each with norm and swish.

    The mel axis is only divided, never averaged away: a mean over it would lose the pitch.
    """

    label = "audio encoder (tiny)"

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 1
        for width in (16, 32, 48, 64):
            layers += [nn.Conv2d(previous, width, 3, stride=2, padding=1), group_norm(width), nn.SiLU()]
            previous = width
        self.layers = nn.Sequential(*layers)
        self.out_channels = previous

    def forward(self, slices: Tensor) -> Tensor:
        """Encode slices (N, 1, H, W) to (N, C, H / 16, W / 16)."""
        return self.layers(slices)


class TinyWaveformEncoder(AudioEncoder):
    """Waveform to one token for every 2048 samples: a learned filter bank, then two strided convolutions.

    The filters start as pairs of a windowed cosine and sine, so that their energy distinguishes a pitch from its
    octave from the first step on; filters that start at random have to learn that. The logarithm of the energy makes
    quiet audio as visible as loud audio, as a log-mel front end does. A sinusoid of the token's position in time is
    added, for layers that ignore the order of the tokens.
    """

    label = "audio encoder (tiny)"
    kernel = 1024
    """Length of the filters in samples: 46 ms, which separates 220 Hz from 260 Hz."""
    stride = 256
    """Samples from one energy to the next."""
    windows = ((kernel, stride, kernel // 2), (5, 4, 2), (3, 2, 1))

    def __init__(self, filters: int = 40, channels: int = 64) -> None:
        super().__init__()
        self.bank = nn.Conv1d(1, 2 * filters, self.kernel, self.stride, padding=self.kernel // 2, bias=False)
        with torch.no_grad():
            self.bank.weight.copy_(windowed_waves(filters, self.kernel)[:, None])
        self.layers = nn.Sequential(
            nn.Conv1d(filters, channels, 5, stride=4, padding=2),
            group_norm(channels),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 3, stride=2, padding=1),
            group_norm(channels),  # as large as the positions below, beside which it would else vanish
        )
        self.out_channels = channels

    def forward(self, waveform: Tensor) -> Tensor:
        """Encode waveforms (B, 1, N), 22050 Hz, in [-256, 256], to (B, C, n), n one for every 2048 samples.

        Raises:
            InputError: If the waveform is empty.
        """
        if waveform.shape[-1] == 0:
            raise InputError("the waveform is empty; give clips of at least one frame")
        cosine, sine = self.bank(waveform / 256).chunk(2, dim=1)  # (B, filters, N / 256)
        # noise at -100 dB, far below the audio of a video: silence stays finite and level
        level = torch.log(cosine.square() + sine.square() + 1e-10) / 10 + 1  # about -1.3 to 1
        features = self.layers(level)  # (B, C, n)
        count, width = features.shape[-1], self.out_channels
        positions = grid_positions((count,), width, features.device, extent=16.0, max_period=100.0)  # (n, C)
        return features + positions.T.to(features.dtype)


def windowed_waves(filters: int, length: int) -> Tensor:
    """Build cosines, then sines, at log-spaced frequencies under Hann windows: (2 filters, length).

    Each window holds at most 24 periods, so that high filters are as wide in octaves as low ones; each filter answers
    a full-scale tone at its frequency with 1.
    """
    # Named devices: after transformers has loaded a model, torch.device("meta") no longer reaches linspace.
    octaves = torch.linspace(math.log(LOWEST), math.log(HIGHEST), filters, device="cpu")
    frequencies = octaves.exp()[:, None]  # (filters, 1), Hz
    time = (torch.arange(length, device="cpu") - (length - 1) / 2)[None] / RATE  # (1, length), s
    half = (12 / frequencies).clamp(max=length / RATE / 2)  # half of the window, s
    window = (0.5 + 0.5 * torch.cos(math.pi * time / half)) * (time.abs() < half)
    window = 2 * window / window.sum(dim=1, keepdim=True)
    phase = 2 * math.pi * frequencies * time
    return torch.cat([window * phase.cos(), window * phase.sin()])
