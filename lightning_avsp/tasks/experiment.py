"""Experiment files: the options of the trainer commands, and an experiment parsed without running it."""

from __future__ import annotations

import json
import re
from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from lightning_avsp.backbones.weights import RANDOM
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.files import expand_home
from lightning_avsp.tasks.base import SaliencyTask
from lightning_avsp.tasks.execution import CompileMode
from lightning_avsp.tasks.loading import NETWORKS as NETWORKS  # registers their names for `class_path: AVRSP`
from lightning_avsp.tasks.training import DiffusionSaliencyTask as DiffusionSaliencyTask  # likewise
from lightning_avsp.tasks.training import DirectSaliencyTask as DirectSaliencyTask  # likewise

CLI_SETTINGS: dict[str, Any] = {
    "subclass_mode_model": True,
    "seed_everything_default": 0,
    "auto_configure_optimizers": False,
    # our samplers split data over processes without the padding that Lightning's would add
    "trainer_defaults": {"use_distributed_sampler": False},
}
"""Arguments of ``LightningCLI`` that decide which options there are, and their defaults."""


def put_integers_first(annotations: dict[str, Any]) -> None:
    """Let parsers read ``--trainer.limit_val_batches=1`` as one batch and not as 1.0, all of them.

    ``typing`` caches ``Optional[Union[int, float]]``, and takes ``Optional[Union[float, int]]`` for the same: Lightning
    has both, and what was imported before decides which of them its annotations become.
    """
    for name, kind in annotations.items():
        if set(get_args(kind)) == {int, float, type(None)}:
            annotations[name] = int | float | None


put_integers_first(Trainer.__init__.__annotations__)


@dataclass
class RunOptions:
    """Options of a run as a whole, in YAML files and on the command line.

    Args:
        experiment: Name of the run's folder under runs/.
        run_dir: Folder of the run; runs/EXPERIMENT/seedN if unset.
        wandb: Weights & Biases: offline needs no account and no network.
        wandb_project: Project on W&B.
        overwrite: Replace a run that is in the folder.
        stage: Experiment whose checkpoint the paper starts from; a run without init_from is told what it lacks.
        init_from: Checkpoint of an earlier stage (e.g. DHF1K pretraining) that the network's weights start from.
        official: Official DiffSal checkpoint that `test` scores instead of a run's, with the released sampling.
        init_drop: Beginnings of names in that checkpoint's network that are left out.
        init_absent: Tensors of that network which this one lacks: refuse them, or leave them out with a warning.
        allow_seen_test_videos: Train although the starting checkpoint has seen test videos of this run; results report
            it.
        compile: graphs (passes replayed as CUDA graphs: starts in seconds, one process), default (torch.compile of
            every kind of block: a minute or more at the first start), default-graphs (both), max-autotune.
        activation_checkpointing: Compute activations of every block anew in the backward pass: less memory, more time.
        deterministic: Repeat runs bit for bit: no TF32, no timed choice of kernels, no fused optimiser; slower.
        ema: Decay of an exponential average of the weights, e.g. 0.999; evaluation uses the average.
        ema_warmup: Steps of the average's warm-up, 1 for none.
        save_every_steps: Training steps between two writings of last.ckpt.
        monitor: Logged value by which the best epoch is chosen.
        monitor_mode: Better is max or min.
        test_after_fit: Test the best checkpoint in the same run.
        figures: Validation clips drawn with their denoising strip; 0 for none.
    """

    experiment: str = "run"
    run_dir: Path | None = None
    wandb: Literal["offline", "online", "disabled"] = "offline"
    wandb_project: str = "lightning_avsp"
    overwrite: bool = False
    stage: Path | None = None
    init_from: Path | None = None
    official: Path | None = None
    init_drop: list[str] = field(default_factory=list)
    init_absent: Literal["error", "drop"] = "error"
    allow_seen_test_videos: bool = False
    compile: CompileMode = "none"
    activation_checkpointing: bool = False
    deterministic: bool = False
    ema: float | None = None
    ema_warmup: float = 10.0
    save_every_steps: int = 500
    monitor: str = "val/cc"
    monitor_mode: Literal["max", "min"] = "max"
    test_after_fit: bool = False
    figures: int = 2


