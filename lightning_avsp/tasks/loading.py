"""Models for prediction: a network with all that prediction must know of its training."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from lightning_avsp.tasks import SaliencyTask

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import AudioInput, LogMel
from lightning_avsp.structures import ClipPolicy, DiffusionNetwork
from lightning_avsp.tasks.one_pass import ONE_PASS, OnePass


@dataclass(frozen=True)
class LoadedModel:
    """A network with everything that prediction must know of its training."""

    network: DiffusionNetwork
    diffusion: GaussianDiffusion
    sampling: Sampling
    size: tuple[int, int]
    """(H, W) of its frames."""
    map_size: tuple[int, int]
    """(H, W) of its maps."""
    clip: ClipPolicy
    """Length of its clips, which of their frames a map belongs to, and what happens at the head of a film."""
    audio: AudioInput
    source: str
    """What kind of checkpoint this was."""

    @property
    def target(self) -> Literal["centre", "last"]:
        """Frame of a clip that its map belongs to."""
        return self.clip.target


def load_model(path: Path) -> LoadedModel:
    """A network and its settings from a training run's checkpoint or an official DiffSal release.

    Raises:
        InputError: If the file is missing, unreadable, or neither of the two.
    """
    if not path.is_file():
        raise InputError(
            f"no checkpoint at {path}: give the .ckpt file of a training run, or a released DiffSal file"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, KeyError) as error:
        size = path.stat().st_size
        raise InputError(
            f"{path} ({size} bytes) is no readable checkpoint: give the .ckpt file of a training run, or a "
            "released DiffSal file; only plain tensors and settings are accepted"
        ) from error
    if isinstance(content, dict) and "pytorch-lightning_version" in content:
        return _load_trained(path, content)
    del content
    return _load_official(path)


def _load_trained(path: Path, content: dict[str, Any]) -> LoadedModel:
    """Model of a checkpoint that ``lightning fit`` wrote."""
    from lightning_avsp.tasks import DiffusionSaliencyTask, DirectSaliencyTask
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
    spec = task.input_spec
    assert spec is not None  # INPUT_KEY was there
    common: dict[str, Any] = {
        "size": spec.size,
        "map_size": spec.map_size,
        "clip": spec.clip,
        "audio": spec.audio,
        "source": f"trained with {type(task).__name__}",
    }
    if isinstance(task, DirectSaliencyTask):
        return LoadedModel(OnePass(task.network), GaussianDiffusion(), ONE_PASS, **common)
    if isinstance(task, DiffusionSaliencyTask):
        return LoadedModel(task.network, task.diffusion, task.sampling, **common)
    raise InputError(f"{path} was trained with {type(task).__name__}, which cannot predict films yet")


def task_class(settings: dict[str, Any]) -> type[SaliencyTask[Any]]:
    """The task that wrote a checkpoint: the command line notes it; one that was built in Python is a diffusion task."""
    from lightning_avsp.tasks import DiffusionSaliencyTask, DirectSaliencyTask

    noted = str(settings.get("_class_path", "")).rpartition(".")[2]
    return {task.__name__: task for task in (DiffusionSaliencyTask, DirectSaliencyTask)}.get(
        noted, DiffusionSaliencyTask
    )


def _load_official(path: Path) -> LoadedModel:
    """Model of an official DiffSal file, with the released code's sampling and sound."""
    from lightning_avsp.papers.diffsal import load_released
    from lightning_avsp.papers.diffsal.checkpoint import read_released
    from lightning_avsp.papers.diffsal.released.names import our_name

    if not any(our_name(name) for name in read_released(path)):  # before a full-size network is built
        raise InputError(
            f"{path} is neither a checkpoint of `lightning fit` nor an official DiffSal file: give one of these"
        )
    return LoadedModel(
        network=load_released(path),
        diffusion=GaussianDiffusion(),  # 1000 steps, cosine
        sampling=Sampling(steps=4, spacing="leading", clamp=(0.0, 1.0)),
        size=(224, 384),
        map_size=(224, 384),
        clip=ClipPolicy(),
        audio=LogMel(alignment="released"),
        source="official DiffSal release",
    )
