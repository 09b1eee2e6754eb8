"""TAVDiff: saliency maps from text, audio and video by diffusion. See the model card, README.md, in this folder."""

from lightning_avsp.papers.tavdiff.network import TAVDiff

__all__ = ["TAVDiff"]
