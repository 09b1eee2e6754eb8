"""Callbacks of a run: checkpoints, run records, results, figures, predictions, progress."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateMonitor

from lightning_avsp.callbacks.checkpoints import checkpoint_callbacks
from lightning_avsp.callbacks.ema import WeightAverage
from lightning_avsp.callbacks.figures import SampleFigures
from lightning_avsp.callbacks.record import Heartbeat, MapWriter, ResultWriter, RunRecord, training_progress
from lightning_avsp.callbacks.stopping import FiniteLoss, StopSignals
from lightning_avsp.run_folder import RunFolder

__all__ = ["RunRecord", "default_callbacks"]


def default_callbacks(run: RunFolder, options: Any, command: str) -> list[Callback]:
    """Build the callbacks of one trainer command from the run's folder and the parsed options."""
    callbacks: list[Callback] = []
    if options.trainer.enable_progress_bar is not False:
        callbacks.append(training_progress())
    if options.trainer.fast_dev_run:  # leaves no trace
        return callbacks
    callbacks += [ResultWriter(run), Heartbeat(run)]
    if command == "predict":
        callbacks.append(MapWriter(run.path / "maps"))
    if command == "fit":
        callbacks.append(FiniteLoss(run, every=int(options.trainer.log_every_n_steps or 20)))
        if options.trainer.logger is not False:
            callbacks.append(LearningRateMonitor())
        if options.ema is not None:
            callbacks.append(WeightAverage(options.ema, options.ema_warmup))
        if options.trainer.enable_checkpointing is not False:
            monitor = None if options.data.validation.selection == "none" else options.monitor
            callbacks.append(StopSignals(run))
            callbacks += checkpoint_callbacks(run, monitor, options.monitor_mode, options.save_every_steps)
    if command in ("fit", "validate") and options.figures > 0:
        callbacks.append(SampleFigures(run.figures, clips=options.figures))
    return callbacks
