"""Sweeps: W&B's sweep files, run by its agent or, without a server, by Ray; every training named by its content."""

from lightning_avsp.sweep.sweep_file import Sweep, Trial, expand, load_sweep

__all__ = ["Sweep", "Trial", "expand", "load_sweep"]
