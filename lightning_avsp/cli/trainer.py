"""The trainer commands: LightningCLI with one run folder, default callbacks and loggers, and its traps guarded."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from lightning_avsp import __version__
from lightning_avsp.backbones.weights import read_state_dict
from lightning_avsp.callbacks import RunRecord, default_callbacks
from lightning_avsp.callbacks.checkpoints import AtomicCheckpointIO
from lightning_avsp.callbacks.origins import weight_options
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.loader import start_worker_server
from lightning_avsp.errors import AVSPError, InputError, MissingDependencyError
from lightning_avsp.evaluation.audit.leaks import seen_test_videos
from lightning_avsp.evaluation.test_scores import ProtocolScores
from lightning_avsp.files import lock_folder
from lightning_avsp.launch import (
    accumulation,
    check_slurm,
    check_world,
    default_precision,
    device_count,
    fsdp2_strategy,
    set_arithmetic,
)
from lightning_avsp.papers.diffsal.checkpoint import load_released_state
from lightning_avsp.plain_values import read_torch_file
from lightning_avsp.run_folder import RunFolder
from lightning_avsp.tasks import SaliencyTask
from lightning_avsp.tasks.execution import Execution
from lightning_avsp.tasks.experiment import CLI_SETTINGS, ExperimentCLI, forget_weight_files, spell_out_nulls
from lightning_avsp.tasks.loading import RELEASED_SAMPLING, WANTED, refuse_foreign

log = logging.getLogger(__name__)

EPILOG = "Options not named here belong to --trainer, --model and --data; print all with --print_config."

EXPECTED = (
    r"Checkpoint directory .* exists and is not empty",  # a resumed run writes into its own folder
    r"Be aware that when using `ckpt_path`, callbacks used",  # a test keeps no checkpoints
    r".*isinstance\(treespec, LeafSpec\)",  # inside Lightning
    r"Found \d+ module\(s\) in eval mode at the start of training",  # frozen encoders
    r"It is recommended to use `self.log\('(val|test)/",  # our metrics are gathered already: every rank logs the same
)
"""Warnings without meaning for the user of these commands."""


def run_trainer(arguments: Sequence[str]) -> AVSPCLI:
    """Parse and run fit, validate, test or predict."""
    set_up_logging()
    try:
        return AVSPCLI(
            SaliencyTask,
            AVSaliencyDataModule,
            args=spell_out_nulls(arguments),
            save_config_callback=RunRecord,
            save_config_kwargs={"save_to_log_dir": False},
            # all options would be a hundred lines before each error; --help has them
            parser_kwargs={
                name: {"usage": f"lightning {name} --config FILE [options]"}
                for name in ("fit", "validate", "test", "predict")
            }
            | {"prog": "lightning", "version": __version__, "epilog": EPILOG},
            **CLI_SETTINGS,
        )
    finally:
        if "wandb" in sys.modules:  # a second command in this process must not write into this one's W&B run
            sys.modules["wandb"].finish()


def set_up_logging() -> None:
    """Print this package's log on the terminal, and silence the warnings expected here (`EXPECTED`)."""
    for message in EXPECTED:
        warnings.filterwarnings("ignore", message=message)
    # an advertisement that Lightning logs at every start
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()
    )
    package = logging.getLogger("lightning_avsp")
    package.setLevel(logging.INFO)
    if not package.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        # every process of a run would log the same; errors are everybody's own
        handler.addFilter(
            lambda record: record.levelno >= logging.ERROR or int(getattr(rank_zero_only, "rank", 0)) == 0
        )
        package.addHandler(handler)


