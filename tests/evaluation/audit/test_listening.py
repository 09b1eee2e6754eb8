"""A network that listens loses on wrong sound; one that does not, changes by exactly nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_avsp.evaluation.audit.draws import maps_by_setting, settings_of
from lightning_avsp.evaluation.audit.listening import ListeningAudit, audit_listening, verdict
from lightning_avsp.evaluation.audit.listening_report import listening_json, listening_lines
from lightning_avsp.evaluation.audit.sounds import HeardFrames, heard_loader
from lightning_avsp.evaluation.audit.subject import AuditData, Subject

from lightning_avsp.diffusion import Sampling
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_json
from lightning_avsp.tasks import DiffusionSaliencyTask

ALL = "all videos"


def noisy_rule(noisy: torch.Tensor, t: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return known + 0.05 * noisy


@pytest.fixture(scope="module")
def listener(make_subject, audit_data: AuditData) -> ListeningAudit:
    return audit_listening(make_subject(listens=True, rule=noisy_rule), audit_data, samples=3)


@pytest.fixture(scope="module")
def deaf(make_subject, audit_data: AuditData) -> ListeningAudit:
    return audit_listening(make_subject(listens=False, rule=noisy_rule), audit_data, samples=3)


def test_a_listener_loses_on_wrong_sound(listener: ListeningAudit) -> None:
    assert [setting.name for setting in listener.settings] == ["1 step", "2 steps", "mean of 3 draws"]
    for setting in listener.settings:
        assert listener.value("true", setting.name, "cc", ALL) > 0.9
        for sound in ("silent", "late", "other_video", "none"):
            change, videos = listener.change(sound, setting.name, "cc", ALL)
            assert change.mean < -0.05, sound
            assert videos == 2
        change, _ = listener.change("other_video", setting.name, "nss", ALL)
        assert change.low <= change.mean <= change.high < 0
    assert verdict(listener, ALL).finding == "listens"
    assert listener.hears
    assert not listener.deaf
    text = "\n".join(listening_lines(listener))
    assert text.endswith("verdict: listens")
    assert "commits to one object" in text
    assert "SYNTHETIC" in text
    assert "another video's" in text


def test_a_network_without_audio_encoder_changes_by_exactly_nothing(deaf: ListeningAudit) -> None:
    assert set(deaf.changes) == {"silent", "late", "early", "other_video", "none"}
    assert all(change.largest == 0 and change.mean == 0 for change in deaf.changes.values())
    for sound in deaf.changes:
        for setting in deaf.settings:
            change, _ = deaf.change(sound, setting.name, "cc", ALL)
            assert (change.mean, change.low, change.high) == (0, 0, 0)
    found = verdict(deaf, ALL)
    assert found.finding == "does not listen"
    assert "exactly 0" in found.reason
    text = "\n".join(listening_lines(deaf))
    assert "no audio encoder" in text
    assert "all differences are exactly 0" in text


def test_conditions_of_a_synthetic_corpus_are_told_apart(listener: ListeningAudit) -> None:
    names = list(listener.groups)
    assert names[0] == ALL
    assert len(names) > 1
    assert all("SYNTHETIC" in name for name in names[1:])
    assert sorted(key for name in names[1:] for key in listener.groups[name]) == listener.groups[ALL]


def test_each_clip_is_encoded_once_with_each_sound(make_subject, audit_data: AuditData) -> None:
    subject = make_subject(listens=True, steps=4)
    found = audit_listening(subject, audit_data, samples=4)
    assert sum(subject.model.network.encoded) == found.frames * len(found.sounds)


def test_a_network_that_needs_sound_says_so(make_subject, audit_data: AuditData) -> None:
    found = audit_listening(make_subject(listens=True, needs_sound=True), audit_data, samples=1)
    assert [sound.name for sound in found.sounds] == ["true", "silent", "late", "early", "other_video"]
    assert "this network needs sound" in "\n".join(listening_lines(found))


def test_no_shift_leaves_the_shifted_sounds_out(make_subject, audit_data: AuditData) -> None:
    found = audit_listening(make_subject(listens=True, steps=1), audit_data, samples=1, shift=0)
    assert [sound.name for sound in found.sounds] == ["true", "silent", "other_video", "none"]
    assert [setting.name for setting in found.settings] == ["1 step"]


def test_maps_are_those_of_the_test(make_subject, audit_data: AuditData) -> None:
    subject: Subject = make_subject(listens=True, steps=3, seed=5, rule=noisy_rule)
    _, loader = heard_loader(audit_data, subject.model, 0)
    batch, heard = next(iter(loader))
    network = subject.model.network
    condition = network.encode(network.normalize_video(batch["video"]), heard["true"])
    maps = maps_by_setting(subject, condition, batch, settings_of(subject.model, 4))
    for name, sampling in (("1 step", (1, 1)), ("3 steps", (3, 1)), ("mean of 4 draws", (3, 4))):
        steps, samples = sampling
        task = DiffusionSaliencyTask(network, sampling=Sampling(steps=steps, samples=samples), seed=5).eval()
        torch.testing.assert_close(maps[name], task.predict_maps(batch))


def test_every_sound_is_that_of_the_data_module(make_subject, audit_data: AuditData) -> None:
    model = make_subject(listens=True).model
    _, loader = heard_loader(audit_data, model, 0.32)
    modules = {
        "true": audit_data.module(model),
        "silent": audit_data.module(model, "silent"),
        "other_video": audit_data.module(model, "other_video"),
        "late": audit_data.module(model, test_audio_shift=0.32),
        "early": audit_data.module(model, test_audio_shift=-0.32),
    }
    assert isinstance(loader.dataset, HeardFrames)
    expected = {name: next(iter(module.test_dataloader())) for name, module in modules.items()}
    batch, heard = next(iter(loader))
    assert set(heard) == set(expected)
    for name, other in expected.items():
        assert torch.equal(heard[name], other["audio"])
        assert torch.equal(batch["video"], other["video"])
    assert not torch.equal(heard["late"], heard["early"])


def test_the_verdict_needs_cc_and_sensible_numbers(make_subject, audit_data: AuditData) -> None:
    subject = make_subject(listens=True)
    for options in ({"metrics": ("nss",)}, {"samples": 0}, {"shift": -1.0}, {"shift": float("nan")}):
        with pytest.raises(InputError):
            audit_listening(subject, audit_data, **options)


def test_one_video_has_no_other(make_subject, audit_data: AuditData) -> None:
    with pytest.raises(InputError, match="at least 2 test videos"):
        audit_listening(make_subject(listens=True), replace(audit_data, limit_videos=1))


def test_a_diverged_model_is_no_deaf_one(make_subject, audit_data: AuditData) -> None:
    subject = make_subject(listens=True, rule=lambda noisy, t, known: known * float("nan"))
    with pytest.raises(InputError, match="not-a-number"):
        audit_listening(subject, audit_data)


def test_json_holds_every_video(listener: ListeningAudit, tmp_path: Path) -> None:
    plain = listening_json(listener)
    write_json(tmp_path / "audit.json", plain)
    assert len(plain["videos"]) == 2 * 6 * 3
    assert plain["verdicts"][ALL]["finding"] == "listens"
    assert plain["settings"][1] == {"name": "2 steps", "steps": 2, "samples": 1, "commits": True}
