"""Load the released DiffSal checkpoints, strictly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.papers.diffsal.released.names import our_name, reason_unused
from lightning_avsp.papers.diffsal.released.network import Modality, ReleasedDiffSal

if TYPE_CHECKING:
    from lightning_avsp.papers.diffsal.network import DiffSal

log = logging.getLogger(__name__)

SHOWN_NAMES = 10
"""Names listed per kind of misfit; the rest are counted."""


@dataclass(frozen=True)
class LoadReport:
    """What became of the keys of a checkpoint."""

    loaded: tuple[str, ...]
    """Official names that went into the network."""
    unused: dict[str, str]
    """Official names that the network has no use for, each with the reason."""


def load_released(path: str | Path, *, modality: Modality | None = None) -> DiffSal:
    """The released network with the weights of an official checkpoint, in evaluation mode.

    The keys may carry a leading ``module.`` and lie under ``state_dict``, as the official trainer saves them.
    Keys that no output depends on (VGGish's embedding head and the like) are dropped and named in the log.

    Args:
        path: Checkpoint file.
        modality: ``av`` or ``v``; None reads it off the keys. ``v`` with an audio-visual checkpoint takes its
            video part.

    Returns:
        ``DiffSal(variant="released")`` of the fitting modality.

    Raises:
        InputError: If the file is no readable checkpoint, or any key is missing, unexpected or of another
            shape.
    """
    from lightning_avsp.papers.diffsal.network import DiffSal  # imports this package's other variant

    state = read_released(path)
    found = released_modality(state)
    if modality == "av" and found == "v":
        raise InputError(
            f"{path} is a video-only checkpoint (no keys under audio_net or spatiotemp_net), but modality "
            "'av' was asked for. Leave modality out or give 'v'."
        )
    network = DiffSal(variant="released", modality=modality or found)
    core = network.core
    assert isinstance(core, ReleasedDiffSal)  # by variant
    report = load_released_state(core, state, source=str(path))
    log.info("%s: %d tensors loaded, %d not needed", path, len(report.loaded), len(report.unused))
    for reason in sorted(set(report.unused.values())):
        count = sum(value == reason for value in report.unused.values())
        log.info("%s: %d tensors not needed: %s", path, count, reason)
    return network.eval()


def read_released(path: str | Path) -> dict[str, Tensor]:
    """Official names and tensors of a checkpoint file, without prefix and nesting.

    Raises:
        InputError: If the file is missing, truncated, no checkpoint, or holds something else than tensors.
    """
    if not Path(path).is_file():
        raise InputError(f"no checkpoint at {path}. Give the path of a released DiffSal checkpoint.")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} ({Path(path).stat().st_size} bytes) is no readable checkpoint: {reason}. "
            "Download it again; only plain tensors are accepted."
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise InputError(
            f"{path} holds a {type(content).__name__}, not a checkpoint's dictionary of tensors."
        )
    odd = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        raise InputError(
            f"{path} holds {len(odd)} entries that are no tensors: {_listed(odd)}. Give a file with a "
            "state dict, bare or under the key 'state_dict'."
        )
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def released_modality(state: Mapping[str, Tensor]) -> Modality:
    """Modality of the network that a state dict with official names belongs to."""
    return "av" if any(name.startswith(("audio_net.", "spatiotemp_net.")) for name in state) else "v"


def load_released_state(
    network: ReleasedDiffSal, state: Mapping[str, Tensor], source: str = "the state dict"
) -> LoadReport:
    """Copy official weights into a released network of any size.

    Args:
        network: Network to fill.
        state: Tensors by official name, without prefix.
        source: Name of the checkpoint in error messages.

    Returns:
        What was loaded and what was not needed.

    Raises:
        InputError: If any key is missing, unexpected or of another shape; nothing is loaded then.
    """
    renamed, report = translate_released(network, state, source)
    network.load_state_dict(renamed)
    return report


def translate_released(
    network: ReleasedDiffSal, state: Mapping[str, Tensor], source: str = "the state dict"
) -> tuple[dict[str, Tensor], LoadReport]:
    """Match official names and shapes with a network's; arguments as in :func:`load_released_state`."""
    expected = network.state_dict()
    renamed: dict[str, Tensor] = {}
    loaded: list[str] = []
    unused: dict[str, str] = {}
    unexpected: list[str] = []
    misshaped: list[str] = []
    for official, tensor in state.items():
        reason = reason_unused(official, with_sound=network.modality == "av")
        if reason is not None:
            unused[official] = reason
            continue
        name = our_name(official)
        if name is None or name not in expected:
            unexpected.append(official)
            continue
        if tensor.shape != expected[name].shape:
            misshaped.append(f"{official} {tuple(tensor.shape)} for {tuple(expected[name].shape)}")
        renamed[name] = tensor
        loaded.append(official)
    # Added parts of ours (the product with sound) have no official weights, so they count as missing, too.
    missing = [name for name in expected if name not in renamed]
    problems = [
        f"{len(names)} {kind}: {_listed(names)}"
        for kind, names in (
            ("missing (our names)", missing),
            ("unexpected", unexpected),
            ("of another shape", misshaped),
        )
        if names
    ]
    if problems:
        raise InputError(
            f"{source} does not fit the released DiffSal (modality {network.modality!r}): "
            f"{'; '.join(problems)}. Give an official checkpoint of this modality."
        )
    return renamed, LoadReport(loaded=tuple(loaded), unused=unused)


def _listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
