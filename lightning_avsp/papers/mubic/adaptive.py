"""Number of denoising steps from the entropy of the fused features (Algorithm 2, line 14). Untrained."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def normalized_entropy(features: Tensor) -> Tensor:
    """Entropy of where the energy of a feature map lies, over that of an even spread (X18).

    Args:
        features: (B, C, T, h, w).

    Returns:
        (B,) in [0, 1]: 0 if all energy lies at one place and time, 1 if it is the same everywhere.
    """
    energy = features.float().square().sum(dim=1).flatten(1)  # (B, T h w)
    p = energy / energy.sum(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    return torch.special.entr(p).sum(dim=1) / math.log(p.shape[1])


class AdaptiveSteps(nn.Module):
    """N = round(MLP(entropy)), kept between two limits.

    Rounding has no gradient and no loss of the thesis reaches this network, so it **cannot be trained**: its fixed
    weights make a line from ``fewest`` steps at entropy 0 to ``most`` at entropy 1 (X18). What the thesis used is
    unknown.

    Args:
        fewest: Steps at entropy 0.
        most: Steps at entropy 1.
        hidden: Width of the hidden layer.
    """

    def __init__(self, fewest: int = 2, most: int = 8, hidden: int = 8) -> None:
        super().__init__()
        self.fewest, self.most = fewest, most
        self.first = nn.Linear(1, hidden)
        self.second = nn.Linear(hidden, 1)
        with torch.no_grad():
            self.first.weight.fill_(1.0)
            self.first.bias.zero_()
            self.second.weight.fill_((most - fewest) / hidden)
            self.second.bias.fill_(float(fewest))
        self.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Finest fused features f_av,1 (B, C, T, h, w) to the number of steps of each clip, int64 (B,)."""
        with torch.autocast(features.device.type, enabled=False):
            entropy = normalized_entropy(features)[:, None].to(self.first.weight.dtype)  # (B, 1)
            wanted = self.second(F.relu(self.first(entropy)))[:, 0]
        return wanted.round().long().clamp(self.fewest, self.most)
