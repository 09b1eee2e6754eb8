"""A network that uses audio or text loses with mismatched input; one that does not changes by exactly nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lightning_avsp.cli import main
from lightning_avsp.data.captions.frames import Captions
from lightning_avsp.diffusion import Sampling
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.data import AuditData, find_corpus_captions
from lightning_avsp.evaluation.audit.perturbation import (
    PerturbationAudit,
    PerturbedFrames,
    audit_modality,
    maps_by_setting,
    perturbations,
    perturbed_loader,
    settings_of,
)
from lightning_avsp.input_spec import InputSpec
from lightning_avsp.structures import ClipPolicy, Condition, DiffusionNetwork, DirectNetwork
from lightning_avsp.tasks import DiffusionSaliencyTask
from lightning_avsp.tasks.loading import LoadedModel

ALL = "all videos"


def noisy_rule(noisy: torch.Tensor, t: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return known + 0.05 * noisy


@pytest.fixture(scope="module")
def listener(make_model, audit_data: AuditData) -> PerturbationAudit:
    return audit_modality(make_model(listens=True, rule=noisy_rule), audit_data, samples=3)


@pytest.fixture(scope="module")
def deaf(make_model, audit_data: AuditData) -> PerturbationAudit:
    return audit_modality(make_model(listens=False, rule=noisy_rule), audit_data, samples=3)


def text_of(audit: PerturbationAudit) -> str:
    return "\n".join(audit.report().lines())


def test_a_network_that_uses_audio_loses_with_mismatched_audio(listener: PerturbationAudit) -> None:
    assert [setting.name for setting in listener.settings] == ["1 step", "2 steps", "mean of 3 samples"]
    for setting in listener.settings:
        assert listener.value("own", setting.name, "cc", ALL) > 0.9
        for name in ("silent", "late", "mismatched", "none"):
            change, videos = listener.change(name, setting.name, "cc", ALL)
            assert change.mean < -0.05, name
            assert videos == 2
        change, _ = listener.change("mismatched", setting.name, "nss", ALL)
        assert change.low <= change.mean <= change.high < 0
    assert listener.verdict().finding == "uses audio"
    assert listener.encodes
    assert not listener.exactly_zero
    text = text_of(listener)
    assert "verdict: uses audio (gain of own audio" in text.splitlines()[-1]
    assert "commits to one object" in text
    assert "SYNTHETIC" in text
    assert "another video's audio" in text
    record = listener.report().record
    assert len(record["videos"]) == 2 * 6 * 3
    assert record["verdicts"][ALL]["finding"] == "uses audio"
    assert record["settings"][1] == {"name": "2 steps", "steps": None, "samples": 1, "commits": True}


def test_a_network_without_audio_encoder_changes_by_exactly_nothing(deaf: PerturbationAudit) -> None:
    assert set(deaf.changes) == {"silent", "late", "early", "mismatched", "none"}
    assert all(change.largest == 0 and change.mean == 0 for change in deaf.changes.values())
    for name in deaf.changes:
        for setting in deaf.settings:
            change, _ = deaf.change(name, setting.name, "cc", ALL)
            assert (change.mean, change.low, change.high) == (0, 0, 0)
    found = deaf.verdict()
    assert found.finding == "does not use audio"
    assert "exactly 0" in found.reason
    assert "no audio encoder" in text_of(deaf)
    assert "all differences are exactly 0" in text_of(deaf)


def test_conditions_of_a_synthetic_corpus_are_reported_apart(listener: PerturbationAudit) -> None:
    names = list(listener.groups)
    assert names[0] == ALL
    assert len(names) > 1
    assert all("SYNTHETIC" in name for name in names[1:])
    assert sorted(key for name in names[1:] for key in listener.groups[name]) == listener.groups[ALL]


def test_a_network_that_needs_audio_is_reported(make_model, audit_data: AuditData) -> None:
    model = make_model(listens=True, needs_sound=True, steps=1)
    found = audit_modality(model, audit_data, samples=1, shift=0)
    assert [perturbation.name for perturbation in found.inputs] == ["own", "silent", "mismatched"]
    assert [setting.name for setting in found.settings] == ["1 step"]
    assert "this network needs sound" in text_of(found)
    assert sum(model.network.encoded) == found.frames * 3  # each clip once with each input


def test_maps_are_those_of_the_test(make_model, audit_data: AuditData) -> None:
    model: LoadedModel = make_model(listens=True, steps=3, seed=5, rule=noisy_rule)
    _, loader = perturbed_loader(model, audit_data, "audio", perturbations("audio", 0))
    batch, _ = next(iter(loader))
    encoded = model.encode(model.inputs(batch))
    maps = maps_by_setting(model, encoded, batch, settings_of(model, 4, encoded))
    for name, steps, samples in (("1 step", 1, 1), ("3 steps", 3, 1), ("mean of 4 samples", 3, 4)):
        sampling = Sampling(steps=steps, samples=samples)
        task = DiffusionSaliencyTask(model.network, sampling=sampling, seed=5).eval()
        # the network's rule is a float32 operation per pixel, whatever the batch
        torch.testing.assert_close(maps[name], task.predict_maps(batch))


def test_every_input_is_that_of_the_data_module(make_model, audit_data: AuditData) -> None:
    model = make_model(listens=True)
    inputs = perturbations("audio", 0.32)
    _, loader = perturbed_loader(model, audit_data, "audio", inputs)
    assert isinstance(loader.dataset, PerturbedFrames)
    batch, variants = next(iter(loader))
    assert set(variants) == {p.name for p in inputs if p.options is not None}
    for perturbation in inputs:
        if perturbation.options is not None:
            other = next(iter(audit_data.module(model, **perturbation.options).test_dataloader()))
            assert torch.equal(variants[perturbation.name], other["audio"])
            assert torch.equal(batch["video"], other["video"])
    assert not torch.equal(variants["late"], variants["early"])


def test_settings_out_of_range_are_refused(make_model, audit_data: AuditData) -> None:
    model = make_model(listens=True)
    for options in ({"metrics": ("nss",)}, {"samples": 0}, {"shift": -1.0}, {"shift": float("nan")}):
        with pytest.raises(InputError):
            audit_modality(model, audit_data, **options)
    with pytest.raises(InputError, match="need at least 2 videos"):
        audit_modality(model, replace(audit_data, limit_videos=1))
    with pytest.raises(InputError, match="reads no text"):
        audit_modality(model, audit_data, "text")
    diverged = make_model(listens=True, rule=lambda noisy, t, known: known * float("nan"))
    with pytest.raises(InputError, match="predicts NaN"):
        audit_modality(diverged, audit_data)


class Reader(DiffusionNetwork):
    """Shifts its map by the caption's mean, if it has one."""

    uses_text = True

    def encode(self, video, audio=None, text=None) -> Condition:
        brightness = video.mean((1, 2)).unsqueeze(1)  # (B, 1, H, W)
        shift = 0.0 if text is None else text.mean((1, 2)).view(-1, 1, 1, 1)
        return Condition(video=(brightness + shift,))

    def denoise(self, noisy_map, t, condition):
        return torch.sigmoid(condition.video[0])


