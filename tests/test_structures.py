import torch
from torch import Tensor

from lightning_avsp.structures import Condition, DiffusionNetwork


class Counting(DiffusionNetwork):
    """Counts how often a clip is encoded."""

    pixel_mean = (0.1, 0.2, 0.3)
    pixel_std = (0.5, 0.25, 0.2)
    encoded = 0

    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        self.encoded += 1
        assert video is not None
        return Condition(video=(video,), audio=audio)

    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        assert condition.batch_size == len(noisy_map)
        return noisy_map.clamp(0, 1)


def test_frames_become_normalised_channels_first() -> None:
    frames = torch.randint(0, 256, (2, 4, 6, 8, 3), dtype=torch.uint8)
    video = Counting().normalize_video(frames)
    assert video.shape == (2, 3, 4, 6, 8)
    assert video.dtype == torch.float32
    expected = (frames[1, 2, 3, 4, 2].item() / 255 - 0.3) / 0.2
    # three float32 operations on values of up to 1 / .2
    assert abs(video[1, 2, 2, 3, 4].item() - expected) < 3 * 6e-8 * 5
    assert frames.dtype == torch.uint8  # the batch itself is left alone


def test_forward_encodes_once_and_denoises() -> None:
    network = Counting()
    noisy = torch.randn(2, 1, 6, 8)
    out = network(noisy, torch.zeros(2, dtype=torch.int64), torch.zeros(2, 3, 4, 6, 8))
    assert out.shape == noisy.shape
    assert network.encoded == 1


def test_conditions_repeat_clip_by_clip() -> None:
    condition = Condition(video=(torch.arange(2.0).view(2, 1),), audio=torch.arange(2.0).view(2, 1))
    repeated = condition.repeat_interleave(3)
    assert repeated.video[0].flatten().tolist() == [0, 0, 0, 1, 1, 1]
    assert repeated.audio is not None
    assert repeated.audio.flatten().tolist() == [0, 0, 0, 1, 1, 1]
    assert repeated.text is None
    assert repeated.batch_size == 6
    assert Condition(audio=torch.zeros(5, 1)).batch_size == 5
