import pytest
import torch

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.diffusion.sampling import sample_per_clip
from lightning_avsp.errors import InputError

LEVELS = torch.tensor([0.2, 0.5, 0.9])


def denoise_clips(rows):
    def denoise(x, t):
        levels = LEVELS[rows].repeat_interleave(len(x) // len(rows))
        return (levels[:, None, None, None] * x + t[:, None, None, None] / 1000).tanh()

    return denoise


@pytest.mark.parametrize("samples", [1, 2])
def test_each_clip_is_drawn_as_if_alone_with_its_number_of_steps(samples):
    diffusion, sampling = GaussianDiffusion(), Sampling(samples=samples)
    steps, seeds, shape = [4, 2, 4], [7, 8, 9], (3, 1, 4, 6)
    together = sample_per_clip(sampling, steps, denoise_clips, shape, diffusion, device="cpu", seeds=seeds)
    assert together.shape == shape
    for row in range(3):
        alone = Sampling(steps=steps[row], samples=samples).sample(
            denoise_clips([row]), (1, *shape[1:]), diffusion, device="cpu", seeds=[seeds[row]]
        )
        torch.testing.assert_close(together[row], alone[0])


def test_clips_that_want_equally_many_share_a_batch():
    sizes = []

    def counted(rows):
        denoise = denoise_clips(rows)

        def call(x, t):
            sizes.append(len(x))
            return denoise(x, t)

        return call

    sample_per_clip(
        Sampling(), [3, 2, 3], counted, (3, 1, 4, 4), GaussianDiffusion(), device="cpu", seeds=[1, 2, 3]
    )
    assert sizes == [1, 1, 2, 2, 2]


def test_steps_must_be_given_for_every_clip():
    with pytest.raises(InputError, match="2 numbers of steps"):
        sample_per_clip(
            Sampling(),
            [3, 2],
            denoise_clips,
            (3, 1, 4, 4),
            GaussianDiffusion(),
            device="cpu",
            seeds=[1, 2, 3],
        )
