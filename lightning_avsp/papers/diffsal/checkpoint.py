"""Load the released DiffSal checkpoints, strictly."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from lightning_avsp.backbones.weights import StateDict, load_strict, read_state_dict
from lightning_avsp.errors import InputError
from lightning_avsp.papers.diffsal.released.names import our_name, reason_unused
from lightning_avsp.papers.diffsal.released.network import ReleasedDiffSal

if TYPE_CHECKING:
    from lightning_avsp.papers.diffsal.network import DiffSal

log = logging.getLogger(__name__)


def load_released(path: str | Path, *, modality: Literal["av", "v"] | None = None) -> DiffSal:
    """Build the released network with the weights of an official checkpoint, in evaluation mode.

    The keys may carry a leading ``module.`` and lie under ``state_dict``, as the official trainer saves them.
    Keys that no output depends on (VGGish's embedding head and the like) are dropped and named in the log.

    Args:
        path: Checkpoint file.
        modality: ``av`` or ``v``; None for that of the keys. ``v`` with an audio-visual checkpoint loads its
            video part.

    Returns:
        ``DiffSal(variant="released")`` of the fitting modality.

    Raises:
        InputError: If the file is no readable checkpoint, or any key is missing, unexpected or of another
            shape.
    """
    from lightning_avsp.papers.diffsal.network import DiffSal  # imports this package's other variant

    state = read_state_dict(path)
    found = released_modality(state)
    if modality == "av" and found == "v":
        raise InputError(
            f"{path} is a video-only checkpoint (no keys under audio_net or spatiotemp_net), but modality "
            "'av' was asked for. Leave modality out or give 'v'."
        )
    network = DiffSal(variant="released", modality=modality or found)
    core = network.core
    assert isinstance(core, ReleasedDiffSal)  # by variant
    unused = load_released_state(core, state, source=str(path))
    log.info("%s: %d tensors loaded", path, len(state) - len(unused))
    for reason, count in sorted(Counter(unused.values()).items()):
        log.info("%s: %d tensors not needed: %s", path, count, reason)
    return network.eval()


def released_modality(state: Mapping[str, Tensor]) -> Literal["av", "v"]:
    """Determine the modality of the network that a state dict with official names belongs to."""
    return "av" if any(name.startswith(("audio_net.", "spatiotemp_net.")) for name in state) else "v"


def load_released_state(
    network: ReleasedDiffSal, state: StateDict, source: str = "the state dict"
) -> dict[str, str]:
    """Copy official weights into a released network of any size.

    Args:
        network: Network to fill.
        state: Tensors by official name, without prefix.
        source: Name of the checkpoint in error messages.

    Returns:
        Official names that the network does not use, each with the reason.

    Raises:
        InputError: If any key is missing, unexpected or of another shape; nothing is loaded then.
    """
    expected = network.state_dict()
    unused: dict[str, str] = {}
    renamed: StateDict = {}
    for official, tensor in state.items():
        if reason := reason_unused(official, with_audio=network.modality == "av"):
            unused[official] = reason
        else:
            name = our_name(official)
            # an official name without a counterpart is reported as it is
            renamed[name if name in expected else official] = tensor
    load_strict(network, renamed, f"released DiffSal (modality {network.modality!r})", source)
    return unused
