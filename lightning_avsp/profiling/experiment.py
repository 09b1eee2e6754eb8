"""Task and data module of an experiment file, parsed as `lightning fit` parses it, without a run."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from lightning_avsp import __version__
from lightning_avsp.cli.trainer import AVSPCLI
from lightning_avsp.data import AVSaliencyDataModule
from lightning_avsp.errors import InputError
from lightning_avsp.tasks import SaliencyTask


@dataclass
class Experiment:
    """What an experiment file builds."""

    name: str
    """Stem of the file."""
    task: SaliencyTask[Any]
    """The task with random weights, on the CPU."""
    data: AVSaliencyDataModule
    """The data module; nothing was read yet."""
    gradient_clip: float | None
    """Largest norm of all gradients, ``trainer.gradient_clip_val``."""
    text_width: int | None
    """Channels of the caption's token features; None where the data have no captions."""


def read_experiment(path: Path, settings: Sequence[str] = ()) -> Experiment:
    """Build what an experiment file describes, with random weights.

    Pretrained weights are not read: they cost nothing in a step, and a benchmark must not download.

    Args:
        path: Experiment file, as for ``lightning fit --config``.
        settings: Changes as on the command line, without dashes: ``model.network.video_encoder=tiny``.

    Raises:
        InputError: If the file is missing, or a setting does not fit.
    """
    if not path.is_file():
        raise InputError(f"no experiment file at {path}; see experiments/")
    torch.manual_seed(0)
    arguments = [f"--config={path}", *(f"--{setting}" for setting in settings)]
    try:
        cli = _Parts(
            SaliencyTask,
            AVSaliencyDataModule,
            args=arguments,
            run=False,
            subclass_mode_model=True,
            seed_everything_default=False,  # seeded here, without a note
            auto_configure_optimizers=False,
            trainer_defaults={"use_distributed_sampler": False},
            parser_kwargs={"prog": "avsp bench train", "version": __version__, "exit_on_error": False},
        )
    except ArgumentError as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path} with {' '.join(settings) or 'nothing changed'}: {why}") from error
    network = cli.config.model.init_args.network
    width = int(network.get("init_args.text_width", 512))
    return Experiment(
        name=path.stem,
        task=cast("SaliencyTask[Any]", cli.model),
        data=cast(AVSaliencyDataModule, cli.datamodule),
        gradient_clip=cli.config.trainer.gradient_clip_val,
        text_width=None if cli.config.data.captions is None else width,
    )


class _Parts(AVSPCLI):
    """The parser of `lightning fit`, of which only model and data are built."""

    def before_instantiate_classes(self) -> None:
        """Leave weights out and fill the seeds; there are no processes and no run folder to choose."""
        for part in (self.config.model.get("init_args"), self.config.data):
            if part is not None and "seed" in part and part.seed is None:
                part.seed = 0
        network = self.config.model.init_args.network.get("init_args")
        for name in [] if network is None else list(vars(network)):
            if name.endswith("_weights"):
                network[name] = None

    def instantiate_classes(self) -> None:
        """Model and data alone; trainer and callbacks stay settings."""
        wanted = self.config.clone()
        for name in ("trainer", "config"):
            wanted.pop(name, None)
        built = self.parser.instantiate(wanted)
        self.datamodule, self.model = built["data"], built["model"]
