"""Initial weights from an earlier stage: strict, and reported tensor by tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder, Encoder
from lightning_avsp.backbones.weights import RANDOM, PartReport, load_strict
from lightning_avsp.errors import InputError
from lightning_avsp.plain_values import read_torch_file
from lightning_avsp.tasks.loading import network_tensors

TABLES = ("rel_pos_t", "rel_pos_h", "rel_pos_w")
"""Suffixes of tables of relative positions."""


@dataclass(frozen=True)
class InitialWeights:
    """Report of the weights that a network loaded from a checkpoint; all names are the network's."""

    source: str
    """The checkpoint."""
    taken: tuple[str, ...]
    """Tensors loaded unchanged."""
    resized: tuple[str, ...]
    """Tables of relative positions that were interpolated to another clip size."""
    missing: tuple[str, ...]
    """Tensors of the network that the checkpoint lacks: they stay as built."""
    dropped: tuple[str, ...]
    """Tensors of the checkpoint that were left out on request."""
    replaced: dict[str, str] = field(default_factory=dict)
    """Encoders that had loaded other weights before, with the source of those."""

    def lines(self) -> list[str]:
        """Return one line on the checkpoint and one on each kind of tensor, by part of the network."""
        kinds = (
            ("taken", self.taken),
            ("interpolated", self.resized),
            ("not in it, as built", self.missing),
            ("left out", self.dropped),
        )
        told = [f"{len(names)} {kind} ({by_part(names)})" for kind, names in kinds if names]
        told += [f"{part} in place of {source}" for part, source in self.replaced.items()]
        return [f"initial weights: {self.source}", *(f"initial weights, {text}" for text in told)]


def by_part(names: Iterable[str]) -> str:
    """Count tensors by part of the network: ``core.video_encoder 120, core.stages 14``."""
    counts = Counter(".".join(name.split(".")[:-1][:2]) or name for name in names)
    return ", ".join(f"{part} {count}" for part, count in counts.most_common())


def initialise_from(
    network: nn.Module,
    checkpoint: Path,
    drop: tuple[str, ...] = (),
    absent: Literal["error", "drop"] = "error",
) -> InitialWeights:
    """Load an earlier stage's network into this one.

    Every tensor of the checkpoint must have a place of the same shape here, unless it is named in ``drop``; tables of
    relative positions are interpolated to this network's clip size. What the checkpoint does not hold stays as built.

    Args:
        network: Network to fill.
        checkpoint: Written by ``lightning fit``.
        drop: Beginnings of names in the checkpoint's network that are left out.
        absent: What to do with tensors that have no place here and are not in ``drop``: refuse them, or leave them out
            and say so (a network without the branch that the first stage trained).

    Raises:
        InputError: If the file is missing or no such checkpoint, if a tensor has no place or another shape, if a
            frozen encoder that loaded other weights would be overwritten, or if nothing is taken; nothing was changed
            then.
    """
    (state, starts), own, source = read_network(checkpoint), network.state_dict(), str(checkpoint)
    kept = {
        name: tensor
        for name, tensor in state.items()
        if not (drop and name.startswith(drop)) and (absent == "error" or name in own)
    }
    if not kept:
        raise InputError(
            f"{source}: all {len(state)} tensors were left out; drop fewer, or leave init_from out"
        )
    replaced = _sources_replaced(network, kept, source)  # before anything is changed
    try:
        report = load_strict(network, dict(kept), "network", source, fresh=("",), interpolated=TABLES)
    except InputError as error:
        parts = sorted({name.split(".")[0] for name in kept if name not in own})
        hint = f"name what to leave out with --init_drop '{parts}'" if parts else "build both networks alike"
        raise InputError(f"{error}: {hint}") from error
    _note_origins(network, kept, source, starts)
    return InitialWeights(
        source=source,
        taken=tuple(name for name in kept if name not in report.resized),
        resized=report.resized,
        missing=report.fresh,
        dropped=tuple(name for name in state if name not in kept),
        replaced=replaced,
    )


def encoders_of(network: nn.Module) -> dict[str, Encoder]:
    """List the encoders of a network by the name of their module."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Encoder)}


def refuse_random_frozen(network: nn.Module) -> None:
    """Refuse a frozen encoder of random weights that no option asked for by name.

    Raises:
        InputError: Names the encoder and the remedy.
    """
    for name, encoder in encoders_of(network).items():
        origin = encoder.origin
        if origin is not None and origin.source == RANDOM and encoder.frozen:
            kind = "audio" if isinstance(encoder, AudioEncoder) else "video"
            source = encoder.weight_source.key if encoder.weight_source else "FILE"
            raise InputError(
                f"{name} ({encoder.label}) is frozen at random weights: it would never learn anything; set "
                f"model.network.{kind}_weights={source}, thaw it with model.network.freeze_{kind}=false, or ask for it "
                f"by name with model.network.{kind}_weights=random"
            )


def _sources_replaced(network: nn.Module, kept: dict[str, Tensor], source: str) -> dict[str, str]:
    """Return what encoders loaded before that a checkpoint replaces, and refuse other weights for a frozen one."""
    replaced, own = {}, network.state_dict()
    for name, encoder in encoders_of(network).items():
        old, taken = encoder.origin, [key for key in kept if key.startswith(f"{name}.")]
        if old is None or old.is_random or not taken:
            continue
        if encoder.frozen and not all(torch.equal(kept[key], own[key].cpu()) for key in taken):
            raise InputError(
                f"init_from={source} holds other weights of the frozen {old.part} than {old.source}, from which it "
                f"was loaded; leave them out with --init_drop '{name}', or set the option to null"
            )
        replaced[old.part] = old.source
    return replaced


def _note_origins(
    network: nn.Module, kept: dict[str, Tensor], source: str, starts: Mapping[str, str]
) -> None:
    """Note a checkpoint as the origin of every encoder that it holds."""
    report: list[PartReport] = getattr(network, "weight_report", [])
    for name, encoder in encoders_of(network).items():
        old, taken = encoder.origin, sum(key.startswith(f"{name}.") for key in kept)
        if old is not None and taken:
            earlier = str(starts.get(name, ""))
            encoder.origin = PartReport(old.part, source, taken, frozen=encoder.frozen, earlier=earlier)
            if old in report:
                report[report.index(old)] = encoder.origin


def read_network(checkpoint: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Read the network inside a checkpoint: its tensors by its own names, and what its encoders started from.

    Raises:
        InputError: If the file is missing, unreadable, or no checkpoint of this project's tasks.
    """
    content = read_torch_file(checkpoint, "init_from: the .ckpt file of an earlier run")
    network = network_tensors(content)
    if not network:
        raise InputError(
            f"init_from: {checkpoint} holds no network of this project's tasks; for published weights use the "
            "network's *_weights options"
        )
    starts = content.get("starts")
    return network, starts if isinstance(starts, dict) else {}