class AdaptiveReader(Reader):
    def denoising_steps(self, condition: Condition) -> torch.Tensor:
        return torch.tensor([2, 3] * len(condition.video[0]))[: len(condition.video[0])]


class DirectReader(DirectNetwork):
    uses_text = True

    def forward(self, video, audio=None, text=None):
        return torch.sigmoid(Reader.encode(self, video, audio, text).video[0])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def captions(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Captions:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("captions")
    main(["caption", str(corpus), "--corpus=AVAD", "--synthetic", f"--out={folder}", "--device=cpu"])
    return Captions(folder, folder / "features")


@pytest.mark.parametrize("network", [Reader, AdaptiveReader, DirectReader])
def test_the_text_audit_perturbs_captions_alone(
    network: type, make_model, audit_data: AuditData, captions: Captions
) -> None:
    model = replace(make_model(listens=False, steps=3), network=network())
    if network is DirectReader:
        model = replace(model, sampling=None, diffusion=None)
    found = audit_modality(model, replace(audit_data, every=12, captions=captions), "text", samples=2)
    names = {
        Reader: ["1 step", "3 steps"],
        AdaptiveReader: ["1 step", "own steps"],
        DirectReader: ["one pass"],
    }
    extra = [] if network is DirectReader else ["mean of 2 samples"]
    assert [setting.name for setting in found.settings] == [*names[network], *extra]
    assert [perturbation.name for perturbation in found.inputs] == ["own", "empty", "mismatched", "none"]
    assert all(found.changes[name].largest > 0 for name in ("empty", "mismatched", "none"))
    # rows of zeros shift as little as no text does
    assert found.changes["empty"].largest == pytest.approx(found.changes["none"].largest)
    assert found.encodes
    audio = audit_modality(model, replace(audit_data, every=12, captions=captions), samples=1, shift=0)
    assert audio.exactly_zero  # the caption is the same with every audio


def test_captions_come_from_the_option_or_the_checkpoint(captions: Captions, tmp_path: Path) -> None:
    spec = InputSpec((32, 64), (32, 64), ClipPolicy(), None)  # type: ignore[arg-type]
    model = LoadedModel(Reader(), spec, "test")
    with pytest.raises(InputError, match="give --captions FOLDER, or --captions none"):
        find_corpus_captions(model, tmp_path)
    assert find_corpus_captions(model, tmp_path, "none") is None
    assert find_corpus_captions(model, tmp_path, str(captions.folder)) == captions
    stored = {"folder": str(captions.folder), "features": str(captions.features), "tokens": 20}
    assert find_corpus_captions(replace(model, captions=stored), tmp_path) == replace(captions, tokens=20)
    unplaced = stored | {"folder": None, "features": None}
    (tmp_path / "captions").symlink_to(captions.folder)
    found = find_corpus_captions(replace(model, captions=unplaced), tmp_path)
    assert found == Captions(tmp_path / "captions", tmp_path / "captions" / "features", tokens=20)
    with pytest.raises(InputError, match="are not there"):
        find_corpus_captions(replace(model, captions=stored | {"folder": "absent"}), tmp_path)
    plain = replace(model, network=Reader(), captions=stored)
    plain.network.uses_text = False
    assert find_corpus_captions(plain, tmp_path) is None
    with pytest.raises(InputError, match="reads no text"):
        find_corpus_captions(plain, tmp_path, "somewhere")
