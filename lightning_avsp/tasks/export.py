"""A trained model as a folder that anyone can load: plain settings, safetensors, and a model card."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from string import Template

from lightning_avsp import __version__
from lightning_avsp.errors import InputError
from lightning_avsp.files import atomic_write
from lightning_avsp.run_folder import RunFolder, write_atomically, write_json
from lightning_avsp.tasks.loading import EXPORTED, INPUT_KEY, PRECISION_KEY, load_model, without_weight_files

CARD = "README.md"


def export_model(checkpoint: Path, out: Path, *, overwrite: bool = False) -> list[Path]:
    """Write a model in the layout of the Hugging Face hub.

    Args:
        checkpoint: Anything that :func:`~lightning_avsp.tasks.loading.load_model` reads.
        out: Folder to write ``config.json``, ``model.safetensors`` and ``README.md`` into.
        overwrite: Replace these files.

    Returns:
        The files.

    Raises:
        InputError: If the checkpoint cannot be used, or ``out`` is not empty.
    """
    from safetensors.torch import save

    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not overwrite):
        raise InputError(f"{out} is not empty: give another --out, or pass --overwrite")
    model = load_model(checkpoint)
    config = {
        "library": f"lightning_avsp {__version__}",
        "pytorch-lightning_version": None,  # an entry that marks checkpoints of this project's tasks
        "hyper_parameters": without_weight_files(model.settings),
        INPUT_KEY: model.spec.as_plain(),
        PRECISION_KEY: "bf16-mixed" if model.half else "32-true",
        "datamodule_hyper_parameters": {"data": {"captions": model.captions}},
    }
    # copies: safetensors refuses tensors that share memory
    tensors = {
        name: value.detach().contiguous().clone() for name, value in model.network.state_dict().items()
    }
    files = [out / name for name in (*EXPORTED, CARD)]  # the card last: it describes what is there
    write_json(files[0], config)
    with atomic_write(files[1]) as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    card = Template(
        resources.files("lightning_avsp.tasks").joinpath("model_card.md").read_text(encoding="utf-8")
    )
    text = card.substitute(
        network=type(model.network).__name__,
        source=model.source,
        parameters=f"{sum(value.numel() for value in tensors.values()):,}",
        settings=json.dumps(config, indent=2),
        **_read_run(RunFolder(checkpoint.absolute().parents[1])),
    )
    write_atomically(files[2], text)
    return files


def _read_run(run: RunFolder) -> dict[str, str]:
    """Describe training and scores for the model card, as far as the run's folder has a record of them."""
    record, result = (
        json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for path in (run.record, run.results / "test.json")
    )
    facts = {
        "experiment": record.get("experiment"),
        "seed": record.get("seed"),
        "optimiser steps": record.get("steps"),
        "training videos": len(record.get("videos", {}).get("train", [])) or None,
        "selection": record.get("selection"),
        "starts": "; ".join(record.get("weights", [])) or None,
        "commit": record.get("versions", {}).get("commit"),
    }
    synthetic = "SYNTHETIC: trained on generated discs and tones; it knows nothing of natural videos."
    return {
        "limits": synthetic if record.get("synthetic") else "",
        "trained": "\n".join(f"- {name}: {fact}" for name, fact in facts.items() if fact is not None)
        or "Not recorded.",
        "scores": "\n".join(f"- {name}: {mean:.4f}" for name, mean in result.get("averages", {}).items())
        or "Not tested.",
    }
