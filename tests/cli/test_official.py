"""An official checkpoint on a test list: scores equal those of the released network's maps, scored by hand."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import EXPERIMENTS, fit_arguments

from lightning_avsp.cli import main
from lightning_avsp.diffusion import GaussianDiffusion
from lightning_avsp.evaluation.evaluate import evaluate_predictions
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.metrics import SaliencyMetrics
from lightning_avsp.tasks.experiment import Experiment
from lightning_avsp.tasks.loading import RELEASED_SAMPLING
from lightning_avsp.tasks.prediction import clip_seeds, frame_keys

ENCODERS = ("video_encoder", "audio_encoder")


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
    assert scored["selection"].startswith("taken as published")
    by_hand = {row["video"]: row for row in metrics.table().video_records()}
    assert by_hand.keys() == {row["video"] for row in scored["videos"]}
    for row in scored["videos"]:
        for metric in ("cc", "sim", "nss", "auc_judd"):
            # the same operations, in batches of another size: rounding of float32, 1e-7 a step
            assert row[metric] == pytest.approx(by_hand[row["video"]][metric], abs=1e-4)
    assert (tmp_path / "results" / "test_protocols.json").is_file()


@pytest.fixture
def golden() -> Any:
    """The module of the reference run's weights."""
    path = Path(__file__).parents[1] / "papers" / "diffsal" / "test_released_golden.py"
    spec = importlib.util.spec_from_file_location("golden", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.shared
@pytest.mark.full_size
def test_golden_weights_score_as_the_released_networks_maps(
    corpus: Path, tmp_path: Path, shared: Path, golden: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An official file, converted, on a test list, against its network's maps as files, in STAViS' protocol."""
    monkeypatch.chdir(tmp_path)
    state = golden.golden_state(shared) | {"fc.0.weight": torch.zeros(2)}
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, "official.pth")
    main(["weights", "convert", "official.pth", "--out=official.safetensors"])
    options = [
        f"--data.root={corpus}",
        "--data.corpora=[AVAD]",
        "--data.split=2",
        "--data.size=[64,128]",
        "--data.audio.size=[32,64]",
        "--data.num_workers=0",
        "--data.test.every=50",
        "--data.loading.limit_videos=1",
    ]
    config = f"--config={EXPERIMENTS / 'diffsal_released_av6.yaml'}"
    trainer = [f"--trainer.{name}=false" for name in ("enable_progress_bar", "enable_model_summary")]
    command = ["test", config, *options, "--official=official.safetensors", "--wandb=disabled", *trainer]
    main([*command, "--trainer.accelerator=cpu"])
    scored = json.loads(
        Path("runs/diffsal_released_av6/official-split2/results/test_protocols.json").read_text()
    )["stavis"]["videos"]

    network = golden.golden_network(shared)
    _, data = Experiment([config, *options, *(f"--model.network.{e}=tiny" for e in ENCODERS)]).build("meta")
    data.setup("test")
    for batch in data.test_dataloader():
        video = network.normalize_video(batch["video"])
        with torch.no_grad():
            maps = RELEASED_SAMPLING.sample(
                lambda x, t, video=video, audio=batch["audio"]: network(x, t, video, audio),
                (len(video), 1, 64, 128),
                GaussianDiffusion(),
                seeds=clip_seeds(batch, 0),
                device=torch.device("cpu"),
            )
        for (corpus_name, name, frame), saliency in zip(frame_keys(batch), maps, strict=True):
            folder = tmp_path / "maps" / corpus_name / name
            folder.mkdir(parents=True)
            np.save(folder / f"{frame:05d}.npy", saliency[0].clamp(0, 1).numpy())
    by_hand = evaluate_predictions(
        tmp_path / "maps", corpus, ["AVAD"], find_protocol("stavis"), "2", allow_missing=True
    )
    rows = {row["video"]: row for row in by_hand.tables[2].video_records()}
    assert rows.keys() == {row["video"] for row in scored}
    for row in scored:
        for metric in ("cc", "sim", "nss", "auc_judd"):
            # float32 on both sides, summed in another order: 1e-7 a step, of maps that differ by .03
            assert row[metric] == pytest.approx(rows[row["video"]][metric], abs=1e-4)


def test_it_goes_with_test_alone(corpus: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "goes with test" in refused(fit_arguments(corpus, tmp_path, "--official=x.pth"))
