"""Names of trainings and tests by everything that decides them, from plain settings alone.

Two trainings with the same name give the same weights up to rounding, and two tests with the same name the same scores,
so one of each is enough. Left out is where and how a run computes, and what is drawn or written on the way.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from lightning_avsp.data.catalogue import Corpus, Part, find_corpus, splits_in_mix
from lightning_avsp.data.lists import list_path, parse_fold_list, require_root
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.files import sha256_of
from lightning_avsp.run_folder import write_atomically
from lightning_avsp.sweep.composition import is_within, leaves, lookup
from lightning_avsp.sweep.sweep_file import content_name

TEST_ONLY = ("model.init_args.sampling", "model.init_args.metrics", "data.test", "trainer.limit_test_batches")
"""Settings that a row may change without a new training: the training keeps those of the experiment."""
PLACE = (
    # init_absent: where "error" trains at all, "drop" trains the same
    *("run_dir", "experiment", "wandb", "wandb_project", "overwrite", "ckpt_path", "weights_only"),
    *("init_from", "stage", "init_absent", "allow_seen_test_videos", "test_after_fit", "figures"),
    *("save_every_steps", "compile", "activation_checkpointing", "deterministic", "data.root", "data.split"),
    *("data.num_workers", "data.corpora", "data.captions.folder", "data.captions.features"),
    *("data.loading.start_method", "data.loading.eval_batch_size", "trainer.accelerator", "trainer.devices"),
    *("trainer.num_nodes", "trainer.strategy", "trainer.logger", "trainer.enable_progress_bar"),
    *("trainer.enable_model_summary", "trainer.profiler", "trainer.log_every_n_steps"),
    *("trainer.default_root_dir", "trainer.benchmark", "trainer.model_registry"),
    *("trainer.limit_predict_batches", "trainer.enable_autolog_hparams"),
)
"""Settings that decide no weights, or that stand in the name by what they mean: the data folder and the split as the
videos that they name, captions as what they say, ``init_from`` as a stage's name or a checkpoint's digest."""
VERSION = 3
"""Raised when the same settings would train other weights, a changed default among them."""


def name_training(config: dict[str, Any], start: Any, with_data: bool = True) -> str:
    """Name a training by 12 hexadecimal digits.

    Args:
        config: Composed configuration.
        start: Name of the stage or digest of the checkpoint that the weights start from, or None.
        with_data: Read the corpora's lists and the captions; names without them count trainings, but do not find them.

    Raises:
        CorpusNotFoundError: If a corpus or its list is not there.
    """
    data = config.get("data") or {}
    # the test list decides only where the checkpoint is chosen on it
    parts: tuple[Part, ...] = (
        ("train", "test") if (data.get("validation") or {}).get("selection") == "test" else ("train",)
    )
    # sampling draws the validation maps that choose best.ckpt
    unused = (*PLACE, *(key for key in TEST_ONLY if key != "model.init_args.sampling"))
    if data.get("global_batch") is not None:  # its shares change the weights by rounding alone
        unused += ("data.batch_size", "trainer.accumulate_grad_batches")
    settings = {"version": VERSION, "settings": _settings(config, unused), "start": start}
    return content_name(settings | _data_content(data, parts, with_data))


def name_test(training: str, config: dict[str, Any], checkpoint: str, with_data: bool = True) -> str:
    """Name a test by its training's name and the settings of the test."""
    settings = {key: _canonical(lookup(config, key)) for key in TEST_ONLY}
    content = {"training": training, "checkpoint": checkpoint, "settings": settings}
    return content_name(content | _data_content(tested_data(config), ("test",), with_data))


def tested_data(config: dict[str, Any]) -> dict[str, Any]:
    """Return the data settings of a test: its corpora, where it names any, in place of the trained ones."""
    data = config.get("data") or {}
    corpora = (data.get("test") or {}).get("corpora")
    return {**data, "corpora": corpora} if corpora else data


def weight_files(config: dict[str, Any]) -> dict[str, Path]:
    """List options that name files of weights, with the files, whether they are there or not."""
    given = {name: str(value) for name, value in leaves("", config) if name.endswith("_weights") and value}
    # names of published weights, such as kinetics400, are no paths
    return {name: Path(text) for name, text in given.items() if Path(text).suffix or "/" in text}


def file_digest(path: Path) -> str:
    """Compute the SHA-256 of a file, once for each of its states."""
    state = path.stat()
    return _digest(str(path.resolve()), state.st_size, state.st_mtime_ns)


