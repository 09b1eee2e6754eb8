"""LightningModules: what is optimised, how maps are predicted, how they are scored."""

from lightning_avsp.input_spec import InputSpec
from lightning_avsp.tasks.base import SaliencyTask
from lightning_avsp.tasks.diffusion import DiffusionSaliencyTask
from lightning_avsp.tasks.direct import DirectSaliencyTask

__all__ = ["DiffusionSaliencyTask", "DirectSaliencyTask", "InputSpec", "SaliencyTask"]
