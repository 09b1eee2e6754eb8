"""The trainings and tests of sweeps: which training a trial tests, and which earlier stages that starts from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import RunFolder
from lightning_avsp.sweep.composition import TrialArguments, lay_option, lookup, split_arguments
from lightning_avsp.sweep.identity import TEST_ONLY, corpora_of, file_digest, name_test, name_training
from lightning_avsp.sweep.sweep_file import Sweep, Trial, content_name, expand, short_words

STAGE = "stage:"
"""Beginning of an `init_from` that names an experiment instead of a checkpoint."""
SAME_NETWORK = "#model"
"""Its ending where the stage trains the row's network, not the experiment's own."""
INHERITED = (
    # of the options that --args give a trial, a stage takes these alone
    *("trainer.accelerator", "trainer.strategy", "trainer.precision", "trainer.enable_progress_bar"),
    *("trainer.enable_model_summary", "data.root", "data.num_workers", "wandb", "wandb_project"),
)
"""Settings that a stage takes from the trial that needs it: where and how it computes."""


@dataclass(frozen=True)
class Training:
    """One training, named by what decides its weights."""

    name: str
    config: dict[str, Any] = field(repr=False)
    """Composed configuration of ``lightning fit``."""
    stage: Training | None = None
    """The training whose best checkpoint this one starts from."""
    label: str = ""
    """Row, split and seed, as W&B shows them."""

    def chain(self) -> Iterator[Training]:
        """Iterate over this training and all before it, the first stage first."""
        if self.stage is not None:
            yield from self.stage.chain()
        yield self

    def folder(self, runs: Path) -> Path:
        """Locate its run folder."""
        return runs / "trainings" / self.name

    def is_finished(self, runs: Path) -> bool:
        """Return true once its run folder holds a finished training."""
        return RunFolder(self.folder(runs)).is_finished


@dataclass(frozen=True)
class TrialPlan:
    """A trial with its training and its test."""

    sweep: str
    trial: Trial
    args: tuple[str, ...]
    """Options of ``--args``."""
    training: Training
    checkpoint: Literal["best", "last"]
    test: str
    """Name of the test by content."""
    config: dict[str, Any] = field(repr=False)
    """Composed configuration with the trial's own test settings."""

    @property
    def label(self) -> str:
        """Row, split and seed, as W&B shows them."""
        return self.training.label

    @property
    def seed(self) -> Any:
        """Training seed."""
        return self.config["seed_everything"]

    @property
    def split(self) -> Any:
        """Published split."""
        return lookup(self.config, "data.split") or 1

    def test_folder(self, runs: Path) -> Path:
        """Locate the test, which trials of several sweeps may share."""
        return runs / "tests" / self.test

    def result(self, runs: Path) -> Path:
        """Locate ``runs/sweeps/<sweep>/<trial>-<test>/result.json``: there exactly when the trial is finished."""
        return runs / "sweeps" / self.sweep / f"{self.trial.id}-{self.test}" / "result.json"


@dataclass(frozen=True)
class SweepPlan:
    """Trials of one or more sweeps with everything that they need."""

    trials: tuple[TrialPlan, ...]

    @classmethod
    def join(cls, plans: Iterable[SweepPlan]) -> SweepPlan:
        """Join the trials of several plans."""
        return cls(tuple(trial for plan in plans for trial in plan.trials))

    def left(self, runs: Path) -> SweepPlan:
        """Select the trials that have no result yet."""
        return SweepPlan(tuple(trial for trial in self.trials if not trial.result(runs).is_file()))

    @property
    def trainings(self) -> dict[str, Training]:
        """All trainings by name, each after the stage that it starts from."""
        return {t.name: t for plan in self.trials for t in plan.training.chain()}

    @property
    def stages(self) -> dict[str, Training]:
        """Trainings that no trial tests."""
        tested = {plan.training.name for plan in self.trials}
        return {name: training for name, training in self.trainings.items() if name not in tested}


def plan_sweep(sweep: Sweep, args: Sequence[str] = (), with_data: bool = True) -> SweepPlan:
    """Plan every trial of a sweep; trains nothing and imports no torch.

    Args:
        sweep: The sweep.
        args: Options of ``lightning fit`` for every trial.
        with_data: Read lists and captions; without them trainings and tests can be counted, not found.

    Raises:
        InputError: If its command is not ``lightning trial``, an option or a file is wrong, or the data are not there.
    """
    plans = []
    for trial in expand(sweep):
        if "trial" not in trial.command:
            raise InputError(
                f"{sweep.path} does not run `lightning trial`; run it with `wandb sweep` and `wandb agent`"
            )
        words = list(trial.command[trial.command.index("trial") + 1 :])
        checkpoint = take_option(words, "--checkpoint") or ""
        # no option of `lightning fit`; the plan has the file's name
        take_option(words, "--sweep")
        plans.append(plan_trial(sweep.name, trial, words, args, checkpoint, with_data))
    return SweepPlan(tuple(plans))


