"""Checkpoints as models for prediction: a network, its input specification, and the sampling of its maps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion, SamplerStep, Sampling
from lightning_avsp.errors import InputError
from lightning_avsp.input_spec import InputSpec
from lightning_avsp.launch import choose_device
from lightning_avsp.media.audio import LogMel
from lightning_avsp.papers.avrsp import AVRSP
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.papers.mubic import MUBiC, MUBiCRegression
from lightning_avsp.papers.tavdiff import TAVDiff
from lightning_avsp.plain_values import build_from, read_torch_file
from lightning_avsp.structures import ClipPolicy, DiffusionNetwork, SaliencyBatch, SaliencyNetwork
from lightning_avsp.tasks.prediction import (
    Encoded,
    Inputs,
    clip_seeds,
    encode,
    move_batch,
    network_inputs,
    sample_maps,
)

NETWORKS: tuple[type[SaliencyNetwork], ...] = (AVRSP, DiffSal, MUBiC, MUBiCRegression, TAVDiff)
"""Networks that a checkpoint may name; any other class in a file is refused before anything is built."""
INPUT_KEY = "input_spec"
"""Entry of a checkpoint that holds its :class:`InputSpec`."""
PRECISION_KEY = "precision"
"""Entry of a checkpoint that holds the ``trainer.precision`` of its training."""
PREFIX = "network."
"""Prefix of the network's names in a task's checkpoint."""
WANTED = "the .ckpt file of a training run, a folder that `avsp export` wrote, or a released DiffSal file"
EXPORTED = ("config.json", "model.safetensors")
"""Files of an exported model: settings with nothing but plain values, and the network's tensors by its own names."""
MOST_SAMPLES = 1000
"""Most samples a clip of a checkpoint: all of them lie in memory together."""
AnyKind = TypeVar("AnyKind")


RELEASED_SAMPLING = Sampling(steps=4, spacing="leading", clamp=(0.0, 1.0))
"""Sampling of the released DiffSal."""


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
    half: bool = False
    """True if it was trained in mixed bfloat16, in which a GPU predicts, too."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Plain settings that ``network``, ``sampling`` and ``diffusion`` are rebuilt from, and ``seed``."""

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    def inputs(self, batch: SaliencyBatch) -> Inputs:
        """Prepare the network's inputs from a batch on any device."""
        return network_inputs(self.network, move_batch(batch, self.device))

    def encode(self, inputs: Inputs) -> Encoded:
        """Run the part of the network that runs once per clip, see :func:`~lightning_avsp.tasks.prediction.encode`."""
        with self._precision():
            return encode(self.network, inputs)

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.half and self.device.type == "cuda")

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
        """Sample the maps of encoded clips, whose names in ``batch`` seed the noise.

        ``steps`` and ``samples`` stand in for the model's own; the rest is as for
        :func:`~lightning_avsp.tasks.prediction.sample_maps`.
        """
        sampling = self.sampling
        if sampling is not None and samples is not None:
            sampling = replace(sampling, samples=samples)
        with self._precision():
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
    """Load a network and its settings from a training run's checkpoint, an exported folder or an official DiffSal file.

    Args:
        path: The file or folder.
        device: ``auto``, ``cpu``, ``cuda``, ...
        steps: Denoising steps of every clip; the checkpoint's own number when None.
        seed: Seed of all noise; the checkpoint's own when None, or 0 if it has none.

    Raises:
        InputError: If the file is missing, unreadable, or none of the three, if the device is absent, or if the noise
            schedule has fewer steps.
    """
    chosen = choose_device(device)
    content: Any
    if path.is_dir():
        content = read_exported(path)
    else:
        # `avsp weights convert` makes safetensors: never a training run's
        content = None if path.suffix == ".safetensors" else read_torch_file(path, WANTED)
    if isinstance(content, dict) and "pytorch-lightning_version" in content:
        model = _load_trained(path, content)
    else:
        del content  # read anew below: twice in memory may be too much
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
    model.network.to(chosen).eval()  # after all that can be refused
    return model if seed is None else replace(model, seed=seed)


def _load_trained(path: Path, content: dict[str, Any]) -> LoadedModel:
    """Rebuild the model of a checkpoint that ``lightning fit`` wrote; its optimiser, loss and callbacks stay data."""
    refuse_foreign(path, content)
    settings, data = (content.get(key) for key in ("hyper_parameters", "datamodule_hyper_parameters"))
    settings = settings if isinstance(settings, dict) else {}
    try:
        spec = InputSpec.from_plain(content[INPUT_KEY])
        network = _build_network(settings.get("network"), network_tensors(content))
        sampling = diffusion = None
        if isinstance(network, DiffusionNetwork):
            sampling = build_named(settings.get("sampling"), (Sampling,), "sampling")
            diffusion = build_named(settings.get("diffusion"), (GaussianDiffusion,), "diffusion")
            if sampling.samples > MOST_SAMPLES:
                raise InputError(f"sampling.samples is {sampling.samples}, more than {MOST_SAMPLES}")
        if spec.clip.frames != network.clip_frames:
            raise InputError(f"clips of {spec.clip.frames} frames for a network of {network.clip_frames}")
    except InputError as error:
        raise InputError(f"{path} does not fit this project's networks ({error}): train it anew") from error
    seed = settings.get("seed")
    data = data.get("data") if isinstance(data, dict) else None
    captions = data.get("captions") if isinstance(data, dict) else None
    return LoadedModel(
        network=network,
        spec=spec,
        source=f"trained {type(network).__name__}",
        sampling=sampling,
        diffusion=diffusion,
        seed=seed if type(seed) is int else 0,
        captions=captions if isinstance(captions, dict) else None,
        half=content.get(PRECISION_KEY) == "bf16-mixed",
        settings={
            key: settings[key] for key in ("network", "sampling", "diffusion", "seed") if settings.get(key)
        },
    )


