"""LightningModules: training, prediction and scoring of networks, and the ways to execute them."""

from lightning_avsp.input_spec import InputSpec
from lightning_avsp.tasks.base import SaliencyTask
from lightning_avsp.tasks.training import DiffusionSaliencyTask, DirectSaliencyTask

__all__ = ["DiffusionSaliencyTask", "DirectSaliencyTask", "InputSpec", "SaliencyTask"]