class AVSPCLI(ExperimentCLI):
    """The trainer commands in one run folder, everything checked before anything heavy is built."""

    run: RunFolder

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with ExitStack() as self.locks:  # LightningCLI does everything in its constructor
            super().__init__(*args, **kwargs)

    @property
    def options(self) -> Any:
        """Settings of the running command."""
        return self.config[str(self.subcommand)]

    def before_instantiate_classes(self) -> None:
        """Check the options before anything heavy is built, and set those that follow from others."""
        options = self.options
        options.weights_only = True  # a checkpoint is data: it must not be able to run code
        if options.trainer.precision in ("bf16-true", "16-true"):
            raise InputError(
                f"trainer.precision={options.trainer.precision} would round the noise schedule and the metric sums to "
                "16 bits (870 of 1000 steps stay distinct); use bf16-mixed"
            )
        if options.official is not None and self.subcommand != "test":
            raise InputError(
                f"--official scores a published checkpoint: it goes with test, not with {self.subcommand}"
            )
        self._choose_processes(options)
        if options.data.num_workers != 0 and options.data.loading.start_method in (None, "forkserver"):
            start_worker_server()  # now: its imports run beside the rest of the start
        seed = options.seed_everything  # of the task and the data too, unless they have their own
        for part in (options.model.get("init_args"), options.data):
            if part is not None and "seed" in part and part.seed is None:
                part.seed = int(seed) if isinstance(seed, int) else 0
        # an official checkpoint is tested once for each split
        name = f"seed{seed}" if options.official is None else f"official-split{options.data.split}"
        self.run = RunFolder(options.run_dir or Path("runs") / options.experiment / name)
        first = int(getattr(rank_zero_only, "rank", 0)) == 0
        # the first process locks for all of its run; a test replaces its results alone
        if self.subcommand in ("fit", "predict") and first and not options.trainer.fast_dev_run:
            name = "lock" if self.subcommand == "fit" else "predict.lock"
            self.locks.enter_context(lock_folder(self.run.path, name))
        if options.get("ckpt_path"):
            path = self.run.checkpoint(options.ckpt_path)
            refuse_foreign(path, read_torch_file(path, WANTED, mapped=True))  # before anything heavy is built
            options.ckpt_path = str(path)
        elif self.subcommand == "fit" and not options.trainer.fast_dev_run:
            if not options.overwrite:
                self.run.refuse_overwriting()
            elif first:
                self.run.clear()
        elif self.subcommand != "fit" and options.official is None and not options.trainer.fast_dev_run:
            raise InputError(
                f"{self.subcommand} needs trained weights: give --ckpt_path best, --ckpt_path last or a path"
            )
        schedule = options.model.get("init_args", {}).get("lr_scheduler") or {}
        plateau = str(schedule.get("class_path")).endswith("ReduceLROnPlateau")
        if self.subcommand != "fit":
            forget_weight_files(options.model)  # the trained weights are in the checkpoint
            options.trainer.enable_checkpointing = False  # Lightning would add a callback for it to a test
        elif options.data.validation.selection == "none" and plateau:
            raise InputError(
                "data.validation.selection=none leaves nothing for a plateau to watch; choose a fixed schedule, "
                "such as --model.lr_scheduler=null"
            )
        elif options.trainer.enable_checkpointing is False and options.test_after_fit:
            raise InputError(
                "test_after_fit tests the best checkpoint, but trainer.enable_checkpointing is false"
            )
        # defaults, since LightningCLI adds a user's own callbacks to these
        self.trainer_defaults = {
            **self.trainer_defaults,
            "callbacks": [
                *default_callbacks(self.run, options, str(self.subcommand)),
                *([] if options.trainer.fast_dev_run else [ProtocolScores(self.run)]),
            ],
        }

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the command; an error inside Lightning's restoring of a checkpoint becomes one line on that file."""
        handler = signal.getsignal(signal.SIGINT)
        try:
            super()._run_subcommand(subcommand)
        except SystemExit as stop:
            if isinstance(stop.__context__, KeyboardInterrupt):
                # Lightning ignores Ctrl-C from here on, and exits with 1
                signal.signal(signal.SIGINT, handler)
                raise KeyboardInterrupt from None
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            # by where it was raised: the same types mean a mistake of ours elsewhere
            restoring = any(
                Path(frame.filename).name == "checkpoint_connector.py" and "restore" in frame.name
                for frame in traceback.extract_tb(error.__traceback__)
            )
            if isinstance(error, AVSPError) or not restoring:
                raise
            why = " ".join(str(error).split())[:300]
            raise InputError(
                f"{self.options.ckpt_path} does not fit this run ({type(error).__name__}: {why}): give the checkpoint "
                "of a run with the same model, or start anew without --ckpt_path"
            ) from error

    def _choose_processes(self, options: Any) -> None:
        """Choose processes, precision, arithmetic and the share of a global batch; log choices that were not given."""
        trainer = options.trainer
        self.nodes = int(trainer.num_nodes or 1)
        self.devices = device_count(trainer.devices, str(trainer.accelerator))
        check_slurm(self.devices, self.nodes)
        if trainer.precision is None:
            trainer.precision = default_precision(str(trainer.accelerator))
            log.info("trainer.precision: %s, the default here", trainer.precision)
        if options.deterministic or trainer.deterministic:
            # some operators have no repeatable form on a GPU; torch then warns and names them
            trainer.deterministic = trainer.deterministic or "warn"
        for line in set_arithmetic(bool(trainer.deterministic)):
            log.info(line)
        if self.subcommand != "fit":
            return
        given = int(trainer.accumulate_grad_batches or 1)
        wanted = options.data.get("global_batch")
        if wanted is not None:
            world = self.devices * self.nodes
            batch, accumulated = accumulation(int(wanted), int(options.data.batch_size), world)
            if given not in (1, accumulated):  # a run's own config.yaml brings back the computed number
                raise InputError(
                    f"data.global_batch={wanted} on {world} processes accumulates {accumulated} batches of {batch}, "
                    f"but trainer.accumulate_grad_batches={given} is given too; leave one of them out"
                )
            options.data.batch_size = batch
            trainer.accumulate_grad_batches = given = accumulated
            log.info(
                f"global batch {wanted} = {batch} clips on each of {world} processes x {accumulated} accumulated; the "
                "learning rate stays as given"
            )
        if options.compile in ("graphs", "default-graphs"):
            self._check_graphs(options, given)

    def _check_graphs(self, options: Any, accumulated: int) -> None:
        """Refuse what a recorded training pass cannot do."""
        world, batches = self.devices * self.nodes, "trainer.accumulate_grad_batches or data.global_batch"
        obstacles = {
            f"{world} processes (trainer.devices, trainer.num_nodes)": world > 1,
            f"{accumulated} accumulated batches ({batches})": accumulated > 1,
            "--activation_checkpointing true": options.activation_checkpointing,
            "model.feature_cache": options.get("model.init_args.feature_cache") is not None,
        }
        for obstacle, found in obstacles.items():
            if found:
                raise InputError(
                    f"--compile {options.compile} records the whole training pass of one process and does not work "
                    f"with {obstacle}; use --compile default, or leave that out"
                )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build a trainer that writes everything into the run folder."""
        kwargs["default_root_dir"] = str(self.run.path)  # Lightning would write into the working folder
        if self.options.trainer.strategy == "fsdp2":
            kwargs["strategy"] = fsdp2_strategy(self.devices, self.nodes)
        if self.options.trainer.logger in (None, True):
            kwargs["logger"] = False if self.options.trainer.fast_dev_run else self._loggers()
        given = self.config_init[str(self.subcommand)].trainer.plugins or []
        plugins = list(given) if isinstance(given, (list, tuple)) else [given]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(AtomicCheckpointIO())  # unless the user has one
        kwargs["plugins"] = plugins
        trainer = super().instantiate_trainer(**kwargs)
        check_world(trainer.world_size, self.devices, self.nodes)  # known only once the strategy is built
        self.model.execution = Execution(self.options.compile, self.options.activation_checkpointing)
        return trainer

    def before_test(self) -> None:
        """Load an official checkpoint, if one is to be scored, as `avsp predict` loads it."""
        if self.options.official is None:
            return
        network = self.model.network
        released = getattr(network, "variant", "") == "released"
        if not released or self.options.get("ckpt_path"):
            raise InputError(
                "--official needs a released DiffSal (experiments/diffsal_released_av6.yaml) and no --ckpt_path"
            )
        path = Path(self.options.official)
        unused = load_released_state(network.core, read_state_dict(path), str(path))
        log.info("%s: official DiffSal checkpoint, %d tensors are not needed", path, len(unused))
        self.model.sampling = RELEASED_SAMPLING  # whatever the file of the experiment says

    def before_fit(self) -> None:
        """Refuse a start that has seen this run's test videos, then take the earlier stage's weights."""
        options = self.options
        self.model.leaks = []
        # it leaves no weights that could leak
        starts = {} if options.trainer.fast_dev_run else weight_options(options.as_dict())
        for option, value in starts.items():
            lines = seen_test_videos(
                option,
                value,
                self.run.path,
                self.datamodule.partition.test,
                self.datamodule.synthetic,
                options.allow_seen_test_videos,
            )
            for line in lines:
                log.warning("%s", line)
            # kept in the results, where a report finds them
            self.model.leaks += [line for line in lines if line.startswith("LEAK")]
        if options.init_from is not None and options.get("ckpt_path"):
            log.info("init_from is not read again: this run goes on from %s", options.ckpt_path)
            # what the run once started from stays in its record
            self.model.resume_starts(Path(options.ckpt_path))
        elif options.init_from is not None:
            self.model.start_from(Path(options.init_from), tuple(options.init_drop), options.init_absent)
        elif options.stage is not None and not options.get("ckpt_path"):
            name = Path(options.stage).stem
            log.warning(
                "the paper starts this training from another one, which is missing here: all but the encoders start at "
                "random. Train it first (`lightning fit --config %s --data.root %s`), then give --init_from "
                "runs/%s/seed0/checkpoints/best.ckpt",
                options.stage,
                options.data.root,
                name,
            )

    def _loggers(self) -> list[Logger]:
        """Build the loggers: CSV always, W&B unless disabled."""
        options = self.options
        name = str(self.subcommand)
        version = self.run.next_metrics(name)  # a resumed run must not write over its first part's curves
        # always: reports draw their curves from it, whatever W&B has
        loggers: list[Logger] = [CSVLogger(save_dir=self.run.path, name="metrics", version=version)]
        if options.wandb != "disabled":
            try:
                import wandb  # noqa: F401
                from lightning.pytorch.loggers import WandbLogger
            except ImportError as error:
                raise MissingDependencyError(
                    "--wandb needs the package wandb; or give --wandb disabled"
                ) from error
            # else wandb writes to a temporary folder
            self.run.path.mkdir(parents=True, exist_ok=True)
            loggers.append(
                WandbLogger(
                    save_dir=self.run.path,
                    project=options.wandb_project,
                    # a sweep names its runs by row, split and seed
                    name=os.environ.get("WANDB_NAME", f"{options.experiment}-seed{options.seed_everything}"),
                    group=options.experiment,
                    job_type=name,
                    offline=options.wandb == "offline",
                )
            )
        return loggers

    def after_fit(self) -> None:
        """Test the best checkpoint if asked to."""
        if not self.options.test_after_fit:
            return
        if self.options.trainer.fast_dev_run:
            log.info("fast_dev_run keeps no checkpoint: the test runs on the weights as they are")
            self.trainer.test(self.model, datamodule=self.datamodule)
            return
        # then nothing chose a best one
        unvalidated = self.options.data.validation.selection == "none"
        path = self.run.checkpoint("last" if unvalidated else "best")
        log.info("testing %s", path)
        self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=str(path), weights_only=True)
