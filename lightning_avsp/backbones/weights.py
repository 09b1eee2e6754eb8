"""Strict reading of pretrained weights, without executing code in the file, and with a report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from lightning_avsp.errors import InputError
from lightning_avsp.plain_values import read_torch_file

StateDict = dict[str, Tensor]
RANDOM = "random"
"""Value of a ``*_weights`` option that starts an encoder at random by name, which a frozen one needs."""
RANDOM_BY_NAME = "random by name"
EARLIER = ", itself from "
"""Words between a checkpoint that a part started from and the start of that checkpoint's own training."""


@dataclass(frozen=True)
class PartReport:
    """Origin of the weights of one part of a network."""

    part: str
    """Name of the part, e.g. ``video encoder``."""
    source: str
    """File, published weights, ``random``, or ``random by name`` where an option asked for it."""
    loaded: int = 0
    """Tensors taken over."""
    resized: tuple[str, ...] = ()
    """Names of tensors that were interpolated to fit."""
    dropped: tuple[str, ...] = ()
    """Names in the file that this network has no use for, e.g. the classifier."""
    fresh: tuple[str, ...] = ()
    """Names in the network that the file does not hold and that stay random on purpose."""
    frozen: bool = False
    """True for a part that training leaves as it is."""
    earlier: str = ""
    """Start of this part in the training whose checkpoint `source` is."""

    @property
    def is_random(self) -> bool:
        """True if nothing was loaded."""
        return self.source in (RANDOM, RANDOM_BY_NAME)

    @property
    def start(self) -> str:
        """`source`, and behind the checkpoint of an earlier stage what that one started from."""
        return self.source + (EARLIER + self.earlier if self.earlier else "")

    def __str__(self) -> str:
        kinds = {"tensors loaded": self.loaded, "interpolated": len(self.resized)}
        kinds |= {"left out": len(self.dropped), "new": len(self.fresh)}
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        text = f"{self.part}: {self.source}{f' ({counts})' if counts else ''}"
        return text + (", frozen" if self.frozen else "")


def read_state_dict(path: str | Path) -> StateDict:
    """Read the tensors of a weight file.

    Accepts a plain state dict or one under ``state_dict`` or ``model_state``; a leading ``module.`` (data-parallel
    training) is removed from every name.

    Args:
        path: File written by ``torch.save``, or one of safetensors.

    Raises:
        InputError: If the file is missing, unreadable, or holds no tensors.
    """
    path = Path(path)
    # without a file there, the other reader's message names what is wanted
    if path.suffix == ".safetensors" and path.is_file():
        return load_file(path)
    content = read_torch_file(path, "the path of a weight file, made by torch.save(model.state_dict(), path)")
    # as Lightning and PyTorchVideo save them
    for key in ("state_dict", "model_state"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    items = content.items() if isinstance(content, Mapping) else ()
    tensors = {str(name).removeprefix("module."): each for name, each in items if isinstance(each, Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no tensors: expected a state dict, or one under 'state_dict'")
    return tensors


def load_strict(
    module: nn.Module,
    state: StateDict,
    part: str,
    source: str,
    drop: tuple[str, ...] = (),
    fresh: tuple[str, ...] = (),
    interpolated: tuple[str, ...] = (),
) -> PartReport:
    """Load a state dict into a module; a tensor that does not fit and is not named beforehand is an error.

    Args:
        module: Module to fill.
        state: Names and tensors of the file.
        part: Name of the module, for the report.
        source: Origin of the tensors, for the report.
        drop: Prefixes of names in the file that are left out (the classifier).
        fresh: Prefixes of names in the module that may be absent from the file.
        interpolated: Suffixes of names of relative-position tables, which are interpolated to the module's length.

    Raises:
        InputError: With every missing, unexpected and ill-shaped name.
    """
    own = module.state_dict()
    dropped = tuple(name for name in state if name.startswith(drop)) if drop else ()
    kept = {name: tensor for name, tensor in state.items() if name not in dropped}
    unexpected = [name for name in kept if name not in own]
    absent = [name for name in own if name not in kept]
    missing = [name for name in absent if not (fresh and name.startswith(fresh))]
    resized, wrong = [], []
    for name in kept.keys() & own.keys():
        if kept[name].shape == own[name].shape:
            continue
        lengths_alone = kept[name].dim() == 2 and kept[name].shape[1:] == own[name].shape[1:]
        if lengths_alone and name.endswith(interpolated):
            kept[name] = interpolate_rows(kept[name], len(own[name]))
            resized.append(name)
        else:
            wrong.append(f"{name} {tuple(kept[name].shape)} for {tuple(own[name].shape)}")
    if unexpected or missing or wrong:
        problems = [
            f"{len(names)} {kind}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
            for names, kind in ((missing, "missing"), (unexpected, "unexpected"), (wrong, "of another shape"))
            if names
        ]
        raise InputError(f"{source} does not fit the {part}; {'; '.join(problems)}; nothing was loaded")
    module.load_state_dict(kept, strict=False)  # all differences are known and reported
    return PartReport(part, source, len(kept), tuple(sorted(resized)), dropped, tuple(absent))


def rename(state: StateDict, patterns: Sequence[tuple[str, str]]) -> StateDict:
    """Rename tensors by the first pattern that matches a whole name; a name that none matches stays."""

    def renamed(name: str) -> str:
        found = ((re.fullmatch(pattern, name), ours) for pattern, ours in patterns)
        return next((match.expand(ours) for match, ours in found if match), name)

    return {renamed(name): tensor for name, tensor in state.items()}


def interpolate_rows(table: Tensor, length: int) -> Tensor:
    """Interpolate a relative-position table (L, C) linearly along L to another length."""
    rows = table.float().T[None]  # (1, C, L)
    return F.interpolate(rows, size=length, mode="linear", align_corners=False)[0].T.to(table.dtype)
