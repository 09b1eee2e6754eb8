"""An official checkpoint on a test list: scores equal those of the released network's maps, scored by hand."""

import json
from pathlib import Path

import pytest
import torch
from commandline import EXPERIMENTS, fit_arguments

from lightning_avsp.cli import main
from lightning_avsp.metrics import SaliencyMetrics
from lightning_avsp.tasks.experiment import Experiment
from lightning_avsp.tasks.loading import RELEASED_SAMPLING
from lightning_avsp.tasks.prediction import frame_keys


def test_scores_are_those_of_its_maps(corpus: Path, tmp_path: Path) -> None:
    options = [
        f"--data.root={corpus}",
        "--data.num_workers=0",
        "--model.network.variant=released",
        "--data.test.every=12",
    ]
    experiment = Experiment([f"--config={EXPERIMENTS / 'smoke.yaml'}", *options])
    task, data = experiment.build()
    file = tmp_path / "official.pth"
    torch.save({"state_dict": task.network.core.state_dict()}, file)  # tiny ones have our names alone
    task.sampling = RELEASED_SAMPLING
    task.eval()
    data.setup("test")
    metrics = SaliencyMetrics(("cc", "sim", "nss", "auc_judd"))
    with torch.no_grad():
        for batch in data.test_dataloader():
            maps = task.predict_maps(batch)
            metrics.update(maps[:, 0], batch["ground_truth"], batch["fixations"], frame_keys(batch))
    command = fit_arguments(
        corpus, tmp_path, *options, f"--official={file}", "--trainer.limit_test_batches=1.0"
    )
    main(["test", *command[1:]])
    scored = json.loads((tmp_path / "results" / "test.json").read_text())
    by_hand = {row["video"]: row for row in metrics.table().video_records()}
    assert by_hand.keys() == {row["video"] for row in scored["videos"]}
    for row in scored["videos"]:
        for metric in ("cc", "sim", "nss", "auc_judd"):
            # the same operations, in batches of another size: rounding of float32, 1e-7 a step
            assert row[metric] == pytest.approx(by_hand[row["video"]][metric], abs=1e-4)
    assert (tmp_path / "results" / "test_protocols.json").is_file()


def test_it_goes_with_test_alone(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(fit_arguments(corpus, tmp_path, "--official=x.pth"))
    assert "goes with test" in capsys.readouterr().err
