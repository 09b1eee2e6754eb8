"""Synthetic corpora in which audio decides where simulated observers look.

A diagnostic, generated in seconds in the layout of the STAViS package: discs of three colours move, each
colour is bound to a pitch, one of them sounds at a time, and observers follow it; with unrelated music or in
silence they follow the fastest. Nothing visible shows which object sounds: only the audio does.
Everything here is SYNTHETIC: a good score shows that a model binds sound to sight, not that it predicts where
people look.
"""

from lightning_avsp.synthetic.corpus import SynthReport, synthesise_corpus
from lightning_avsp.synthetic.record import VideoRecord, read_video_record
from lightning_avsp.synthetic.spec import CONDITIONS, STATEMENT, SyntheticSpec

__all__ = [
    "CONDITIONS",
    "STATEMENT",
    "SynthReport",
    "SyntheticSpec",
    "VideoRecord",
    "read_video_record",
    "synthesise_corpus",
]
