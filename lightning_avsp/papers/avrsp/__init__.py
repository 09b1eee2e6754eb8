"""AVRSP: relevance-guided audio-visual fusion. See the model card, README.md, in this folder."""

from lightning_avsp.papers.avrsp.network import AVRSP
from lightning_avsp.papers.avrsp.relevance import RAVFSettings

__all__ = ["AVRSP", "RAVFSettings"]
