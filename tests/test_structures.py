import torch

from lightning_avsp.structures import Condition, SaliencyNetwork


def test_frames_become_normalised_channels_first() -> None:
    frames = torch.randint(0, 256, (2, 4, 6, 8, 3), dtype=torch.uint8)
    network = SaliencyNetwork()
    network.pixel_mean, network.pixel_std = (0.1, 0.2, 0.3), (0.5, 0.25, 0.2)
    video = network.normalize_video(frames)
    assert video.shape == (2, 3, 4, 6, 8)
    assert video.dtype == torch.float32
    expected = (frames[1, 2, 3, 4, 2].item() / 255 - 0.3) / 0.2
    # three float32 operations on values of up to 1 / .2
    assert abs(video[1, 2, 2, 3, 4].item() - expected) < 3 * 6e-8 * 5
    assert frames.dtype == torch.uint8  # the batch itself is left alone


def test_conditions_repeat_clip_by_clip() -> None:
    condition = Condition(video=(torch.arange(2.0).view(2, 1),), audio=torch.arange(2.0).view(2, 1))
    repeated = condition.repeat_interleave(3)
    assert repeated.video[0].flatten().tolist() == [0, 0, 0, 1, 1, 1]
    assert repeated.audio is not None
    assert repeated.audio.flatten().tolist() == [0, 0, 0, 1, 1, 1]
    assert repeated.text is None
    assert repeated.batch_size == 6
    assert Condition(audio=torch.zeros(5, 1)).batch_size == 5
