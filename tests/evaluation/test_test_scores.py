"""One test, every protocol: scores of the maps that were predicted anyway equal those computed by hand."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.test_scores import TEST_RESULT, ProtocolScores, protocols_of
from lightning_avsp.run_folder import RunFolder


def test_corpora_have_the_protocols_of_their_papers() -> None:
    assert protocols_of("AVAD") == ("stavis", "vinet")
    assert protocols_of("DHF1K") == protocols_of("UCF") == ("dhf1k",)
    assert protocols_of("CrowdSAL") == ("ntire26",)
    assert protocols_of("one of my own") == ()


def test_scores_are_those_of_the_prepared_maps(tmp_path: Path) -> None:
    maps = torch.rand(4, 1, 16, 24)
    truth = [
        torch.randint(1, 256, size, dtype=torch.uint8) for size in ((32, 48), (32, 48), (20, 30), (32, 48))
    ]
    batch = {
        "corpus": ["AVAD", "AVAD", "DHF1K", "AVAD"],
        "video_id": ["V1", "V1", "0601", "V1"],
        "frame": torch.tensor([9, 10, 1, 8]),  # STAViS scores from frame 9 on
        "ground_truth": truth,
        "fixations": [torch.tensor([[1, 2], [5, 6]])] * 4,
    }
    scorer = ProtocolScores(RunFolder(tmp_path))
    trainer: Any = SimpleNamespace(
        datamodule=SimpleNamespace(
            tested_corpora=["AVAD", "DHF1K"],
            entries=lambda part: [
                SimpleNamespace(key=key, subset="") for key in (("AVAD", "V1"), ("DHF1K", "0601"))
            ],
        ),
        is_global_zero=True,
    )
    scorer.on_test_epoch_start(trainer, None)  # type: ignore[arg-type]
    scorer.on_test_batch_end(trainer, None, maps, batch, 0)  # type: ignore[arg-type]
    scorer.on_test_epoch_end(trainer, None)  # type: ignore[arg-type]
    found = json.loads((tmp_path / "results" / TEST_RESULT).read_text())
    assert {name: [row["video"] for row in one["videos"]] for name, one in found.items()} == {
        "stavis": ["V1"],
        "vinet": ["V1"],
        "dhf1k": ["0601"],
    }
    assert found["stavis"]["videos"][0]["frames"] == 2
    assert found["vinet"]["videos"][0]["frames"] == 3
    prepared = [find_protocol("stavis").prepare(maps[i], (32, 48))[0] for i in (0, 1)]
    by_hand = [
        torch.corrcoef(torch.stack([p.flatten(), t.double().flatten()]))[0, 1]
        for p, t in zip(prepared, truth[:2], strict=True)
    ]
    # the same formula in float64, summed in another order: 1,536 terms of rounding 1e-16 each
    assert found["stavis"]["videos"][0]["cc"] == pytest.approx(float(sum(by_hand)) / 2, abs=1e-9)
