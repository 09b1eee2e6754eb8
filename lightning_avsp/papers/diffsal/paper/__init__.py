"""DiffSal as its paper describes it (variant ``paper``)."""

from lightning_avsp.papers.diffsal.paper.network import PaperDiffSal

__all__ = ["PaperDiffSal"]
