"""``avsp submit``: predictions in the form in which a challenge takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def crowdsal(
    checkpoint: Path,
    root: Path,
    out: Path,
    subset: Literal["public_test", "private_test", "both"] = "both",
    steps: int | None = None,
    seed: int = 0,
    batch: int | None = None,
    device: str = "auto",
) -> None:
    """Write one saliency video for each test clip of the NTIRE 2026 challenge (CrowdSAL), with its number of frames.

    Clips that are there already are kept: the same command goes on where it was stopped. The challenge's own score of
    the folder, where the ground truth is there: avsp evaluate OUT --root ROOT --corpus CrowdSAL --protocol ntire26.

    Args:
        checkpoint: Checkpoint of a training run, exported folder, or an official DiffSal release.
        root: Folder that holds CrowdSAL: Videos and TrainTestSplit.json.
        out: Folder to write, or a .zip file that holds the videos.
        subset: Test clips to predict.
        steps: Denoising steps; the checkpoint's own number when not given.
        seed: Seed of the noise that maps are sampled from.
        batch: Clips per forward pass, 16 on a GPU and 4 on the CPU by default.
        device: auto, cpu, cuda, cuda:1, mps.
    """
    from lightning_avsp.predict.submission import submit_crowdsal
    from lightning_avsp.tasks.loading import load_model

    model = load_model(Path(checkpoint), device, steps, seed)
    subsets = ("public_test", "private_test") if subset == "both" else (subset,)
    batch = batch or (16 if model.device.type == "cuda" else 4)
    written = submit_crowdsal(
        model, Path(root), Path(out), subsets, batch, lambda line: print(line, flush=True)
    )
    print(f"{len(written)} videos, each with the frames of its clip: {out}")
