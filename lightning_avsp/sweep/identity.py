"""What decides a training's weights, as plain values, and the name that follows from it.

Two trainings with the same name give the same weights up to rounding, so one of them is enough. Left out is what only
says where and how a run computes, what is drawn or written on the way, and what a test does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_avsp.data.catalogue import find_corpus, splits_in_mix
from lightning_avsp.data.corpora import corpus_listing
from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.launch import device_count
from lightning_avsp.sweep.sweep_file import canonical_json

TEST_ONLY = (
    "model.init_args.sampling",
    "data.test",
    "trainer.limit_test_batches",
)
"""What a sweep may change without a new training: the training has the experiment's own values of these.

Sampling also draws the validation maps that choose ``best.ckpt``, so the experiment's own sampling stays in the name.
"""
PLACE = (
    *("run_dir", "experiment", "wandb", "wandb_project", "overwrite", "ckpt_path", "weights_only"),
    # init_absent: where "error" trains at all, "drop" trains the same
    *("init_from", "init_absent", "allow_seen_test_videos", "test_after_fit", "figures", "save_every_steps"),
    *("compile", "activation_checkpointing", "deterministic"),
    *("model.init_args.metrics", "data.root", "data.split", "data.num_workers", "data.loading.start_method"),
    *(
        "data.loading.eval_batch_size",
        "trainer.accelerator",
        "trainer.devices",
        "trainer.num_nodes",
        "trainer.strategy",
    ),
    *("trainer.logger", "trainer.enable_progress_bar", "trainer.enable_model_summary"),
    *("trainer.log_every_n_steps", "trainer.profiler", "trainer.default_root_dir", "trainer.benchmark"),
    *("trainer.limit_predict_batches", "trainer.enable_autolog_hparams", "trainer.model_registry"),
)
"""Settings that do not decide the weights, or that stand in the name by what they mean instead.

``data.root`` and ``data.split`` stand as the videos that they name, ``init_from`` as the name of the stage or the
checkpoint's digest, devices as the number of processes where ``data.global_batch`` does not fix the batch.
"""
VERSION = 1
"""Raised when the same settings would train other weights."""


def training_content(
    config: dict[str, Any], start: dict[str, Any] | None, with_data: bool = True
) -> dict[str, Any]:
    """Everything that decides the weights.

    Args:
        config: Complete configuration of ``lightning fit``.
        start: What the weights start from: ``{"stage": name, "checkpoint": "best"}``, ``{"sha256": digest}`` or None.
        with_data: Whether to read the corpora's lists; without them names serve to count trainings, not to find them.

    Raises:
        CorpusNotFoundError: If the corpora or their lists are not there.
    """
    # sampling stays: it draws the validation maps that choose the best checkpoint
    kept = without(config, (*PLACE, *(key for key in TEST_ONLY if key != "model.init_args.sampling")))
    kept = _portable(kept, str(config["data"]["root"]))
    content = {
        "version": VERSION,
        "config": kept,
        "data": data_content(config["data"], with_data),
        "start": start,
    }
    if config["data"].get("global_batch") is None:
        trainer = config["trainer"]
        processes = device_count(trainer["devices"], str(trainer["accelerator"]))
        content["processes"] = processes * int(trainer["num_nodes"] or 1)
    return content


def training_name(content: dict[str, Any]) -> str:
    """Name of a training by its content: 12 hexadecimal digits."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:12]


def data_content(data: dict[str, Any], with_data: bool = True) -> list[dict[str, Any]]:
    """The videos that train and validate, by corpus: digests of their lists, and how synthetic ones were made.

    Changed frames or sounds of films under the same lists are not noticed.

    Args:
        data: Settings of the data module.
        with_data: Whether to read lists; without, a corpus stands by its name and split alone.

    Raises:
        CorpusNotFoundError: If a corpus or its list is not there.
        InputError: If no corpus has the split.
    """
    root = Path(data["root"])
    corpora = [find_corpus(name, root) for name in data["corpora"]]
    splits = splits_in_mix(corpora, data["split"])
    if not with_data:
        return [{"corpus": c.name, "split": split} for c, split in zip(corpora, splits, strict=True)]
    made = read_manifest(root)["corpora"]
    # the test list decides only where the checkpoint is chosen on it
    parts: list[Any] = ["train", "test"] if data["validation"]["selection"] == "test" else ["train"]
    found = []
    for corpus, split in zip(corpora, splits, strict=True):
        listed = [[vars(video) for video in corpus_listing(root, corpus, part, split)] for part in parts]
        lists = hashlib.sha256(canonical_json(listed).encode()).hexdigest()
        found.append({"corpus": corpus.name, "lists": lists, "synthetic": made.get(corpus.folder)})
    return found


def without(config: dict[str, Any], dotted: Sequence[str]) -> dict[str, Any]:
    """A copy of nested settings that lacks some."""
    here: dict[str, list[str]] = {key.partition(".")[0]: [] for key in dotted if "." in key}
    for key in dotted:
        head, _, tail = key.partition(".")
        if tail:
            here[head].append(tail)
    gone = {key for key in dotted if "." not in key}
    return {
        key: without(value, here[key]) if key in here and isinstance(value, dict) else value
        for key, value in config.items()
        if key not in gone
    }


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def _portable(settings: Any, root: str, key: str = "") -> Any:
    """Files of weights by their digest, paths below the data folder without it: where they lie does not matter."""
    if isinstance(settings, dict):
        return {name: _portable(value, root, str(name)) for name, value in settings.items()}
    if isinstance(settings, list):
        return [_portable(value, root, key) for value in settings]
    if not isinstance(settings, str):
        return settings
    if key.endswith("_weights") and Path(settings).is_file():
        return f"sha256:{digest(Path(settings))}"
    prefix = root.rstrip("/") + "/"
    return f"ROOT/{settings.removeprefix(prefix)}" if settings.startswith(prefix) else settings
