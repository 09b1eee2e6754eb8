"""Every row of the thesis' table 4.3 as options, and further switches."""

from lightning_avsp.papers.mubic import Fusion

DENOISERS = {
    "full": {},
    "w/o BECA": {"fusion": Fusion(bidirectional=False)},
    "w/o skip": {"fusion": Fusion(skip=False)},
    "w/o gates": {"fusion": Fusion(gate="concat"), "decoder_gate": "concat"},
    "visual only": {"modality": "v"},
}
"""Rows of table 4.3 that keep the diffusion decoder."""

SWITCHES = {
    "gate of algorithm 1": {"fusion": Fusion(gate="conv1"), "decoder_gate": "algorithm"},
    "values of the own modality": {"fusion": Fusion(value_from="own")},
    "no residual around attention": {"fusion": Fusion(attention_residual=False)},
    "compressed skip": {"fusion": Fusion(skip_conv="compressed")},
    "skip scalar in [0, 1]": {"fusion": Fusion(skip_clamp=True)},
    "sound product": {"fusion": Fusion(sound_product=True)},
    "3-D noise encoder": {"noise_axes": "3d"},
    "weaker compression": {"compression": (4, 4, 2, 1)},
    "adaptive steps": {"adaptive_steps": True},
    "visual only, no skip": {"modality": "v", "fusion": Fusion(skip=False)},
    "all keys in the decoder": {"decoder_keys": "all"},
    "frozen encoders": {"freeze_video": True, "freeze_audio": True},
}
"""Options that belong to no row."""
