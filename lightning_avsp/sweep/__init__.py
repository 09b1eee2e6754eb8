"""Sweeps: W&B's sweep files, run by its agent or, without a server, by any number of local workers."""

from lightning_avsp.sweep.sweep_file import Sweep, Trial, expand, load_sweep, trial_id

__all__ = ["Sweep", "Trial", "expand", "load_sweep", "trial_id"]
