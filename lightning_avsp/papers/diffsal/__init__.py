"""DiffSal (CVPR 2024): diffusion saliency from video and sound. See the model card, README.md, in this folder."""

from lightning_avsp.papers.diffsal.checkpoint import load_released
from lightning_avsp.papers.diffsal.network import DiffSal

__all__ = ["DiffSal", "load_released"]
