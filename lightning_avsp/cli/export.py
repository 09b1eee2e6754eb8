"""``avsp export``: a trained model as a folder of safetensors, settings and model card."""

from __future__ import annotations

from pathlib import Path


def export(checkpoint: Path, out: Path, overwrite: bool = False) -> None:
    """Write a model in the layout of the Hugging Face hub: config.json, model.safetensors and README.md.

    The folder holds tensors and plain settings, no code; `avsp predict --checkpoint OUT` and `lightning_avsp.load` read
    it.

    Args:
        checkpoint: Checkpoint of a training run, or an official DiffSal release.
        out: Folder to write.
        overwrite: Replace an earlier export in OUT.
    """
    from lightning_avsp.tasks.export import export_model

    for path in export_model(Path(checkpoint), Path(out), overwrite=overwrite):
        print(f"written: {path} ({path.stat().st_size:,} bytes)")
