"""What a whole sweep costs in trainings, and its division into parts that share none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_avsp.errors import InputError
from lightning_avsp.sweep.folders import arguments_here
from lightning_avsp.sweep.planning import Training, TrialPlan, plan_trial
from lightning_avsp.sweep.resolve import split_arguments
from lightning_avsp.sweep.sweep_file import Sweep, Trial
from lightning_avsp.sweep.trial_options import read_options


@dataclass(frozen=True)
class SweepPlan:
    """Every trial with its training."""

    trials: tuple[tuple[Trial, TrialPlan], ...]

    @property
    def trainings(self) -> dict[str, Training]:
        """All trainings by name, stages too, in the order in which they are first needed."""
        return {t.name: t for _, plan in self.trials for t in plan.training.chain()}

    @property
    def stages(self) -> dict[str, Training]:
        """Trainings that no trial tests: earlier stages alone."""
        tested = {plan.training.name for _, plan in self.trials}
        return {name: training for name, training in self.trainings.items() if name not in tested}

    def shard(self, number: int, count: int) -> tuple[list[Trial], list[str]]:
        """One part of the sweep: its trials, and the trainings that only this part may train.

        Trials that share a training are in one part. An earlier stage that several parts need belongs to the part
        of the first trial that needs it; the others wait for it.

        Args:
            number: Which part, from 0.
            count: How many parts there are.
        """
        tested = list(dict.fromkeys(plan.training.name for _, plan in self.trials))
        place = {name: index % count for index, name in enumerate(tested)}
        owner: dict[str, int] = {}
        for _, plan in self.trials:
            for training in plan.training.chain():
                owner.setdefault(training.name, place.get(training.name, place[plan.training.name]))
        trials = [trial for trial, plan in self.trials if place[plan.training.name] == number]
        return trials, [name for name, part in owner.items() if part == number]


def plan_sweep(
    sweep: Sweep, trials: Sequence[Trial], arguments: Sequence[str] | None = None, with_data: bool = True
) -> SweepPlan:
    """Resolve every trial of a sweep; trains nothing.

    Args:
        sweep: The sweep.
        trials: Its trials.
        arguments: Options that this machine adds to every trial; those of the environment by default.
        with_data: Whether to read the corpora's lists; without them trainings can be counted, not found.

    Raises:
        InputError: If the sweep's command is not ``lightning trial``, or the data are not there.
    """
    more = arguments_here() if arguments is None else list(arguments)
    plans = []
    for trial in trials:
        words = trial.command
        if "trial" not in words:
            raise InputError(
                f"{sweep.path}: only sweeps whose command is `lightning trial` have a plan; this one runs "
                f"{' '.join(words)}"
            )
        _, rest = read_options(words[words.index("trial") + 1 :])
        plans.append((trial, plan_trial(split_arguments(rest, more), with_data)))
    return SweepPlan(tuple(plans))


def read_shard(text: str) -> tuple[int, int]:
    """``i/n`` as (i, n), counting from 0: SLURM's array index.

    Raises:
        InputError: If it is something else.
    """
    first, slash, second = text.partition("/")
    if slash and first.isdecimal() and second.isdecimal() and int(first) < int(second):
        return int(first), int(second)
    raise InputError(f"--shard must be i/n with i from 0 to n-1, got {text!r}")


def trained_in(runs: Path, plan: SweepPlan) -> list[str]:
    """Names of the trainings that are finished already."""
    from lightning_avsp.sweep.trainings_folder import is_finished

    return [name for name, training in plan.trainings.items() if is_finished(training.folder(runs))]
