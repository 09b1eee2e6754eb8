"""MUBiC (thesis): bidirectional fusion, conditional denoising. See the model card, README.md, in this folder."""

from lightning_avsp.papers.mubic.interaction import Fusion
from lightning_avsp.papers.mubic.network import MUBiC, MUBiCRegression

__all__ = ["Fusion", "MUBiC", "MUBiCRegression"]
