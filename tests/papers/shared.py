"""What the tests of several papers' networks share."""

import torch


def assert_every_parameter_learns(network, out):
    """Backward: DDP demands that no trainable parameter is left without a gradient."""
    (out - torch.rand_like(out)).square().sum().backward()
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert trainable
    assert not [name for name, p in trainable.items() if p.grad is None]
    assert not [name for name, p in trainable.items() if not p.grad.abs().max() > 0]
    assert all(p.grad.isfinite().all() for p in trainable.values())


def full_size(height, width):
    """A clip of full size without memory: noisy map of some size, step, frames, sound."""
    with torch.device("meta"):
        noisy, t = torch.empty(1, 1, height, width), torch.empty(1, dtype=torch.int64)
        return noisy, t, torch.empty(1, 3, 16, 224, 384), torch.empty(1, 1, 9, 112, 192)


SCALES = [(768, 8, 7, 12), (384, 8, 14, 24), (192, 8, 28, 48), (96, 8, 56, 96)]
"""Features (C, T, h, w) of MViTv2-S for such a clip, deepest first."""
