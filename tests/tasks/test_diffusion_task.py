"""Training and sampling of the task, without a trainer where none is needed."""

from typing import get_args

import pytest
import torch
from rounding import NETWORK
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.diffusion.process import MapRange
from lightning_avsp.input_spec import InputSpec, TextInput
from lightning_avsp.media.audio import LogMel
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.structures import ClipPolicy, SaliencyBatch
from lightning_avsp.tasks import DiffusionSaliencyTask

SIZE = (64, 64)


def make_batch(count: int = 2, seed: int = 0) -> SaliencyBatch:
    generator = torch.Generator().manual_seed(seed)
    return SaliencyBatch(
        video=torch.randint(0, 256, (count, 16, *SIZE, 3), dtype=torch.uint8, generator=generator),
        audio=torch.randn(count, 1, 9, 32, 64, generator=generator),
        has_audio=torch.ones(count, dtype=torch.bool),
        saliency=torch.randint(0, 256, (count, 1, *SIZE), dtype=torch.uint8, generator=generator),
        corpus=["AVAD"] * count,
        video_id=[f"V{index}" for index in range(count)],
        frame=torch.arange(9, 9 + count),
        ground_truth=[
            torch.randint(0, 256, (48, 80), dtype=torch.uint8, generator=generator) for _ in range(count)
        ],
        fixations=[torch.tensor([[3, 5], [20, 40]])] * count,
    )


def part(batch: SaliencyBatch, keep: slice) -> SaliencyBatch:
    return {key: value[keep] for key, value in batch.items()}  # type: ignore[index, return-value]


@pytest.fixture(scope="module")
def network() -> DiffSal:
    torch.manual_seed(0)
    return DiffSal(video_encoder="tiny", audio_encoder="tiny", interaction="mim_residual").eval()


@pytest.mark.parametrize(("steps", "samples"), [(1, 1), (4, 1), (6, 3)])
def test_encoders_run_once_per_clip_whatever_the_steps_and_samples(
    network: DiffSal, steps: int, samples: int
) -> None:
    task = DiffusionSaliencyTask(network, sampling=Sampling(steps=steps, samples=samples)).eval()
    calls = {"video": [], "audio": [], "denoise": []}
    hooks = [
        network.core.video_encoder.register_forward_hook(
            lambda m, args, out: calls["video"].append(len(args[0]))
        ),
        network.core.audio_encoder.register_forward_hook(
            lambda m, args, out: calls["audio"].append(len(args[0]))
        ),
        network.core.head.register_forward_hook(lambda m, args, out: calls["denoise"].append(len(out))),
    ]
    maps = task.predict_maps(make_batch())
    for hook in hooks:
        hook.remove()
    assert maps.shape == (2, 1, *SIZE)
    assert calls["video"] == [2]  # once, for two clips
    assert calls["audio"] == [2 * 9]  # once, for nine slices of each
    assert calls["denoise"] == [2 * samples] * steps


def test_a_prediction_depends_on_its_clip_and_not_on_its_batch(network: DiffSal) -> None:
    task = DiffusionSaliencyTask(network, sampling=Sampling(steps=2)).eval()
    batch = make_batch(3)
    together = task.predict_maps(batch)
    alone = task.predict_maps(part(batch, slice(2, 3)))
    torch.testing.assert_close(together[2:], alone, rtol=0, atol=NETWORK)
    assert (together[1:2] - alone).abs().max() > 1e-2
    other = DiffusionSaliencyTask(network, sampling=Sampling(steps=2), seed=1).eval().predict_maps(batch)
    assert not torch.equal(together, other)


def test_the_strip_shows_every_step(network: DiffSal) -> None:
    task = DiffusionSaliencyTask(network, sampling=Sampling(steps=3, samples=2)).eval()
    strip = task.denoising_strip(make_batch())
    assert [label.split(",")[0] for label, _ in strip] == ["noisy", "predicted"] * 3
    assert all(maps.shape == (2, 1, *SIZE) for _, maps in strip)
    assert strip[0][1].std() > 0.5  # it starts from noise


def test_a_step_is_a_function_of_seed_epoch_and_batch(
    network: DiffSal, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = DiffusionSaliencyTask(network, seed=3)
    monkeypatch.setattr(task, "log", lambda *args, **kwargs: None)
    batch = make_batch()

    def loss(index: int) -> float:
        task.on_train_batch_start(batch, index)
        return float(task.training_step(batch, index).detach())

    first, second = loss(0), loss(1)
    torch.rand(7)  # whatever else draws in between
    assert loss(0) == first
    assert second != first


def test_target_noise_moves_the_target_of_the_loss(network: DiffSal, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    task = DiffusionSaliencyTask(network, target_noise=0.5)
    monkeypatch.setattr(task, "log", lambda *args, **kwargs: None)
    monkeypatch.setattr(
        task.loss, "forward", lambda prediction, target: seen.append(target) or prediction.sum()
    )
    batch = make_batch()
    task.training_step(batch, 0)
    difference = seen[0] - task.target(batch)
    # of 8192 draws: a standard error of .8 %
    assert float(difference.std()) == pytest.approx(0.5, rel=0.05)


def test_maps_are_noised_in_the_range_that_was_chosen(
    network: DiffSal, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, noisy, forward = make_batch(), {}, network.forward
    for map_range in get_args(MapRange):
        task = DiffusionSaliencyTask(network, GaussianDiffusion(map_range=map_range), seed=3)
        monkeypatch.setattr(task, "log", lambda *args, **kwargs: None)
        monkeypatch.setattr(task, "log_dict", lambda *args, **kwargs: None)
        given: list[Tensor] = []
        monkeypatch.setattr(
            network, "forward", lambda *inputs, to=given: to.extend(inputs[:2]) or forward(*inputs)
        )
        task.on_train_batch_start(batch, 0)
        task.training_step(batch, 0)
        noisy[map_range], t = given
    shares = torch.tensor([task.diffusion.alpha_bar_at(int(step)) for step in t])
    signal = shares.sqrt().view(-1, 1, 1, 1)
    # the same noise, on 2 y - 1 instead of y
    torch.testing.assert_close(noisy["symmetric"] - noisy["unit"], signal * (task.target(batch) - 1))


def test_only_trainable_parameters_are_optimised() -> None:
    frozen = DiffSal(video_encoder="tiny", audio_encoder="tiny", freeze_video=True, freeze_audio=True)
    task = DiffusionSaliencyTask(frozen)
    optimizer = task.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    count = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert count == sum(p.numel() for p in frozen.parameters() if p.requires_grad)
    assert count < sum(p.numel() for p in frozen.parameters())
    task.train()
    assert not frozen.core.video_encoder.training
    assert any("frozen" in line for line in task.weight_report())


def test_the_input_spec_survives_a_checkpoint(network: DiffSal) -> None:
    task = DiffusionSaliencyTask(network)
    text = TextInput("tiny-random", "0123", 64, 32)
    task.input_spec = InputSpec((64, 64), (64, 64), ClipPolicy(), LogMel(size=(32, 64)), text=text)
    checkpoint: dict = {}
    task.on_save_checkpoint(checkpoint)
    other = DiffusionSaliencyTask(network)
    other.on_load_checkpoint(checkpoint)
    assert other.input_spec == task.input_spec