@cache
def _digest(path: str, size: int, changed: int) -> str:
    kept = Path.home() / ".cache" / "lightning_avsp" / "digests"
    key = kept / hashlib.sha256(f"{path}\n{size}\n{changed}".encode()).hexdigest()
    if size > 1 << 24 and key.is_file():  # reading a gigabyte takes longer than a status may
        return key.read_text()
    found = sha256_of(Path(path))
    if size > 1 << 24:
        write_atomically(key, found)
    return found


def _settings(config: dict[str, Any], unused: tuple[str, ...]) -> dict[str, Any]:
    """Keep the settings that decide a training, by dotted name, whatever the machine and the spelling."""
    files = weight_files(config)
    root = str((config.get("data") or {}).get("root", "")).rstrip("/") + "/"
    kept = {}
    for name, value in leaves("", config):
        # by what remains, so a new setting is in the name until it is listed as deciding nothing
        if is_within(name, unused):
            continue
        if name in files and files[name].is_file():
            # a file may be replaced, and copies lie elsewhere on another machine
            value = f"sha256:{file_digest(files[name])}"
        elif name.endswith("class_path"):
            # DiffSal and lightning_avsp.papers.diffsal.DiffSal are one class
            value = str(value).rpartition(".")[2]
        elif isinstance(value, str) and value.startswith(root):
            # the data lie elsewhere on another machine
            value = f"ROOT/{value.removeprefix(root)}"
        kept[name] = _canonical(value)
    return kept


def _canonical(value: Any) -> Any:
    """Read words as the values that an option takes them for: ``"true"`` and True are one."""
    words = {"true": True, "false": False, "null": None}
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return words.get(value, value) if isinstance(value, str) else value


def corpora_of(data: dict[str, Any]) -> list[tuple[Corpus, int]]:
    """List the corpora of a mix, each with the split that it contributes.

    Raises:
        InputError: If a corpus is not known, or none has the split.
    """
    root = Path(str(data.get("root", "data")))
    corpora = [find_corpus(name, root) for name in data.get("corpora", ["AVAD"])]
    split = data.get("split", 1)
    if split == "all":
        return [(corpus, 0) for corpus in corpora]
    return list(zip(corpora, splits_in_mix(corpora, split), strict=True))


def _data_content(data: dict[str, Any], parts: tuple[Part, ...], with_data: bool) -> dict[str, Any]:
    """Describe the videos of some parts by corpus, how synthetic ones were made, and their captions."""
    # captions with their prompt and models; frames or audio that changed under the same lists are not noticed
    if not with_data:
        corpora = [[corpus.name, split] for corpus, split in corpora_of(data)]
        return {"data": corpora, "captions": bool(data.get("captions"))}
    root, found = Path(str(data.get("root", "data"))), []
    for corpus, split in corpora_of(data):
        require_root(root, corpus)
        splits = corpus.splits if split == 0 else (split,)
        lists = [_listing(root, corpus, part, one) for part in parts for one in splits]
        found.append([corpus.name, lists, _synthetic(root).get(corpus.folder)])
    files = {path.name: file_digest(path) if path.is_file() else None for path in caption_files(data)}
    return {"data": found, "captions": files or False}


def _listing(root: Path, corpus: Corpus, part: Part, split: int) -> Any:
    """Digest a fold list's videos; of a corpus without lists, which was divided once, the names of what is there."""
    path = list_path(root, corpus, part, split)
    # a missing list of STAViS's layout is an error with its path, not a corpus without lists
    if path.is_file() or corpus.layout == "stavis":
        return content_name([[video.name, video.frames, video.fps] for video in parse_fold_list(path)])
    folders = [root / name for name in corpus.names if (root / name).is_dir()]
    if not folders:
        raise CorpusNotFoundError(f"no folder of {corpus.name} at {root}; to obtain it: {corpus.source}")
    names = sorted(
        str(p.relative_to(f)) for f in folders for p in f.glob("*/*") if not p.name.startswith(".")
    )
    return [part, content_name(names)]


def _synthetic(root: Path) -> dict[str, Any]:
    """Digest how each synthetic corpus was made; reading the records themselves would import scipy."""
    path = root / "synthetic.json"
    try:
        corpora = json.loads(path.read_text())["corpora"] if path.is_file() else {}
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} does not describe synthetic corpora ({error}); move it away") from error
    return {name: content_name(made) for name, made in corpora.items()}


def caption_files(data: dict[str, Any]) -> list[Path]:
    """List the files that captions need: those of every corpus, and the description of their features."""
    captions = data.get("captions") or {}
    if not captions:
        return []
    folder = Path(captions.get("folder") or Path(str(data.get("root", "data"))) / "captions")
    files = [folder / f"{corpus.name}.jsonl" for corpus, _ in corpora_of(data)]
    return [*files, Path(captions.get("features") or folder / "features") / "model.json"]
