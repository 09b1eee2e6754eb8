"""MUBiC in the tasks: the row without diffusion, adaptive steps of sampling, and the schedule of figure 4.2."""

from pathlib import Path

import pytest
import torch
import yaml

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.structures import SaliencyBatch
from lightning_avsp.tasks import DirectSaliencyTask
from lightning_avsp.tasks.prediction import sample_maps

BASE = Path(__file__).resolve().parents[3] / "experiments" / "_base"


@pytest.fixture
def batch() -> SaliencyBatch:
    generator = torch.Generator().manual_seed(0)
    return SaliencyBatch(
        video=torch.randint(0, 256, (2, 16, 64, 64, 3), dtype=torch.uint8, generator=generator),
        audio=torch.randn(2, 1, 9, 32, 64, generator=generator),
        has_audio=torch.ones(2, dtype=torch.bool),
        saliency=torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8, generator=generator),
        corpus=["AVAD"] * 2,
        video_id=["V1", "V2"],
        frame=torch.tensor([9, 10]),
    )


def test_the_row_without_diffusion_decoder_takes_a_step(tiny_regression, batch):
    task = DirectSaliencyTask(tiny_regression(map_size=(32, 32)))
    task.log = lambda *args, **kwargs: None
    loss = task.training_step(batch, 0)
    loss.backward()
    task.configure_optimizers().step()
    # summed over 32x32 pixels, mean over clips: a mean over pixels would lie below 1
    assert 20 < loss.item() < 32 * 32
    maps = task.eval().predict_maps(batch)
    assert maps.shape == (2, 1, 32, 32)
    assert 0 <= maps.min() <= maps.max() <= 1


def test_adaptive_steps_sample_each_clip_as_if_alone_with_its_own_number(tiny, batch, monkeypatch):
    network, diffusion = tiny(adaptive_steps=True).eval(), GaussianDiffusion()
    with torch.no_grad():
        condition = network.encode(network.normalize_video(batch["video"]), batch["audio"])
        wanted = network.denoising_steps(condition)
    assert wanted.shape == (2,)
    assert ((wanted >= 2) & (wanted <= 8)).all()
    assert tiny().denoising_steps(condition) is None

    three = condition.select([0, 1, 0])
    steps, seeds, sizes = [3, 2, 3], [7, 8, 9], []
    monkeypatch.setattr(network, "denoising_steps", lambda _: torch.tensor(steps))
    denoise = network.denoise
    monkeypatch.setattr(network, "denoise", lambda x, t, c: (sizes.append(len(x)), denoise(x, t, c))[1])
    together = sample_maps(network, three, (32, 32), seeds, Sampling(), diffusion)
    assert sizes == [1, 1, 2, 2, 2]  # clips that want equally many share a batch
    for row in range(3):
        alone = sample_maps(
            network, three.select([row]), (32, 32), [seeds[row]], Sampling(), diffusion, steps=steps[row]
        )
        # the same operations, but a vector's last elements may be computed one by one
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=0)


def rates(settings: dict, epochs: int) -> list[float]:
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.Adam(parameters, **settings["optimizer"]["init_args"])
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, **settings["lr_scheduler"]["init_args"])
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_learning_rate_is_that_of_figure_4_2():
    """Five epochs (table 4.2) stay inside the first phase."""
    settings = yaml.safe_load((BASE / "mubic.yaml").read_text())["init_args"]
    assert settings["optimizer"]["class_path"] == "torch.optim.Adam"
    assert settings["lr_scheduler"]["class_path"] == "torch.optim.lr_scheduler.MultiStepLR"
    assert rates(settings, 12) == pytest.approx([1e-4] * 6 + [1e-5] * 3 + [1e-6] * 3)
