"""Does the output depend on the noisy map and on t? In `paper` yes, in `released` without sound exactly not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import EXPERIMENTS

from lightning_avsp.cli import main
from lightning_avsp.data import AVSaliencyDataModule, ClipPolicy, LogMel
from lightning_avsp.demo.sensitivity import Sensitivity, denoiser_sensitivity
from lightning_avsp.tasks import DiffusionSaliencyTask

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


def trained(corpus: Path, run: Path, *options: str) -> Sensitivity:
    """Sensitivity of a demo network after 30 training steps."""
    main(
        [
            "fit",
            f"--config={EXPERIMENTS / 'demo_published.yaml'}",
            f"--data.root={corpus}",
            f"--run_dir={run}",
            "--data.batch_size=4",
            "--trainer.max_steps=30",
            "--trainer.limit_val_batches=0",
            "--trainer.log_every_n_steps=1",
            "--trainer.enable_progress_bar=false",
            "--model.lr_scheduler.total_steps=30",
            "--monitor=train/loss",
            "--monitor_mode=min",
            "--figures=0",
            "--wandb=disabled",
            *options,
        ]
    )
    task = DiffusionSaliencyTask.load_from_checkpoint(
        run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True
    ).eval()
    data = AVSaliencyDataModule(
        corpus, size=(64, 128), audio=LogMel(size=(32, 64)), batch_size=4, num_workers=0, clip=ClipPolicy()
    )
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    return denoiser_sensitivity(
        task.network,
        task.diffusion,
        task.network.normalize_video(batch["video"]),
        batch["audio"],
        task.target(batch),
    )


def test_the_paper_variant_uses_the_noisy_map_and_t(
    corpus: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    found = trained(corpus, tmp_path)
    record_property("sensitivity", str(found))
    print(f"after 30 steps: {found}")
    # float32 rounding moves a map by about 1e-7
    assert found.noise > 1e-4
    assert found.t > 1e-5


def test_the_released_variant_without_sound_uses_neither(corpus: Path, tmp_path: Path) -> None:
    found = trained(corpus, tmp_path, "--model.network.variant=released", "--model.network.modality=v")
    assert found == Sensitivity(noise=0.0, t=0.0, largest=0.0)
