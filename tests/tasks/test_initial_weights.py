"""Stages: what a network takes from an earlier run's checkpoint, and that nothing is dropped in silence."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commandline import TINY_NETWORK, fit_arguments
from torch import nn

from lightning_avsp.backbones.tiny_audio import TinyAudioEncoder
from lightning_avsp.cli import main
from lightning_avsp.errors import InputError
from lightning_avsp.tasks.initial_weights import initialise_from, refuse_random_frozen


class Small(nn.Module):
    def __init__(self, width: int = 3, rows: int = 5, hears: bool = False) -> None:
        super().__init__()
        self.video = nn.Linear(2, width)
        self.rel_pos_t = nn.Parameter(torch.randn(rows, 4))
        if hears:
            self.audio = nn.Linear(2, width)


class Heard(nn.Module):
    """A network with an encoder that knows what it started from."""

    def __init__(self, weights: str | None, frozen: bool) -> None:
        super().__init__()
        self.audio = TinyAudioEncoder()
        self.weight_report = [self.audio.prepare(weights, frozen)]


def saved(network: nn.Module, path: Path) -> Path:
    torch.save({"state_dict": {f"network.{k}": v for k, v in network.state_dict().items()}}, path)
    return path


def test_a_larger_network_takes_what_there_is_and_tells_what_is_new(tmp_path: Path) -> None:
    first, second = Small(), Small(hears=True)
    fresh = second.audio.weight.detach().clone()
    report = initialise_from(second, saved(first, tmp_path / "a.ckpt"))
    assert torch.equal(second.video.weight, first.video.weight)
    assert torch.equal(second.audio.weight, fresh)
    assert set(report.taken) == {"video.weight", "video.bias", "rel_pos_t"}
    assert set(report.missing) == {"audio.weight", "audio.bias"}
    assert any("audio 2" in line for line in report.lines())


def test_what_has_no_place_is_refused_until_it_is_named(tmp_path: Path) -> None:
    path, target = saved(Small(hears=True), tmp_path / "a.ckpt"), Small()
    before = target.video.weight.detach().clone()
    with pytest.raises(InputError, match=r"2 unexpected: audio.weight, audio.bias.*--init_drop"):
        initialise_from(target, path)
    assert torch.equal(target.video.weight, before)
    assert initialise_from(target, path, drop=("audio.",)).dropped == ("audio.weight", "audio.bias")
    assert initialise_from(target, path, absent="drop").dropped == ("audio.weight", "audio.bias")


def test_another_shape_and_a_checkpoint_of_something_else_are_refused(tmp_path: Path) -> None:
    path = saved(Small(), tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"video.weight \(3, 2\) for \(4, 2\)"):
        initialise_from(Small(width=4), path)
    # tables of relative positions alone are interpolated, and named
    report = initialise_from(Small(rows=9), path)
    assert report.resized == ("rel_pos_t",)
    assert "rel_pos_t" not in report.taken
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, path)
    with pytest.raises(InputError, match="holds no network of this project's tasks"):
        initialise_from(Small(), path)


def test_a_frozen_encoder_of_random_weights_is_refused_unless_named() -> None:
    with pytest.raises(InputError, match=r"audio .* is frozen at random weights.*audio_weights=random"):
        refuse_random_frozen(Heard(None, frozen=True))
    refuse_random_frozen(Heard("random", frozen=True))
    refuse_random_frozen(Heard(None, frozen=False))


def test_a_loaded_encoder_is_never_replaced_without_a_word(tmp_path: Path) -> None:
    file, stage = tmp_path / "audio.pth", saved(Heard(None, frozen=False), tmp_path / "stage.ckpt")
    torch.save(TinyAudioEncoder().state_dict(), file)
    with pytest.raises(InputError, match=r"holds other weights of the frozen .*audio\.pth.*--init_drop"):
        initialise_from(Heard(str(file), frozen=True), stage)
    thawed = Heard(str(file), frozen=False)
    assert list(initialise_from(thawed, stage).replaced.values()) == [str(file)]
    assert thawed.audio.origin == thawed.weight_report[0]
    assert thawed.audio.origin.source == str(stage)


@pytest.fixture(scope="module")
def first_stage(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished video-only run on split 1."""
    import warnings

    folder = tmp_path_factory.mktemp("stage") / "first"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(fit_arguments(corpus, folder, *TINY_NETWORK, "--model.network.modality=v", "--figures=0"))
    return folder


def test_a_second_stage_starts_from_the_first_and_its_record_says_so(
    first_stage: Path, corpus: Path, tmp_path: Path
) -> None:
    checkpoint = first_stage / "checkpoints" / "last.ckpt"
    main(
        fit_arguments(
            corpus, tmp_path / "second", *TINY_NETWORK, f"--init_from={checkpoint}", "--figures=0",
            "--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=0.0",
        )
    )  # fmt: skip
    record = json.loads((tmp_path / "second" / "run.json").read_text())
    assert record["started_from"] == {"init_from": str(checkpoint)}
    # the stage's own start is not hidden behind its checkpoint
    assert record["starts"]["core.video_encoder"] == f"{checkpoint}, itself from random"
    assert any(line.startswith("initial weights, ") and "taken" in line for line in record["weights"])
    before = torch.load(checkpoint, weights_only=True)["state_dict"]
    after = torch.load(tmp_path / "second" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    name = next(name for name in before if "video_encoder" in name and name.endswith("weight"))
    assert torch.equal(before[name], after[name])


def test_a_start_that_has_seen_test_videos_is_refused(
    first_stage: Path, corpus: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    checkpoint = first_stage / "checkpoints" / "last.ckpt"
    other_split = fit_arguments(
        corpus, tmp_path / "leak", *TINY_NETWORK, f"--init_from={checkpoint}", "--data.split=2", "--figures=0"
    )
    assert "test videos were seen by training of" in refused(other_split)
    main([*other_split, "--allow_seen_test_videos=true"])
    record = json.loads((tmp_path / "leak" / "run.json").read_text())
    assert any(line.startswith("LEAK: ") for line in record["weights"])


def test_a_resumed_run_does_not_start_again(first_stage: Path, corpus: Path, tmp_path: Path) -> None:
    start = f"--init_from={first_stage / 'checkpoints' / 'last.ckpt'}"
    arguments = fit_arguments(corpus, tmp_path / "second", *TINY_NETWORK, start, "--figures=0")
    main(arguments)
    before = torch.load(tmp_path / "second" / "checkpoints" / "last.ckpt", weights_only=True)
    main([*arguments, "--ckpt_path=last", "--trainer.max_epochs=1"])  # nothing left to train
    after = torch.load(tmp_path / "second" / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(torch.equal(value, after["state_dict"][name]) for name, value in before["state_dict"].items())
    assert after["starts"] == before["starts"]