class ExperimentCLI(LightningCLI):
    """LightningCLI with this package's options, whose flags always win over a checkpoint."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add :class:`RunOptions`.

        Nothing is linked with ``link_arguments``: a link overwrites its target without a word and is dropped without
        a word where the target lacks the parameter. Invariants are asserted instead (`SaliencyTask.setup`).
        """
        parser.add_class_arguments(RunOptions, instantiate=False)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the arguments, without Lightning's warning that they do not come from ``sys.argv``."""
        self.config = expand_home(parser.parse_args(args))

    def instantiate_classes(self) -> None:
        """Build everything; an error of ours comes out of jsonargparse's list of types that were tried.

        Raises:
            AVSPError: If a part cannot be built as the options ask.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, AVSPError):
                cause = cause.__cause__
            if cause is None:
                raise
            raise cause from error

    def _parse_ckpt_path(self) -> None:
        """Leave every flag as given.

        Lightning lays the checkpoint's hyperparameters over the command line here, so that resuming with another
        loss or learning rate would silently use the old one.
        """


_NULL = re.compile(r"--model\.(?:init_args\.)?(?:(network)\.(?:init_args\.)?)?(\w+)=(?:null|None|~)")


def spell_out_nulls(arguments: Sequence[str]) -> list[str]:
    """Write options of the model that are set to null as a piece of configuration, in their place.

    jsonargparse takes ``--model.network.audio_weights=null`` for the word None where words are allowed, and refuses it
    elsewhere.
    """
    given = list(arguments)
    for index in range(len(given) - 1, 0, -1):  # --NAME VALUE is --NAME=VALUE
        if given[index] in ("null", "None", "~") and given[index - 1].startswith("--model."):
            given[index - 1 : index + 1] = [f"{given[index - 1]}={given[index]}"]
    spelt = []
    for argument in given:
        if match := _NULL.fullmatch(argument):
            value: dict[str, Any] = {"init_args": {match[2]: None}}
            content = {"model": {"init_args": {"network": value}} if match[1] else value}
            spelt.append(f"--config={json.dumps(content)}")
        else:
            spelt.append(argument)
    return spelt


class Experiment:
    """Configuration that ``lightning fit ARGUMENTS`` would use; nothing is built before :meth:`build`.

    Args:
        arguments: Arguments after ``lightning fit``.

    Raises:
        InputError: If a file is missing, an option is unknown, or a value has a wrong type.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        try:
            self.config: Namespace = _fit_parser().parse_args(spell_out_nulls(arguments))
        except ArgumentError as error:
            raise InputError(
                f"lightning fit {' '.join(arguments)}: {' '.join(str(error).split())}"
            ) from error

    @classmethod
    def read(cls, path: Path, settings: Sequence[str] = ()) -> Experiment:
        """Parse an experiment file with changes.

        Args:
            path: Experiment file, as for ``lightning fit --config``.
            settings: Changes as on the command line, without dashes: ``model.network.video_encoder=tiny``.

        Raises:
            InputError: If the file is missing, or a setting does not fit.
        """
        if not path.is_file():
            raise InputError(f"no experiment file at {path}; see experiments/")
        return cls([f"--config={path}", *(f"--{setting}" for setting in settings)])

    @property
    def values(self) -> dict[str, Any]:
        """The complete configuration as plain values, as ``--print_config`` prints it."""
        values: dict[str, Any] = json.loads(_fit_parser().dump(self.config, skip_unset=False, format="json"))
        return values

    @property
    def text_width(self) -> int | None:
        """Channels of the captions' token features; None where the data have no captions."""
        width = int(self.config.model.init_args.network.get("init_args.text_width", 512))
        return None if self.config.data.captions is None else width

    def build(self, device: str = "cpu") -> tuple[SaliencyTask[Any], AVSaliencyDataModule]:
        """Build task and data module with random weights of seed 0; no file of a corpus is read.

        Pretrained weights are left out: builds without training do not need them, and nothing may download.

        Args:
            device: Device of the weights; ``meta`` to count a network without its memory.
        """
        wanted = Namespace(model=self.config.model.clone(), data=self.config.data.clone())
        for part in (wanted.model.init_args, wanted.data):
            if "seed" in part and part.seed is None:
                part.seed = 0
        forget_weight_files(wanted.model)
        torch.manual_seed(0)  # two builds of one experiment are compared weight by weight
        with torch.device(device):
            built = _fit_parser().instantiate(wanted)
        return cast("SaliencyTask[Any]", built["model"]), cast(AVSaliencyDataModule, built["data"])


def forget_weight_files(model: Namespace) -> None:
    """Set every ``*_weights`` option of a task's network to ``random``, where it names a file or published weights."""
    network = (model.get("init_args") or Namespace()).get("network") or Namespace()
    arguments = network.get("init_args")
    for name in [] if arguments is None else list(vars(arguments)):
        if name.endswith("_weights") and arguments[name] is not None:
            arguments[name] = RANDOM


class _Options(ExperimentCLI):
    """The parser of ``lightning fit`` alone: parses, seeds, builds and runs nothing."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {"fit": LightningCLI.subcommands()["fit"]}

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = Namespace(subcommand="fit")  # all that Lightning asks for before it would run

    def _set_seed(self) -> None:
        pass

    def instantiate_classes(self) -> None:
        pass

    def _run_subcommand(self, subcommand: str) -> None:
        pass


@cache  # building the parser takes longer than parsing
def _fit_parser() -> LightningArgumentParser:
    settings = {"prog": "lightning", "exit_on_error": False}
    cli = _Options(
        SaliencyTask,
        AVSaliencyDataModule,
        args=[],
        parser_kwargs=settings,
        load_from_checkpoint_support=False,  # it dumps the CLI's own configuration, and there is none
        **CLI_SETTINGS,
    )
    return cli._parser("fit")
