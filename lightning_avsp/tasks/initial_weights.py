"""Initial weights from an earlier stage: strict, and reported tensor by tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from lightning_avsp.backbones.weights import interpolate_rows
from lightning_avsp.errors import InputError
from lightning_avsp.plain_values import read_torch_file
from lightning_avsp.tasks.loading import network_tensors


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

    def lines(self) -> list[str]:
        """Return one line on the checkpoint and one on each kind of tensor, by part of the network."""
        kinds = (
            ("taken", self.taken),
            ("interpolated", self.resized),
            ("not in it, as built", self.missing),
            ("left out", self.dropped),
        )
        told = [f"{len(names)} {kind} ({by_part(names)})" for kind, names in kinds if names]
        return [f"initial weights: {self.source}", *(f"initial weights, {text}" for text in told)]


def by_part(names: Iterable[str]) -> str:
    """Count tensors by part of the network: ``encoder 120, fusion 14``."""
    counts = Counter(name.split(".")[0] for name in names)
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
        InputError: If the file is missing or no such checkpoint, if a tensor has no place or another shape, or if
            nothing is taken; nothing was changed then.
    """
    state = read_network(checkpoint)
    own = network.state_dict()
    dropped = tuple(name for name in state if drop and name.startswith(drop))
    kept = {name: tensor for name, tensor in state.items() if name not in dropped}
    unexpected = [name for name in kept if name not in own]
    if absent == "drop":
        dropped, unexpected = (*dropped, *unexpected), []
        kept = {name: tensor for name, tensor in kept.items() if name in own}
    resized, wrong = [], []
    for name in [name for name in kept if name in own and kept[name].shape != own[name].shape]:
        theirs, ours = tuple(kept[name].shape), tuple(own[name].shape)
        if "rel_pos" in name and len(theirs) == len(ours) == 2 and theirs[1] == ours[1]:
            kept[name] = interpolate_rows(kept[name], ours[0])
            resized.append(name)
        else:
            wrong.append(f"{name} is {theirs} there and {ours} here")
    if unexpected or wrong:
        found = (
            [f"{len(unexpected)} tensors have no place here: {', '.join(unexpected[:5])}"]
            if unexpected
            else []
        )
        found += [f"{len(wrong)} have another shape: {', '.join(wrong[:5])}"] if wrong else []
        parts = sorted({name.split(".")[0] for name in unexpected})
        hint = (
            f" name what to leave out with --init_drop '{parts}'" if parts else " build both networks alike"
        )
        raise InputError(
            f"{checkpoint} does not fit this network; {'; '.join(found)}; nothing was loaded:{hint}"
        )
    if not kept:
        raise InputError(
            f"{checkpoint}: all {len(state)} tensors were left out; drop fewer, or leave init_from out"
        )
    network.load_state_dict(kept, strict=False)
    return InitialWeights(
        source=str(checkpoint),
        taken=tuple(name for name in kept if name not in resized),
        resized=tuple(resized),
        missing=tuple(name for name in own if name not in kept),
        dropped=dropped,
    )


def read_network(checkpoint: Path) -> dict[str, Tensor]:
    """Read the tensors of the network inside a checkpoint, by the network's own names.

    Raises:
        InputError: If the file is missing, unreadable, or no checkpoint of this project's tasks.
    """
    network = network_tensors(read_torch_file(checkpoint, "init_from: the .ckpt file of an earlier run"))
    if not network:
        raise InputError(
            f"init_from: {checkpoint} holds no network of this project's tasks; for published weights use the "
            "network's *_weights options"
        )
    return network
