import pytest
import torch

from lightning_avsp.papers.tavdiff import TAVDiff


@pytest.fixture
def tiny():
    """Builds a tiny network with the given options."""

    def build(**options) -> TAVDiff:
        return TAVDiff(**{"video_encoder": "tiny", "audio_encoder": "tiny", "text_width": 24, **options})

    return build


@pytest.fixture
def captions():
    """Token features of three clips: two words, four words, no caption; start and end token around the words."""
    text = torch.randn(3, 8, 24)
    text[0, 4:] = 0
    text[1, 6:] = 0
    text[2] = 0
    return text


@pytest.fixture
def clip(captions):
    """Three random clips: noisy map, step, frames, waveform, caption, ground truth."""
    return (
        torch.randn(3, 1, 32, 64),
        torch.tensor([100, 500, 900]),
        torch.randn(3, 3, 16, 64, 64),
        torch.randn(3, 1, 35280) * 50,
        captions,
        torch.rand(3, 1, 32, 64),
    )