def read_exported(folder: Path) -> dict[str, Any]:
    """Read a folder of ``avsp export`` as the content of the checkpoint that it was made of.

    Raises:
        InputError: If one of its two files is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config, weights = (folder / name for name in EXPORTED)
    if not (config.is_file() and weights.is_file()):
        raise InputError(f"{folder} lacks {' or '.join(EXPORTED)}: give {WANTED}")
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
        tensors = load_file(weights)
    except (ValueError, RecursionError, OSError, SafetensorError) as error:
        raise InputError(
            f"{folder} is damaged ({' '.join(str(error).split())[:200]}): export it anew"
        ) from error
    # as a checkpoint names them: one way of loading
    state = {PREFIX + name: tensor for name, tensor in tensors.items()}
    return {**content, "state_dict": state} if isinstance(content, dict) else {}


def refuse_foreign(path: Path, content: Any) -> None:
    """Refuse the content of a file that is no checkpoint of this project's tasks.

    Raises:
        InputError: Names the file.
    """
    found = set(content) if isinstance(content, dict) else set()
    missing = {"pytorch-lightning_version", "state_dict", INPUT_KEY} - found
    if missing:
        raise InputError(
            f"{path} is a checkpoint, but not of this project's tasks (it has no {min(missing)!r}): give one that "
            "`lightning fit` of this project wrote"
        )


def network_tensors(content: Any) -> dict[str, Tensor]:
    """Return the tensors of the network inside a checkpoint's content, by the network's own names."""
    state = content.get("state_dict") if isinstance(content, dict) else None
    return {
        name.removeprefix(PREFIX): tensor
        for name, tensor in (state.items() if isinstance(state, Mapping) else ())
        if isinstance(name, str) and name.startswith(PREFIX) and isinstance(tensor, Tensor)
    }


def build_named(value: Any, kinds: tuple[type[AnyKind], ...], name: str) -> AnyKind:
    """Build an object from settings as the command line writes them: arguments, or ``class_path`` and ``init_args``.

    Args:
        value: The settings.
        kinds: Classes that may be named; nothing is imported to find another. Without a name the first is meant.
        name: Name of the settings, for the error.

    Raises:
        InputError: If another class is named, or an argument does not fit (:func:`fit_arguments`).
    """
    kind, arguments = kinds[0], {} if value is None else value
    if isinstance(value, dict) and ("class_path" in value or len(kinds) > 1):
        module, _, last = str(value.get("class_path"))[:200].rpartition(".")
        named = [k for k in kinds if k.__name__ == last and f"{k.__module__}.".startswith(f"{module}.")]
        if (
            not named
            or not module.startswith("lightning_avsp")
            or not value.keys() <= {"class_path", "init_args"}
        ):
            raise InputError(
                f"{name} names {module}.{last}, not one of {', '.join(k.__name__ for k in kinds)}"
            )
        kind, arguments = named[0], value.get("init_args", {})
    if isinstance(arguments, dict):
        # the trained tensors are in the file: weights of an encoder must be neither read nor downloaded. Not
        # `without_weight_files`, which walks what it is given: a foreign file's values may have no end
        arguments = {key: item for key, item in arguments.items() if not str(key).endswith("_weights")}
    return build_from(kind, arguments, name)


def without_weight_files(settings: Any) -> Any:
    """Leave out the files that encoders started from: their tensors are in the model, their paths nobody's business."""
    if isinstance(settings, dict):
        kept = {key: value for key, value in settings.items() if not str(key).endswith("_weights")}
        return {key: without_weight_files(value) for key, value in kept.items()}
    return [without_weight_files(each) for each in settings] if isinstance(settings, list) else settings


def _build_network(settings: Any, tensors: dict[str, Tensor]) -> SaliencyNetwork:
    """Build a network and load its tensors, which are compared with it before it takes any memory."""
    if settings is None:
        raise InputError("it does not name its network, as a run of `lightning fit` does")
    with torch.device("meta"):  # a stranger's sizes must not take memory before they are compared
        expected = build_named(settings, NETWORKS, "network").state_dict()
    wrong = expected.keys() ^ tensors.keys() or [n for n in expected if expected[n].shape != tensors[n].shape]
    if wrong:
        raise InputError(
            f"{len(wrong)} tensors are missing, unexpected or of another shape, e.g. {min(wrong)[:80]}"
        )
    network = build_named(settings, NETWORKS, "network")
    network.load_state_dict(tensors)
    return network


def _load_official(path: Path) -> LoadedModel:
    """Load the model of an official DiffSal file, with the released code's sampling and audio."""
    from lightning_avsp.backbones.weights import read_state_dict
    from lightning_avsp.papers.diffsal import load_released
    from lightning_avsp.papers.diffsal.checkpoint import our_name

    if not any(our_name(name) for name in read_state_dict(path)):  # before a full-size network is built
        raise InputError(
            f"{path} is neither a checkpoint of `lightning fit` nor an official DiffSal file: give one of these"
        )
    network = load_released(path)
    arguments = {"variant": "released", "modality": network.modality}
    return LoadedModel(
        network=network,
        spec=InputSpec((224, 384), (224, 384), ClipPolicy(), LogMel(alignment="released")),
        source="official DiffSal release",
        sampling=RELEASED_SAMPLING,
        diffusion=GaussianDiffusion(),  # 1000 steps, cosine
        settings={
            "network": {"class_path": "lightning_avsp.papers.diffsal.DiffSal", "init_args": arguments},
            "sampling": asdict(RELEASED_SAMPLING),
        },
    )
