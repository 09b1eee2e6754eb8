"""DiffSal as released: the network that the published checkpoints belong to."""

from lightning_avsp.papers.diffsal.released.network import ReleasedDiffSal

__all__ = ["ReleasedDiffSal"]
