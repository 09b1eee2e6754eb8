"""Parameter names: from the official checkpoints to this package, one explicit table."""

from __future__ import annotations

import re

RENAMED: tuple[tuple[str, str], ...] = (
    (r"visual_net\.(.+)", r"video_encoder.\1"),
    (r"audio_net\.features\.(.+)", r"audio_encoder.features.\1"),
    (r"spatiotemp_net\.to_patch_embedding\.(.+)", r"audio_transformer.patch_embedding.\1"),
    (r"spatiotemp_net\.transformer\.layers\.0\.0\.norm\.(.+)", r"audio_transformer.norm1.\1"),
    (r"spatiotemp_net\.transformer\.layers\.0\.0\.to_qkv\.(.+)", r"audio_transformer.qkv.\1"),
    (r"spatiotemp_net\.transformer\.layers\.0\.0\.to_out\.0\.(.+)", r"audio_transformer.out.\1"),
    (r"spatiotemp_net\.transformer\.layers\.0\.1\.net\.0\.(.+)", r"audio_transformer.norm2.\1"),
    (r"spatiotemp_net\.transformer\.layers\.0\.1\.net\.1\.(.+)", r"audio_transformer.feed_forward.0.\1"),
    (r"spatiotemp_net\.transformer\.layers\.0\.1\.net\.4\.(.+)", r"audio_transformer.feed_forward.2.\1"),
    (r"spatiotemp_net\.transformer\.norm\.(.+)", r"audio_transformer.norm.\1"),
    (r"decoder_net\.temb\.dense\.0\.(.+)", r"decoder.time_embedding.layers.0.\1"),
    (r"decoder_net\.temb\.dense\.1\.(.+)", r"decoder.time_embedding.layers.2.\1"),
    (r"decoder_net\.conv_in\.(.+)", r"decoder.noise_encoder.stem.\1"),
    (r"decoder_net\.down1\.(.+)", r"decoder.noise_encoder.down.\1"),
    (r"decoder_net\.res_encoder\.(\d+)\.0\.temb_proj\.(.+)", r"decoder.noise_encoder.blocks.\1.time.\2"),
    (
        r"decoder_net\.res_encoder\.(\d+)\.0\.nin_shortcut\.(.+)",
        r"decoder.noise_encoder.blocks.\1.shortcut.\2",
    ),
    (r"decoder_net\.res_encoder\.(\d+)\.0\.(.+)", r"decoder.noise_encoder.blocks.\1.\2"),
    (r"decoder_net\.res_encoder\.(\d+)\.1\.(.+)", r"decoder.noise_encoder.downs.\1.\2"),
    (r"decoder_net\.invpt_decoder\.norm_mts\.(\d+)\.(.+)", r"decoder.readouts.\1.norm.\2"),
    (r"decoder_net\.invpt_decoder\.redu_chan_up\.(\d+)\.proj\.0\.(.+)", r"decoder.readouts.\1.conv.\2"),
    (r"decoder_net\.invpt_decoder\.mt_proj\.(.+)", r"decoder.head.projection.\1"),
    (r"decoder_net\.logits\.linear_pred\.(.+)", r"decoder.head.logit.\1"),
    (
        r"decoder_net\.invpt_decoder\.mid_stages\.(\d+)\.patch_embed\.0\.proj\.(.+)",
        r"decoder.stages.\1.upsample.\2",
    ),
    (
        r"decoder_net\.invpt_decoder\.mid_stages\.(\d+)\.blocks\.0\.norm\.(.+)",
        r"decoder.stages.\1.norm1.\2",
    ),
    (
        r"decoder_net\.invpt_decoder\.mid_stages\.(\d+)\.blocks\.0\.norm2\.(.+)",
        r"decoder.stages.\1.norm2.\2",
    ),
    (
        r"decoder_net\.invpt_decoder\.mid_stages\.(\d+)\.blocks\.0\.mlp\.fc1\.(.+)",
        r"decoder.stages.\1.mlp.0.\2",
    ),
    (
        r"decoder_net\.invpt_decoder\.mid_stages\.(\d+)\.blocks\.0\.mlp\.fc2\.(.+)",
        r"decoder.stages.\1.mlp.2.\2",
    ),
    (
        r"decoder_net\.invpt_decoder\.mid_stages\.(\d+)\.blocks\.0\.align_conv\.(.+)",
        r"decoder.stages.\1.interaction.align.\2",
    ),
    *(
        (
            rf"decoder_net\.invpt_decoder\.mid_stages\.(\d+)\.blocks\.0\.attn\.{official}\.(.+)",
            rf"decoder.stages.\1.attention.{ours}.\2",
        )
        for letter, name in (("q", "query"), ("k", "key"), ("v", "value"))
        for official, ours in (
            (rf"conv_proj_{letter}\.conv", f"{name}.conv"),
            (rf"conv_proj_{letter}\.bn", f"{name}.norm"),  # a LayerNorm in spite of its official name
            (f"proj_{letter}", f"{name}.linear"),
        )
    ),
    (
        r"decoder_net\.invpt_decoder\.mid_stages\.(\d+)\.blocks\.0\.attn\.proj\.(.+)",
        r"decoder.stages.\1.attention.output.\2",
    ),
)
"""Pairs of (pattern of the whole official name, our name); the first that matches counts."""

UNUSED: tuple[tuple[str, str], ...] = (
    (r"audio_net\.embeddings\..+", "VGGish's embedding head, 67,641,472 values that no output depends on"),
    (r"fc\..+", "a projection that the released network never calls"),
    (r"spatiotemp_net\.pos_embedding", "temporal positions that are added to a discarded tensor"),
)
"""Official names that this package does not use, with the reason."""

UNUSED_WITHOUT_AUDIO: tuple[tuple[str, str], ...] = (
    (
        r"decoder_net\.invpt_decoder\.mid_stages\.\d+\.blocks\.0\.align_conv\..+",
        "the audio projections, never called",
    ),
    (r"audio_net\..+", "the audio encoder"),
    (r"spatiotemp_net\..+", "the audio transformer"),
)
"""Further official names that the video-only network does not use, with the reason."""


def our_name(official: str) -> str | None:
    """Translate an official parameter's or buffer's name to this package's; None if there is none."""
    for pattern, replacement in RENAMED:
        match = re.fullmatch(pattern, official)
        if match:
            return match.expand(replacement)
    return None


def reason_unused(official: str, with_audio: bool) -> str | None:
    """Return the reason why an official parameter is not used; None if it must be."""
    for pattern, reason in UNUSED if with_audio else UNUSED + UNUSED_WITHOUT_AUDIO:
        if re.fullmatch(pattern, official):
            return reason
    return None
