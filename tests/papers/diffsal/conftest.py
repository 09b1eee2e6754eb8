import pytest
import torch

from lightning_avsp.papers.diffsal import DiffSal


@pytest.fixture
def tiny():
    """Builds a tiny network with the given options."""

    def build(**options) -> DiffSal:
        return DiffSal(**{"video_encoder": "tiny", "audio_encoder": "tiny", **options})

    return build


@pytest.fixture
def clip():
    """Two random clips: noisy map, step, frames, sound."""
    return (
        torch.randn(2, 1, 64, 128),
        torch.tensor([100, 900]),
        torch.randn(2, 3, 16, 64, 128),
        torch.randn(2, 1, 9, 32, 64),
    )
