"""A trained model as a folder that anyone can load: plain settings, safetensors, and a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning_avsp import __version__
from lightning_avsp.errors import InputError
from lightning_avsp.files import atomic_write
from lightning_avsp.run_folder import RunFolder, write_atomically, write_json
from lightning_avsp.tasks.loading import EXPORTED, INPUT_KEY, PRECISION_KEY, load_model

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
        "hyper_parameters": _without_weight_files(model.settings),
        INPUT_KEY: model.spec.as_plain(),
        PRECISION_KEY: "bf16-mixed" if model.half else "32-true",
        "datamodule_hyper_parameters": {"data": {"captions": model.captions}},
    }
    # copies: safetensors refuses tensors that share memory
    tensors = {
        name: value.detach().contiguous().clone() for name, value in model.network.state_dict().items()
    }
    files = [out / name for name in (*EXPORTED, CARD)]
    write_json(files[0], config)
    with atomic_write(files[1]) as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    count = sum(value.numel() for value in tensors.values())
    run = RunFolder(checkpoint.absolute().parents[1])
    write_atomically(files[2], model_card(type(model.network).__name__, model.source, count, config, run))
    return files


def _without_weight_files(settings: Any) -> Any:
    """Leave out the files that encoders started from: their tensors are in the model, their paths nobody's business."""
    if not isinstance(settings, dict):
        return settings
    return {
        key: _without_weight_files(value) for key, value in settings.items() if not key.endswith("_weights")
    }


def model_card(network: str, source: str, parameters: int, config: dict[str, Any], run: RunFolder) -> str:
    """Describe a model in Markdown with the hub's header, from its settings and the run that trained it.

    Args:
        network: Name of the network.
        source: Kind of its checkpoint.
        parameters: Numbers in its tensors.
        config: Content of ``config.json``.
        run: Folder of its run, which may lack a record.
    """
    record = json.loads(run.record.read_text()) if run.record.is_file() else {}
    tested = run.results / "test.json"
    result = json.loads(tested.read_text()) if tested.is_file() else {}
    if record.get("synthetic"):
        limits = (
            "SYNTHETIC: trained on generated discs and tones; its scores say nothing about natural videos."
        )
    else:
        limits = "Predicts where viewers look on average, in videos like those that it was trained with."
    trained = [
        f"- {label}: {value}"
        for label, value in (
            ("experiment", record.get("experiment")),
            ("seed", record.get("seed")),
            ("optimiser steps", record.get("steps")),
            ("training videos", len(record.get("videos", {}).get("train", [])) or None),
            ("selection", record.get("selection")),
            ("starts", "; ".join(record.get("weights", [])) or None),
            ("commit", record.get("versions", {}).get("commit")),
        )
        if value is not None
    ]
    scores = [f"| {name} | {value:.4f} |" for name, value in sorted(result.get("averages", {}).items())]
    settings = json.dumps({key: config[key] for key in ("hyper_parameters", INPUT_KEY)}, indent=2)
    lines = [
        "---",
        "library_name: lightning_avsp",
        "tags: [saliency, video, audio-visual]",
        "---",
        f"# {network}",
        "",
        f"Saliency of videos with audio: {source}, {parameters:,} parameters and buffers.",
        "",
        "```python",
        "import lightning_avsp as avsp",
        "",
        'avsp.load("this folder").predict("video.mp4").overlay("overlay.mp4")',
        "```",
        "",
        "## Training",
        "",
        *(trained or ["Not recorded."]),
        "",
        "## Scores",
        "",
        *(["| metric | mean |", "|---|---|", *scores] if scores else ["Not tested."]),
        "",
        "## Limits",
        "",
        limits
        + " The licence of the weights follows from the data and the encoders that they were trained with.",
        "",
        "## Settings",
        "",
        f"```json\n{settings}\n```",
    ]
    return "\n".join(lines) + "\n"
