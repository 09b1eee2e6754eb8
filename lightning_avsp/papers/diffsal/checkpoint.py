"""Load the released DiffSal checkpoints, strictly, by one explicit table of names."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from lightning_avsp.backbones.weights import StateDict, load_strict, read_state_dict
from lightning_avsp.errors import InputError
from lightning_avsp.papers.diffsal.released.network import ReleasedDiffSal

if TYPE_CHECKING:
    from lightning_avsp.papers.diffsal.network import DiffSal

log = logging.getLogger(__name__)


_LAYER = r"spatiotemp_net\.transformer\.layers\.0\."
_DECODER = r"decoder_net\.invpt_decoder\."
_RESNET = r"decoder_net\.res_encoder\.(\d+)\."
_STAGE = _DECODER + r"mid_stages\.(\d+)\."
_BLOCK = _STAGE + r"blocks\.0\."

RENAMED: tuple[tuple[str, str], ...] = (
    (r"visual_net\.", "video_encoder."),
    (r"audio_net\.features\.", "audio_encoder.features."),
    (r"spatiotemp_net\.to_patch_embedding\.", "audio_transformer.patch_embedding."),
    (_LAYER + r"0\.norm\.", "audio_transformer.norm1."),
    (_LAYER + r"0\.to_qkv\.", "audio_transformer.qkv."),
    (_LAYER + r"0\.to_out\.0\.", "audio_transformer.out."),
    (_LAYER + r"1\.net\.0\.", "audio_transformer.norm2."),
    (_LAYER + r"1\.net\.1\.", "audio_transformer.feed_forward.0."),
    (_LAYER + r"1\.net\.4\.", "audio_transformer.feed_forward.2."),
    (r"spatiotemp_net\.transformer\.norm\.", "audio_transformer.norm."),
    (r"decoder_net\.temb\.dense\.0\.", "decoder.time_embedding.layers.0."),
    (r"decoder_net\.temb\.dense\.1\.", "decoder.time_embedding.layers.2."),
    (r"decoder_net\.conv_in\.", "decoder.noise_encoder.stem."),
    (r"decoder_net\.down1\.", "decoder.noise_encoder.down."),
    (_RESNET + r"0\.temb_proj\.", r"decoder.noise_encoder.blocks.\1.time."),
    (_RESNET + r"0\.nin_shortcut\.", r"decoder.noise_encoder.blocks.\1.shortcut."),
    (_RESNET + r"0\.", r"decoder.noise_encoder.blocks.\1."),
    (_RESNET + r"1\.", r"decoder.noise_encoder.downs.\1."),
    (_DECODER + r"norm_mts\.(\d+)\.", r"decoder.readouts.\1.norm."),
    (_DECODER + r"redu_chan_up\.(\d+)\.proj\.0\.", r"decoder.readouts.\1.conv."),
    (_DECODER + r"mt_proj\.", "decoder.head.projection."),
    (r"decoder_net\.logits\.linear_pred\.", "decoder.head.logit."),
    (_STAGE + r"patch_embed\.0\.proj\.", r"decoder.stages.\1.upsample."),
    (_BLOCK + r"norm\.", r"decoder.stages.\1.norm1."),
    (_BLOCK + r"norm2\.", r"decoder.stages.\1.norm2."),
    (_BLOCK + r"mlp\.fc1\.", r"decoder.stages.\1.mlp.0."),
    (_BLOCK + r"mlp\.fc2\.", r"decoder.stages.\1.mlp.2."),
    (_BLOCK + r"align_conv\.", r"decoder.stages.\1.interaction.align."),
    (_BLOCK + r"attn\.proj\.", r"decoder.stages.\1.attention.output."),
    *(
        (_BLOCK + rf"attn\.{official}\.", rf"decoder.stages.\1.attention.{ours}.")
        for letter, name in (("q", "query"), ("k", "key"), ("v", "value"))
        for official, ours in (
            (rf"conv_proj_{letter}\.conv", f"{name}.conv"),
            (rf"conv_proj_{letter}\.bn", f"{name}.norm"),  # a LayerNorm in spite of its official name
            (f"proj_{letter}", f"{name}.linear"),
        )
    ),
)
"""Pairs of (pattern of the start of the official name, start of ours); the first that matches counts."""

UNUSED: tuple[tuple[str, str], ...] = (
    (r"audio_net\.embeddings\..+", "VGGish's embedding head, 67,641,472 values that no output depends on"),
    (r"fc\..+", "a projection that the released network never calls"),
    (r"spatiotemp_net\.pos_embedding", "temporal positions that are added to a discarded tensor"),
)
"""Official names that this package does not use, with the reason."""

UNUSED_WITHOUT_AUDIO: tuple[tuple[str, str], ...] = (
    (_BLOCK + r"align_conv\..+", "the audio projections, never called"),
    (r"audio_net\..+", "the audio encoder"),
    (r"spatiotemp_net\..+", "the audio transformer"),
)
"""Further official names that the video-only network does not use, with the reason."""


def our_name(official: str) -> str | None:
    """Translate an official parameter's or buffer's name to this package's; None if there is none."""
    for pattern, replacement in RENAMED:
        if match := re.match(pattern, official):
            return match.expand(replacement) + official[match.end() :]
    return None


def reason_unused(official: str, with_audio: bool) -> str | None:
    """Return the reason why an official parameter is not used; None if it must be."""
    for pattern, reason in UNUSED if with_audio else UNUSED + UNUSED_WITHOUT_AUDIO:
        if re.fullmatch(pattern, official):
            return reason
    return None


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