def plan_trial(
    sweep: str,
    trial: Trial,
    words: Sequence[str],
    args: Sequence[str],
    checkpoint: str,
    with_data: bool = True,
) -> TrialPlan:
    """Plan one trial from the words of its command.

    Raises:
        InputError: As in :func:`plan_sweep`; the message names the row.
    """
    if checkpoint not in ("", "best", "last"):
        raise InputError(f"--checkpoint must be best or last, got {checkpoint!r}")
    try:
        arguments = split_arguments(words, args)
        config = arguments.compose()
        label = (
            f"{sweep} {trial.label} split{lookup(config, 'data.split') or 1} seed{config['seed_everything']}"
        )
        checkpoint = checkpoint or chosen_checkpoint(config)
        # rows that differ in their test alone share a training, so it takes nothing of a row's test
        training = _plan_training(arguments.compose(TEST_ONLY), arguments, label, (), with_data)
        test = name_test(training.name, config, checkpoint, with_data)
    except InputError as error:
        # the class tells a corpus that is not there from a mistake
        raise type(error)(f"{sweep}, row {trial.label}: {error}") from error
    return TrialPlan(sweep, trial, tuple(args), training, checkpoint, test, config)  # type: ignore[arg-type]


def hand_made_trial(words: Sequence[str]) -> Trial:
    """Build the trial that the words of a ``lightning trial`` describe, outside any sweep file."""
    row = split_arguments(words).row
    # a row has one label in all its splits and seeds
    repeated = ("data", "seed_everything", "init_from")
    label = ",".join(w for key, value in row.items() if key not in repeated for w in short_words(key, value))
    return Trial(content_name(row), row, None, label or "all", tuple(words))


def chosen_checkpoint(config: dict[str, Any]) -> str:
    """Return ``last`` for a training that validates nothing, else ``best``."""
    return "last" if lookup(config, "data.validation.selection") == "none" else "best"


def take_option(words: list[str], name: str) -> str | None:
    """Remove an option from words of a command; returns its value, or None where it is not among them."""
    for position, word in enumerate(words):
        if word == name and position + 1 < len(words):
            del words[position]
            return words.pop(position)
        if word.startswith(f"{name}="):
            return words.pop(position).partition("=")[2]
    return None


def _plan_training(
    config: dict[str, Any], arguments: TrialArguments, label: str, above: tuple[str, ...], with_data: bool
) -> Training:
    source, start = config.get("init_from"), None
    stage: Training | None = None
    if isinstance(source, str) and source.startswith(STAGE):
        # None for audio alone; without `stage`, or fit would warn that it is missing
        if (stage := _plan_stage(source, config, arguments, above, with_data)) is None:
            config = {**config, "init_from": None, "stage": None}
        else:
            start = {"stage": stage.name, "checkpoint": chosen_checkpoint(stage.config)}
    elif source is not None:
        if not Path(source).is_file():
            raise InputError(
                f"init_from: no checkpoint at {source}; give a file, or stage:EXPERIMENT to find or train one"
            )
        # the same weights at another path are the same start
        start = {"sha256": file_digest(Path(source))}
    return Training(name_training(config, start, with_data), config, stage, label)


def _plan_stage(
    source: str, config: dict[str, Any], arguments: TrialArguments, above: tuple[str, ...], with_data: bool
) -> Training | None:
    """Plan an earlier stage: seed, network and schedule of its own experiment, place and data folder of the trial.

    Returns None for a row's own network that reads no frames: it has no visual branch that a stage could train.
    """
    experiment = Path(source.removeprefix(STAGE).removesuffix(SAME_NETWORK))
    if source in above:
        raise InputError(f"init_from: stages lead in a circle: {' -> '.join((*above, source))}")
    if not experiment.is_file():
        raise InputError(
            f"init_from: {source} names no experiment file; a stage is stage:experiments/NAME.yaml"
        )
    own_network = source.endswith(SAME_NETWORK)
    # seed and schedule stay the stage's own, so that all rows share one stage
    row = {"model": arguments.row.get("model", {})} if own_network else {}
    own = TrialArguments(experiment, (), row).compose(TEST_ONLY)
    for name in INHERITED:
        if (value := lookup(config, name)) is not None:
            lay_option(own, name, value)
    if own_network and lookup(own, "model.network.modality") == "a":
        return None
    # weights that the machine gives for all rows; a row's own null must not make a stage of its own
    for name, value in arguments.options:
        if name.replace(".init_args", "") == "model.network.video_weights":
            lay_option(own, "model.network.video_weights", value)
    split = lookup(config, "data.split")
    if split is not None:
        with suppress(InputError):  # DHF1K, for one, was divided once: its stage keeps its own split
            corpora_of({**(own.get("data") or {}), "split": split})
            lay_option(own, "data.split", split)
    label = f"{experiment.stem} split{lookup(own, 'data.split') or 1} seed{own['seed_everything']}"
    return _plan_training(own, arguments, label, (*above, source), with_data)
