import pytest
import torch

from lightning_avsp.papers.mubic import MUBiC, MUBiCRegression

TINY = {"video_encoder": "tiny", "audio_encoder": "tiny"}


@pytest.fixture
def tiny():
    """Builds a tiny denoiser with the given options."""

    def build(**options) -> MUBiC:
        return MUBiC(**{**TINY, **options})

    return build


@pytest.fixture
def tiny_regression():
    """Builds a tiny regression network with the given options."""

    def build(**options) -> MUBiCRegression:
        return MUBiCRegression(**{**TINY, **options})

    return build


@pytest.fixture
def clip():
    """Two random clips: noisy map of half the frames' size, step, frames, sound."""
    return (
        torch.randn(2, 1, 32, 64),
        torch.tensor([100, 900]),
        torch.randn(2, 3, 16, 64, 128),
        torch.randn(2, 1, 9, 32, 64),
    )
