"""One benchmark case: an experiment's task on a device, with its precision and execution options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, cast, get_args

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.launch import set_arithmetic
from lightning_avsp.profiling.counting import training_flops
from lightning_avsp.profiling.device import synchronise
from lightning_avsp.profiling.random_clips import forward_inputs, random_batch
from lightning_avsp.profiling.timeline import Timeline, marked
from lightning_avsp.structures import DiffusionNetwork, SaliencyBatch
from lightning_avsp.tasks import DiffusionSaliencyTask
from lightning_avsp.tasks.execution import CompileMode, Execution
from lightning_avsp.tasks.experiment import Experiment

Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Configuration:
    """Settings of a benchmark case."""

    experiment: Path
    """Experiment file."""
    settings: tuple[str, ...] = ()
    """Changes to it, as on the command line without dashes: ``model.network.attention=standard``."""
    batch: int | None = None
    """Clips of a step; the experiment's ``data.batch_size`` if None."""
    precision: Precision = "32-true"
    """As ``trainer.precision``."""
    compile: CompileMode = "none"
    """As ``--compile``."""
    activation_checkpointing: bool = False
    """As ``--activation_checkpointing``."""
    tf32: bool = True
    """TF32 for float32 products on a GPU; False as ``--deterministic``."""
    root: Path | None = None
    """Folder of the corpora, to measure the data module too; None for random clips that lie on the device."""

    def changed(self, words: str) -> Configuration:
        """Return a copy with changes: ``experiments/other.yaml precision=32-true model.network.attention=standard``.

        Args:
            words: Separated by blanks: another experiment file, options of this class, or settings of the experiment
                (names with a dot).

        Raises:
            InputError: If a word is none of these, or a value does not fit.
        """
        found = self
        for word in words.split():
            name, _, value = word.partition("=")
            choices = _CHOICES.get(name, ())
            change: dict[str, Any]
            if word.endswith((".yaml", ".yml")) and not value:
                change = {"experiment": Path(word)}
            elif value and "." in name:
                change = {"settings": (*found.settings, word)}
            elif value in choices:
                change = {name: {"true": True, "false": False}.get(value, value)}
            elif choices:
                raise InputError(f"{word}: choose one of {', '.join(choices)}")
            elif name == "batch" and value.isdigit() and int(value) > 0:
                change = {"batch": int(value)}
            else:
                raise InputError(
                    f"{word!r} cannot be measured; give an experiment file, a setting such as "
                    f"model.network.attention=standard, batch=NUMBER, or {'=, '.join(_CHOICES)}="
                )
            found = replace(found, **change)
        return found

    @property
    def name(self) -> str:
        """All settings that are not at their defaults, in one line."""
        words = [self.experiment.stem, "" if self.batch is None else f"batch {self.batch}", self.precision]
        words += [f"compiled ({self.compile})" if self.compile != "none" else ""]
        words += [
            "checkpointed" if self.activation_checkpointing else "",
            "" if self.tf32 else "without TF32",
        ]
        return ", ".join(word for word in (*words, *self.settings) if word)


_CHOICES: dict[str, tuple[str, ...]] = {
    "precision": get_args(Precision),
    "compile": get_args(CompileMode),
    "activation_checkpointing": ("true", "false"),
    "tf32": ("true", "false"),
}


