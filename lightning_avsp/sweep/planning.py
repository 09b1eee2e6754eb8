"""Which training a trial needs, and which earlier stages that training starts from, all by content."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_avsp.data.catalogue import find_corpus, splits_in_mix
from lightning_avsp.errors import InputError
from lightning_avsp.sweep.identity import TEST_ONLY, digest, training_content, training_name
from lightning_avsp.sweep.resolve import TrialArguments, resolve
from lightning_avsp.sweep.sweep_file import canonical_json, trial_id
from lightning_avsp.sweep.trainings_folder import training_folder

STAGE = "stage:"
"""What `init_from` begins with when it names an experiment instead of a checkpoint."""
SAME_NETWORK = "#model"
"""Ending of such a name: the stage trains the row's network, not the experiment's own."""
INHERITED = (
    "accelerator",
    "devices",
    "num_nodes",
    "strategy",
    "precision",
    "enable_progress_bar",
    "enable_model_summary",
)
"""Trainer options that a stage takes from the trial that needs it: where and how it computes."""


@dataclass(frozen=True)
class Training:
    """One training, named by what decides its weights."""

    name: str
    """12 hexadecimal digits."""
    content: dict[str, Any] = field(repr=False)
    """What the name was made of."""
    config: dict[str, Any] = field(repr=False)
    """Complete configuration of ``lightning fit``."""
    stage: Training | None = None
    """The training whose best checkpoint this one starts from."""

    def chain(self) -> Iterator[Training]:
        """This training and all before it, the first stage first."""
        if self.stage is not None:
            yield from self.stage.chain()
        yield self

    def folder(self, runs: Path) -> Path:
        """Its run folder."""
        return training_folder(runs, self.name)


@dataclass(frozen=True)
class TrialPlan:
    """What a trial is made of."""

    id: str
    overrides: dict[str, Any]
    training: Training
    config: dict[str, Any] = field(repr=False)
    """Complete configuration with the trial's own test settings."""

    @property
    def config_hash(self) -> str:
        """Name of training and test settings together: it changes when an experiment file does."""
        values = {key: _get(self.config, key) for key in TEST_ONLY}
        return trial_id({"training": self.training.name, "test": values})


def plan_trial(arguments: TrialArguments, with_data: bool = True) -> TrialPlan:
    """Divide a trial into its training and its test.

    Args:
        arguments: Those of ``lightning fit``.
        with_data: Whether to read the corpora's lists; without them trainings can be counted, not found.

    Raises:
        InputError: If a stage cannot be followed, or the data are not there.
    """
    config = resolve(arguments.all)
    return TrialPlan(
        id=trial_id(arguments.overrides),
        overrides=arguments.overrides,
        training=plan_training(
            _with_settings_of(config, resolve(arguments.base)), arguments.overrides, (), with_data
        ),
        config=config,
    )


def plan_training(
    config: dict[str, Any], overrides: dict[str, Any], above: tuple[str, ...], with_data: bool = True
) -> Training:
    """The training that a complete configuration asks for, with its stages.

    Args:
        config: Complete configuration of ``lightning fit``.
        overrides: The trial's values, for stages that train the trial's network.
        above: Experiments that led here, to notice a circle.
        with_data: As in :func:`plan_trial`.

    Raises:
        InputError: If a stage leads back to itself, or is no file; if a checkpoint is not there.
    """
    start, stage = None, None
    source = config.get("init_from")
    if isinstance(source, str) and source.startswith(STAGE):
        stage = _plan_stage(source, config, overrides, above, with_data)
        start = {"stage": stage.name, "checkpoint": "best"}
    elif source is not None:
        if not Path(source).is_file():
            raise InputError(
                f"init_from: no checkpoint at {source}; give a file, or stage:EXPERIMENT to find or train one"
            )
        start = {"sha256": digest(Path(source))}
    content = training_content(config, start, with_data)
    return Training(training_name(content), content, config, stage)


def _plan_stage(
    source: str, config: dict[str, Any], overrides: dict[str, Any], above: tuple[str, ...], with_data: bool
) -> Training:
    experiment = source.removeprefix(STAGE)
    same_network = experiment.endswith(SAME_NETWORK)
    experiment = experiment.removesuffix(SAME_NETWORK)
    if not Path(experiment).is_file():
        raise InputError(
            f"init_from: {source} names no experiment file; a stage is stage:experiments/NAME.yaml"
        )
    if source in above:
        raise InputError(f"init_from: stages lead in a circle: {' -> '.join((*above, source))}")
    laid: dict[str, Any] = {
        "trainer": {key: config["trainer"][key] for key in INHERITED},
        "data": {"root": config["data"]["root"], "num_workers": config["data"]["num_workers"]},
        "wandb": config["wandb"],
        "wandb_project": config["wandb_project"],
    }
    if same_network and "model" in overrides:
        laid["model"] = overrides["model"]
    own = resolve(("--config", experiment))
    _hand_on_video_weights(config, own, laid)
    if _has_split(own["data"], config["data"]["split"], Path(config["data"]["root"])):
        laid["data"]["split"] = config["data"]["split"]
    full = resolve(("--config", experiment, "--config", json.dumps(laid)))
    return plan_training(_with_settings_of(full, own), overrides, (*above, source), with_data)


def _hand_on_video_weights(config: dict[str, Any], own: dict[str, Any], laid: dict[str, Any]) -> None:
    """A stage whose experiment names no pretrained encoder starts from the one that its trial names."""

    def network(settings: dict[str, Any]) -> dict[str, Any]:
        return dict(settings.get("model", {}).get("init_args", {}).get("network", {}).get("init_args", {}))

    weights = network(config).get("video_weights")
    if weights is None or network(own).get("video_weights", weights) is not None:
        return
    model = deepcopy(laid.get("model", {}))
    place = model.setdefault("init_args", {}).setdefault("network", {}).setdefault("init_args", {})
    place["video_weights"] = weights
    laid["model"] = model


def _has_split(data: dict[str, Any], split: Any, root: Path) -> bool:
    """Whether a stage's corpora have the trial's split: DHF1K, for one, was divided once."""
    try:
        splits_in_mix([find_corpus(name, root) for name in data["corpora"]], split)
    except InputError:
        return False
    return True


def _with_settings_of(config: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the test settings of another one, where both have them."""
    result = deepcopy(config)
    same_task = config["model"].get("class_path") == base["model"].get("class_path")
    for key in TEST_ONLY:
        if key.startswith("model.") and not same_task:
            continue
        *way, last = key.split(".")
        here, there = result, base
        for name in way:
            here, there = here.get(name) or {}, there.get(name) or {}
        if last in here and last in there:
            here[last] = deepcopy(there[last])
    return result


def _get(config: dict[str, Any], dotted: str) -> Any:
    value: Any = config
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def same_content(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two contents are the same, however their numbers are written."""
    return canonical_json(first) == canonical_json(second)
