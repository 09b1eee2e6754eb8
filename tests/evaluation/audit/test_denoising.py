"""A regressor is found out exactly; a denoiser's use of its inputs, its spread and its gains are measured."""

from dataclasses import replace

import pytest
import torch

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.data import AuditData
from lightning_avsp.evaluation.audit.denoising import DenoisingAudit, audit_denoising


def improving(noisy: torch.Tensor, t: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Blurs its knowledge with noise at early steps, less at late ones."""
    return known + 0.5 * t**3 * torch.sin(5 * noisy)


def worsening(noisy: torch.Tensor, t: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return known + 0.5 * (1 - t) * torch.sin(5 * noisy)


def text_of(audit: DenoisingAudit) -> str:
    return "\n".join(audit.report().lines())


def test_a_regressor_is_exactly_independent(make_model, audit_data: AuditData) -> None:
    model = make_model(listens=False, steps=3)
    found = audit_denoising(model, audit_data, samples=2)
    assert sum(model.network.encoded) == found.frames  # each clip once
    assert found.timesteps == (999, 665, 332)
    assert all(shift.largest == 0 for shift in found.shifts.values())
    assert found.identical
    assert found.gain(2, 0, "cc")[0].mean == 0
    text = text_of(found)
    assert "exactly independent of the noisy map and of t: a regressor" in text
    assert "all 2 samples of every clip are the same map, to the last bit" in text
    assert "nothing changes in CC of one sample (exactly 0)" in text


def test_a_network_that_reads_t_alone_is_a_regressor_too(make_model, audit_data: AuditData) -> None:
    model = make_model(listens=False, rule=lambda noisy, t, known: known * (1 - t / 2) + t / 10)
    found = audit_denoising(model, audit_data, samples=2)
    assert found.ignores("noise", "map")
    assert not found.ignores("t")
    text = text_of(found)
    assert "exactly independent of the noisy map: a regressor, whose map depends on t alone" in text


def test_a_network_that_ignores_t_is_named(make_model, audit_data: AuditData) -> None:
    model = make_model(listens=False, rule=lambda noisy, t, known: known + 0.1 * noisy)
    found = audit_denoising(model, audit_data, samples=2)
    text = text_of(found)
    assert "uses the noisy map" in text
    assert "it is exactly independent of t" in text
    # at t = 999 nearly all of the noisy map is noise: the map under it makes no difference
    first = found.shifts[0, "noise"], found.shifts[0, "map"]
    assert first[0].mean > 100 * first[1].mean
    # two samples of unit noise differ by 2 / sqrt(pi) on average
    assert first[0].mean == pytest.approx(0.1 * 2 / torch.pi**0.5, rel=0.05)


def test_a_trace_of_the_noisy_map_is_practically_none(make_model, audit_data: AuditData) -> None:
    model = make_model(listens=False, rule=lambda noisy, t, known: known + 1e-6 * noisy + 1e-6 * t)
    found = audit_denoising(model, audit_data, samples=2)
    assert not found.ignores("noise")
    text = text_of(found)
    assert "practically ignores the noisy map" in text
    assert "practically ignores t" in text
    assert "nearly one map" in text


def test_steps_that_help_and_steps_that_hurt(make_model, audit_data: AuditData) -> None:
    helped = audit_denoising(make_model(listens=False, steps=4, rule=improving), audit_data, samples=3)
    change, videos = helped.gain(3, 0, "cc")
    assert change.low > 0.1
    assert videos == 2
    assert helped.value(3, "cc") > 0.9 > helped.value(0, "cc")
    assert (
        helped.value(0, "cc", of_mean=True) > helped.value(0, "cc") + 0.05
    )  # samples differ, their mean is better
    hurt = audit_denoising(make_model(listens=False, steps=4, rule=worsening), audit_data, samples=3)
    assert hurt.gain(3, 0, "cc")[0].high < -0.1
    assert hurt.over_videos(hurt.agreement).mean < helped.over_videos(helped.agreement).mean
    assert "denoising raises CC of one sample" in text_of(helped)
    assert "denoising lowers CC of one sample" in text_of(hurt)
    assert "the samples differ" in text_of(hurt)
    assert helped.report().record["steps"][3]["sample/cc"] == helped.value(3, "cc")


def test_what_cannot_be_audited_is_reported(make_model, audit_data: AuditData) -> None:
    model = make_model(listens=False, steps=1)
    assert "one step: there is no gain to measure" in text_of(audit_denoising(model, audit_data, samples=2))
    direct = replace(model, sampling=None, diffusion=None)
    diverged = make_model(listens=False, rule=lambda noisy, t, known: known * float("nan"))
    for given, samples, message in (
        (model, 1, "at least 2 samples"),
        (diverged, 2, "predicts NaN"),
        (direct, 2, "Fake predicts in one pass"),
    ):
        with pytest.raises(InputError, match=message):
            audit_denoising(given, audit_data, samples=samples)