class BenchmarkCase:
    """A configuration, ready to take steps.

    A step is the task's work on a batch: forward, backward, the experiment's clipping, update. The trainer's loop,
    callbacks and logging are not in it.

    Args:
        configuration: Settings.
        device: Device of the network and, unless clips are read from a corpus, of the clips.
        flops: Operations of a clip if they are known; None counts them, seconds for a network of full size.

    Raises:
        InputError: If the experiment cannot be built with these settings.
    """

    def __init__(self, configuration: Configuration, device: torch.device, flops: int | None = None) -> None:
        settings = list(configuration.settings)
        settings += [f"data.root={configuration.root}"] if configuration.root is not None else []
        settings += [f"data.batch_size={configuration.batch}"] if configuration.batch is not None else []
        set_arithmetic(deterministic=not configuration.tf32)
        experiment = Experiment.read(configuration.experiment, settings)
        self.task, self.data = experiment.build()
        self.configuration = replace(configuration, batch=self.data.batch_size)
        self.device = device
        self.gradient_clip: float | None = experiment.config.trainer.gradient_clip_val
        self._text_width = experiment.text_width
        if flops is None:
            network = self.task.network  # not compiled yet: the counter must see its operators
            inputs = forward_inputs(network, self.data, self._text_width, torch.device("cpu"))
            reads = isinstance(network, DiffusionNetwork) and network.reads_target
            flops = training_flops(network, inputs, **({"saliency": inputs[0]} if reads else {}))
        self.flops = flops
        self.task.execution = Execution(configuration.compile, configuration.activation_checkpointing)
        self.task.configure_model()
        self.task.to(device).train()
        vars(self.task)["log"] = lambda *_, **__: None  # there is no trainer to take it
        configured = self.task.configure_optimizers()
        self.optimizer: torch.optim.Optimizer = (
            configured["optimizer"] if isinstance(configured, dict) else configured  # type: ignore[assignment]
        )
        self.batches = self._batches()
        self.steps = 0
        self.clips = 0

    @property
    def batch(self) -> int:
        """Clips of a step."""
        return self.configuration.batch or 1

    def _batches(self) -> Iterator[SaliencyBatch]:
        if self.configuration.root is None:
            # the same every time: making batches is no part of a step
            batch = random_batch(self.data, self.batch, self._text_width, self.device)
            while True:
                yield batch
        self.data.setup("fit")
        loader = self.data.train_dataloader()
        if len(loader) == 0:
            raise InputError(f"{self.configuration.root} has no training clips for this experiment")
        while True:
            for batch in loader:
                yield move_data_to_device(batch, self.device)

    def step(self, timeline: Timeline) -> None:
        """Take one training step."""
        batch = next(self.batches)
        timeline.mark("data")
        self.task.on_train_batch_start(batch, self.steps)
        with self._precision():
            loss = cast(Tensor, self.task.training_step(batch, self.steps))
        timeline.mark("other")
        with torch.profiler.record_function("backward"):
            loss.backward()
        timeline.mark("backward")
        with torch.profiler.record_function("optimiser"):
            if self.gradient_clip:
                torch.nn.utils.clip_grad_norm_(self.task.parameters(), self.gradient_clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        timeline.mark("optimiser")
        self.steps += 1
        self.clips += len(batch["frame"])  # the last batch of an epoch may be smaller

    def train(self, steps: int) -> dict[str, float]:
        """Take steps and return the seconds of each section, ``data`` only where clips are read from a corpus."""
        timeline = Timeline(self.device)
        # inside a graph there is nothing to mark
        with nullcontext() if self.task.execution.graphs else marked(self.task.network, timeline):
            timeline.start()
            for _ in range(steps):
                self.step(timeline)
            sections = timeline.totals()
        if self.configuration.root is None:
            sections.pop("data")  # handing out the one batch
        return sections

    def predict(self, denoising_steps: int | None) -> float:
        """Time one prediction of a batch, in seconds; None leaves the number of steps, for networks without any."""
        batch = next(self.batches)
        if denoising_steps is not None:
            assert isinstance(self.task, DiffusionSaliencyTask)
            self.task.sampling = replace(self.task.sampling, steps=denoising_steps)
        self.task.eval()
        synchronise(self.device)  # else the rest of a training step would count as prediction
        start = perf_counter()
        with torch.inference_mode(), self._precision():
            self.task.predict_maps(batch)
        synchronise(self.device)
        seconds = perf_counter() - start
        self.task.train()
        return seconds

    def _precision(self) -> AbstractContextManager[Any]:
        mixed = self.configuration.precision == "bf16-mixed"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=mixed)
