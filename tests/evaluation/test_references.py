"""Reference rows: what they are made of, and that they stand in the order that they should."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_avsp.data.corpora import read_videos
from lightning_avsp.evaluation.evaluate import Evaluation, evaluate_predictions
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.references import NO_CEILING, fit_gaussian, mean_training_map
from lightning_avsp.evaluation.results import as_record, corpus_records
from lightning_avsp.evaluation.scoring import chance_scores
from lightning_avsp.metrics import functional as F


def evaluate(root: Path, folder: Path) -> Evaluation:
    return evaluate_predictions(folder, root, ["AVAD"], find_protocol("plain"), "all", references=True)


def test_people_beat_the_mean_map_and_the_mean_map_beats_chance(
    corpus: Path, copy_truth: Callable[..., Path]
) -> None:
    result = evaluate(corpus, copy_truth())
    mean = {
        row: {name: one.mean for name, one in of["AVAD"].metrics.items()}
        for row, of in result.references.items()
    }
    assert set(mean) == {"human_ceiling", "inter_observer", "mean_training_map", "centre_prior", "uniform"}
    for name in ("cc", "nss", "auc_judd"):
        assert (
            mean["human_ceiling"][name] > mean["mean_training_map"][name] + 0.1 > mean["uniform"][name] + 0.1
        ), name
    assert mean["uniform"]["cc"] == 0
    assert all(of["AVAD"].frames == 150 for of in result.references.values())
    assert result.not_computable == {}
    assert set(as_record(result)["references"]) == set(mean)
    assert len(corpus_records(result)) == 6 * 5
    assert result.shared


def test_a_corpus_of_merged_maps_has_no_ceiling(
    corpus: Path, copy_truth: Callable[..., Path], tmp_path: Path
) -> None:
    root = tmp_path / "real"
    shutil.copytree(corpus, root, ignore=shutil.ignore_patterns("synthetic*"))
    result = evaluate(root, copy_truth())
    assert "human_ceiling" not in result.references
    assert result.not_computable == {row: {"AVAD": NO_CEILING} for row in ("human_ceiling", "inter_observer")}
    assert json.loads(json.dumps(as_record(result)))["synthetic"] is None


def test_mean_map_weighs_videos_alike_and_reads_training_videos_only(corpus: Path) -> None:
    training = read_videos(corpus, ["AVAD"], 1, "train")
    expected = np.mean(
        [np.mean([e.maps.map(n).numpy() / 255 for n in range(1, 26)], axis=0) for e in training],
        axis=0,
    )
    known: dict = {}
    mean = mean_training_map(training, known)
    assert np.allclose(
        mean.numpy(), expected, rtol=0, atol=100 * 6e-8
    )  # means of 100 maps below 1 in float32
    assert set(known) == {entry.key for entry in training}
    known = {key: torch.zeros_like(one) for key, one in known.items()}
    assert mean_training_map(training, known).sum() == 0  # not read again


def test_gaussian_has_the_moments_of_what_it_was_fitted_to() -> None:
    rows, columns = np.mgrid[:90, :160]
    true = np.exp(-((rows - 40) ** 2) / (2 * 9**2) - (columns - 85) ** 2 / (2 * 17**2))
    fitted = fit_gaussian(torch.from_numpy(true))
    assert np.abs(fitted.numpy() - true).max() < 1e-3  # the frame cuts 1e-5 of its mass off


def test_chance_is_the_expectation_of_maps_that_know_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    target = F.resize_bicubic(torch.rand(1, 5, 7, generator=generator), (24, 32))[0].clamp(0)
    points = torch.stack(
        [torch.randint(0, 24, (9,), generator=generator), torch.randint(0, 32, (9,), generator=generator)], 1
    )
    other = torch.stack(
        [torch.randint(0, 24, (40,), generator=generator), torch.randint(0, 32, (40,), generator=generator)],
        1,
    )
    protocol = find_protocol("stavis")
    values, reasons = chance_scores(protocol, target, points, other)
    assert not reasons
    noise = torch.rand(4000, 24, 32, generator=generator)
    several = {
        "cc": F.cc(noise, target.expand_as(noise)),
        "nss": F.nss(noise, [points] * 4000),
        "auc_judd": F.auc_judd(noise, [points] * 4000),
    }
    for name, drawn in several.items():
        error = drawn.std() / math.sqrt(len(drawn))
        assert values[name] == pytest.approx(drawn.mean().item(), abs=4 * error.item()), name
    assert values["auc_judd"] == pytest.approx(F.auc_judd(torch.ones(1, 24, 32), [points]).item())
    shares = (target - target.min()) / (target - target.min()).sum()
    assert values["sim"] == pytest.approx(np.minimum(shares.numpy(), 1 / 768).sum())


def test_chance_on_a_blank_frame_is_as_undefined_as_any_prediction() -> None:
    nobody = torch.zeros(0, 2, dtype=torch.int64)
    values, reasons = chance_scores(find_protocol("stavis"), torch.zeros(6, 8), nobody, nobody)
    assert reasons == {
        "cc": "zero_target",
        "sim": "zero_target",
        "nss": "no_fixations",
        "auc_judd": "no_fixations",
        "auc_shuffled": "no_fixations",
    }
    assert values["sim"] == 0
    assert math.isnan(values["cc"])
