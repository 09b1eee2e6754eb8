"""Checkpoints as models for prediction: a network, its input specification, and the sampling of its maps."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lightning_avsp.tasks import SaliencyTask

from lightning_avsp.diffusion import GaussianDiffusion, SamplerStep, Sampling
from lightning_avsp.errors import InputError
from lightning_avsp.input_spec import InputSpec
from lightning_avsp.launch import choose_device
from lightning_avsp.media.audio import LogMel
from lightning_avsp.structures import ClipPolicy, SaliencyBatch, SaliencyNetwork
from lightning_avsp.tasks.prediction import (
    Encoded,
    Inputs,
    clip_seeds,
    encode,
    move_batch,
    network_inputs,
    sample_maps,
)


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode with everything that prediction needs to know of its training."""

    network: SaliencyNetwork
    spec: InputSpec
    """Its input in training."""
    source: str
    """Kind of checkpoint, in a few words."""
    sampling: Sampling | None = None
    """Sampling of its maps; None for a network that predicts in one pass."""
    diffusion: GaussianDiffusion | None = None
    """Its noise schedule; None for a network that predicts in one pass."""
    steps: int | None = None
    """Denoising steps of every clip, where they were chosen by hand; None for the network's or the sampling's own."""
    seed: int = 0
    """Seed of the noise; with that of the training, maps are those of `lightning test`."""
    captions: dict[str, Any] | None = None
    """The training data's ``captions`` option, as the checkpoint holds it."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    def inputs(self, batch: SaliencyBatch) -> Inputs:
        """Prepare the network's inputs from a batch on any device."""
        return network_inputs(self.network, move_batch(batch, self.device))

    def encode(self, inputs: Inputs) -> Encoded:
        """Run the part of the network that runs once per clip, see :func:`~lightning_avsp.tasks.prediction.encode`."""
        return encode(self.network, inputs)

    def sample(
        self,
        encoded: Encoded,
        batch: SaliencyBatch,
        *,
        steps: int | None = None,
        samples: int | None = None,
        average: bool = True,
        callback: Callable[[SamplerStep], Any] | None = None,
    ) -> Tensor:
        """Sample the maps of encoded clips, see :func:`~lightning_avsp.tasks.prediction.sample_maps`.

        Args:
            encoded: Result of :meth:`encode`.
            batch: Names of the clips, which seed the noise.
            steps: Denoising steps of every clip instead of the model's.
            samples: Samples of every clip instead of the model's.
            average: Return the mean over the samples of each clip, or each of them.
            callback: Called at every denoising step.
        """
        sampling = self.sampling
        if sampling is not None and samples is not None:
            sampling = replace(sampling, samples=samples)
        return sample_maps(
            self.network,
            encoded,
            self.spec.map_size,
            clip_seeds(batch, self.seed),
            sampling,
            self.diffusion,
            steps=self.steps if steps is None else steps,
            average=average,
            callback=callback,
        )


def load_model(
    path: Path, device: str = "cpu", steps: int | None = None, seed: int | None = None
) -> LoadedModel:
    """Load a network and its settings from a training run's checkpoint or an official DiffSal file.

    Args:
        path: The file.
        device: ``auto``, ``cpu``, ``cuda``, ...
        steps: Denoising steps of every clip; the checkpoint's own number when None.
        seed: Seed of all noise; the checkpoint's own when None, or 0 if it has none.

    Raises:
        InputError: If the file is missing, unreadable, or neither of the two, if the device is absent, or if the noise
            schedule has fewer steps.
    """
    chosen = choose_device(device)
    if not path.is_file():
        raise InputError(
            f"no checkpoint at {path}: give the .ckpt file of a training run, or a released DiffSal file"
        )
    try:
        converted = path.suffix == ".safetensors"  # by `avsp weights convert`: never a training run's
        content = None if converted else torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, KeyError) as error:
        size = path.stat().st_size
        raise InputError(
            f"{path} ({size} bytes) is no readable checkpoint: give the .ckpt file of a training run, or a "
            "released DiffSal file; only plain tensors and settings are accepted"
        ) from error
    if isinstance(content, dict) and "pytorch-lightning_version" in content:
        model = _load_trained(path, content)
    else:
        del content
        model = _load_official(path)
    if steps is not None:
        if model.sampling is None or model.diffusion is None:
            name = type(model.network).__name__
            raise InputError(
                f"--steps {steps}: {name} predicts in one pass, without denoising; leave --steps out"
            )
        model = replace(model, steps=steps, sampling=replace(model.sampling, steps=steps))
    if model.sampling is not None and model.diffusion is not None:
        model.sampling.timesteps(model.diffusion)  # refuses more steps than the process has
    model.network.to(chosen).eval()
    return model if seed is None else replace(model, seed=seed)


def _load_trained(path: Path, content: dict[str, Any]) -> LoadedModel:
    """Load the model of a checkpoint that ``lightning fit`` wrote."""
    from lightning_avsp.tasks.base import INPUT_KEY

    if INPUT_KEY not in content:
        raise InputError(
            f"{path} is a Lightning checkpoint, but not of this project's tasks (it has no {INPUT_KEY!r}): "
            "give one that `lightning fit` of this project wrote"
        )
    kind = task_class(content.get("hyper_parameters", {}))
    try:
        task: SaliencyTask[Any] = kind.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except (RuntimeError, KeyError, TypeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} does not fit {kind.__name__} ({reason}): train it anew") from error
    assert task.input_spec is not None  # INPUT_KEY was there
    data = (content.get("datamodule_hyper_parameters") or {}).get("data") or {}
    return LoadedModel(
        network=task.network,
        spec=task.input_spec,
        source=f"trained with {type(task).__name__}",
        sampling=task.sampling,
        diffusion=task.diffusion,
        seed=task.seed,
        captions=data.get("captions"),
    )


def task_class(settings: dict[str, Any]) -> type[SaliencyTask[Any]]:
    """Return the task that wrote a checkpoint by its settings, which a task built in Python lacks: a diffusion task."""
    from lightning_avsp.tasks import DiffusionSaliencyTask, DirectSaliencyTask

    noted = str(settings.get("_class_path", "")).rpartition(".")[2]
    return {task.__name__: task for task in (DiffusionSaliencyTask, DirectSaliencyTask)}.get(
        noted, DiffusionSaliencyTask
    )


def _load_official(path: Path) -> LoadedModel:
    """Load the model of an official DiffSal file, with the released code's sampling and audio."""
    from lightning_avsp.backbones.weights import read_state_dict
    from lightning_avsp.papers.diffsal import load_released
    from lightning_avsp.papers.diffsal.released.names import our_name

    if not any(our_name(name) for name in read_state_dict(path)):  # before a full-size network is built
        raise InputError(
            f"{path} is neither a checkpoint of `lightning fit` nor an official DiffSal file: give one of these"
        )
    return LoadedModel(
        network=load_released(path),
        spec=InputSpec((224, 384), (224, 384), ClipPolicy(), LogMel(alignment="released")),
        source="official DiffSal release",
        sampling=Sampling(steps=4, spacing="leading", clamp=(0.0, 1.0)),
        diffusion=GaussianDiffusion(),  # 1000 steps, cosine
    )
