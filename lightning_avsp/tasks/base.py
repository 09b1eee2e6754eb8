"""Base of the LightningModules: optimiser, prediction, metrics, input specification and checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, Literal, NoReturn, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import Parameter
from torchmetrics import MeanMetric

from lightning_avsp.backbones.weights import EARLIER
from lightning_avsp.diffusion import GaussianDiffusion, SamplerStep, Sampling, stable_seed
from lightning_avsp.errors import InputError
from lightning_avsp.input_spec import InputSpec
from lightning_avsp.losses import SaliencyLoss
from lightning_avsp.metrics import SaliencyMetrics, ScoreTable
from lightning_avsp.plain_values import read_torch_file
from lightning_avsp.structures import SaliencyBatch, SaliencyNetwork
from lightning_avsp.tasks.execution import Execution, compile_clock, fuse, prepare_network, shard
from lightning_avsp.tasks.feature_cache import FeatureCache, TaskFeatures
from lightning_avsp.tasks.initial_weights import (
    InitialWeights,
    encoders_of,
    initialise_from,
    refuse_random_frozen,
)
from lightning_avsp.tasks.loading import INPUT_KEY, PRECISION_KEY, without_weight_files
from lightning_avsp.tasks.prediction import clip_seeds, encode, frame_keys, network_inputs, sample_maps

log = logging.getLogger(__name__)

MetricName = Literal["cc", "sim", "nss", "auc_judd", "kld"]
Stage = Literal["val", "test"]
FEW_STEPS = 200
"""Optimiser steps below which a fit is warned of."""


def default_optimizer(params: Any) -> torch.optim.Optimizer:
    """Adam at 1e-4, as DiffSal section 5.1."""
    return torch.optim.Adam(params, lr=1e-4)


NetworkT = TypeVar("NetworkT", bound=SaliencyNetwork)


class SaliencyTask(LightningModule, Generic[NetworkT]):
    """Trains and scores one network; subclasses define the training step.

    Args:
        network: The network; its trainable parameters are optimised, frozen ones are not.
        loss: Weighted sum of loss terms; summed squared error when None.
        optimizer: Makes the optimiser from the trainable parameters; Adam at 1e-4 when None.
        lr_scheduler: Makes the scheduler from the optimiser; a constant rate when None.
        lr_interval: Step the scheduler after every ``epoch`` or training ``step``.
        lr_monitor: Logged value that a plateau scheduler watches.
        metrics: Metrics of validation and test.
        seed: Seed of all random numbers of this task: timesteps, noise, and the noise that sampling starts from; the
            command line sets it to ``seed_everything`` unless given.
        feature_cache: Store of the features of a wholly frozen video encoder between epochs and runs; None computes
            them every time.

    Attributes:
        scores: Scores of the last complete validation (``val``) and test (``test``), for callbacks.
        sampling: How maps are sampled; None for networks that predict in one pass.
        diffusion: Noise schedule; None for networks that predict in one pass.
        input_spec: What the data module feeds, or fed in training.
    """

    def __init__(
        self,
        network: NetworkT,
        loss: SaliencyLoss | None = None,
        optimizer: OptimizerCallable = default_optimizer,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: Literal["epoch", "step"] = "epoch",
        lr_monitor: str = "val/loss",
        metrics: tuple[MetricName, ...] = ("cc", "sim", "nss", "auc_judd"),
        seed: int | None = None,
        feature_cache: FeatureCache | None = None,
    ) -> None:
        super().__init__()
        self._save_configuration()
        self.network = network
        self.loss = loss or SaliencyLoss()
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_interval = lr_interval
        self.lr_monitor = lr_monitor
        self.seed = 0 if seed is None else seed
        self.features = TaskFeatures(feature_cache)
        # a mean that is exact however unevenly processes share the clips; Lightning's own is not
        self.val_loss = MeanMetric()
        self.val_metrics = SaliencyMetrics(names=tuple(metrics), prefix="val/")
        self.test_metrics = SaliencyMetrics(names=tuple(metrics), prefix="test/")
        self.input_spec: InputSpec | None = None
        self.initial: InitialWeights | None = None
        self.execution = Execution()  # set by the command line; no part of the model
        self.optimizer_report = ""  # chosen implementation of the optimiser
        self._prepared = False
        self._shown = 0  # steps whose loss the progress bar could have had
        self._validated: set[tuple[str, str, int]] = set()
        self.sampling: Sampling | None = None
        self.diffusion: GaussianDiffusion | None = None  # no class attribute, which would hide the module
        self.scores: dict[Stage, ScoreTable] = {}
        self.leaks: list[str] = []  # test videos that the initial weights are known to have seen
        self.frozen_parts = tuple(
            name for name, module in self.named_modules() if getattr(module, "frozen", False)
        )

    def _save_configuration(self) -> None:
        """Store the settings of the command line; modules built in Python stay out of the checkpoint's settings."""
        if _given_hyperparameters.get() is not None:
            self.save_hyperparameters()

    # --- prediction ------------------------------------------------------------------------------------------

    def predict_maps(
        self, batch: SaliencyBatch, callback: Callable[[SamplerStep], Any] | None = None
    ) -> Tensor:
        """Predict the maps of a batch, see :func:`~lightning_avsp.tasks.prediction.sample_maps`.

        Args:
            batch: Clips; ``corpus``, ``video_id`` and ``frame`` seed the noise.
            callback: Called at every denoising step; then every clip takes the number of steps of ``sampling``, even
                where the network chooses another.

        Returns:
            Maps (B, 1, H, W), float32 in [0, 1].
        """
        inputs = network_inputs(self.network, batch)
        with self.features.use(batch, inputs.video):
            encoded = encode(self.network, inputs)
        height, width = batch["video"].shape[2:4]
        map_size = (height, width) if self.input_spec is None else self.input_spec.map_size
        seeds = clip_seeds(batch, self.seed)
        return sample_maps(
            self.network, encoded, map_size, seeds, self.sampling, self.diffusion, callback=callback
        )

    def denoising_strip(self, batch: SaliencyBatch) -> list[tuple[str, Tensor]]:
        """Labelled intermediate maps (B, 1, H, W) on the way to the prediction; none for direct regression."""
        return []

    def start_from(
        self, checkpoint: Path, drop: tuple[str, ...] = (), absent: Literal["error", "drop"] = "error"
    ) -> None:
        """Load the network's weights from an earlier stage, see :func:`initialise_from`, and store the report."""
        self.initial = initialise_from(self.network, checkpoint, drop, absent)
        for part, source in self.initial.replaced.items():
            log.warning("%s: weights of %s in place of %s, as init_from asks", part, checkpoint, source)

    def starts(self) -> dict[str, str]:
        """Return the source of the weights that each encoder started from, by the name of its module."""
        named = {name: encoder.origin for name, encoder in encoders_of(self.network).items()}
        return {name: origin.start for name, origin in named.items() if origin is not None}

    def resume_starts(self, checkpoint: Path) -> None:
        """Take over the sources that a checkpoint of this run names, since a resumed run reads no other weights."""
        content = read_torch_file(checkpoint, "a checkpoint of this run", mapped=True)
        encoders = encoders_of(self.network)
        starts = content.get("starts")
        for name, source in starts.items() if isinstance(starts, dict) else ():
            if (encoder := encoders.get(name)) is not None and encoder.origin is not None:
                own, _, earlier = str(source).partition(EARLIER)
                encoder.origin = replace(encoder.origin, source=own, earlier=earlier)

    # --- inputs ----------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Store the data module's input specification, and refuse data that the network was not built for."""
        if stage == "fit":
            refuse_random_frozen(self.network)
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is None:
            return
        spec: InputSpec = datamodule.input_spec()
        if spec.clip.frames != self.network.clip_frames:
            raise InputError(
                f"the data module yields clips of {spec.clip.frames} frames but the network was built for "
                f"{self.network.clip_frames}; set data.clip.frames={self.network.clip_frames} or the network's"
            )
        # a waveform has other axes: the error would come deep in a convolution
        form = self.network.audio_form
        if spec.audio.form != form:
            needed = "LogMel" if form == "log_mel" else "Waveform"
            raise InputError(
                f"the data module yields audio as {spec.audio.form} but {type(self.network).__name__} reads {form}; "
                f"set data.audio={needed}"
            )
        if self.input_spec is not None and self.input_spec != spec and stage != "fit":
            log.warning("the checkpoint was trained with %s but is run with %s", self.input_spec, spec)
        self.input_spec = spec
        self.features.attach(self.network, self.trainer, datamodule, stage)
        # weights of other commands are a checkpoint's, whatever the network was built with
        for line in self.weight_report() if stage == "fit" else ():
            log.info(line)

    def configure_model(self) -> None:
        """Compile, checkpoint and shard as asked; Lightning calls this once per command."""
        if self._prepared:
            return
        self._prepared = True
        lines = prepare_network(self.network, self.execution)
        mesh = getattr(self, "_device_mesh", None)  # set by ModelParallelStrategy
        if mesh is not None:
            lines += shard(self.network, mesh["data_parallel"])
        for line in lines:
            log.info(line)

    def weight_report(self) -> list[str]:
        """Return one line per part of the network: origin of its weights, and frozen parts."""
        lines = [str(part) for part in getattr(self.network, "weight_report", ())]
        if self.initial is not None:
            lines += self.initial.lines()
        lines += self.leaks
        return lines + [f"{name}: frozen, in eval mode, not optimised" for name in self.frozen_parts]

    def target(self, batch: SaliencyBatch) -> Tensor:
        """Return the target maps (B, 1, H, W), float32 in [0, 1]."""
        return batch["saliency"].float() / 255

    # --- training --------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Log clips and optimiser steps of an epoch and of the whole fit, and warn of a very short one."""
        trainer = self.trainer
        batches, total = trainer.num_training_batches, trainer.estimated_stepping_batches
        steps = batches if batches == float("inf") else -(-int(batches) // trainer.accumulate_grad_batches)
        dataset = getattr(trainer.train_dataloader, "dataset", None)
        clips = "?" if dataset is None else len(dataset)
        log.info("an epoch: %s clips, %s optimiser steps; the whole fit: %s steps", clips, steps, total)
        if total < FEW_STEPS:
            log.warning(
                "this fit takes %s optimiser steps in all: fewer than %d train no network of this suite; see "
                "data.clip.draw for longer epochs, data.corpora for more videos",
                total,
                FEW_STEPS,
            )

    def on_train_batch_start(self, batch: SaliencyBatch, batch_idx: int) -> None:
        """Seed this step by (seed, epoch, batch, rank), so that a resumed run repeats it exactly."""
        torch.manual_seed(stable_seed(self.seed, self.current_epoch, batch_idx, self.global_rank))

    def clip_generators(self, count: int, batch_idx: int) -> list[torch.Generator]:
        """Return a generator for each clip of a batch, seeded by (seed, epoch, index of the clip in the epoch).

        The index counts in the order which all processes share, so however many of them divide a global batch, and
        however many batches are accumulated, each clip gets the same random numbers.
        """
        trainer = self._trainer
        world, rank = (1, 0) if trainer is None else (trainer.world_size, trainer.global_rank)
        batch = getattr(getattr(trainer, "datamodule", None), "batch_size", None) or count
        indices = [(batch_idx * batch + index) * world + rank for index in range(count)]
        seeds = [stable_seed(self.seed, self.current_epoch, "clip", index) for index in indices]
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    def parameter_groups(self) -> list[dict[str, Any]] | list[Parameter]:
        """Return the trainable parameters, in groups where the network scales the learning rate of parts.

        The scale of an encoder is for pretrained ones: one that starts at random learns at the full rate.

        Raises:
            InputError: If a part with a scale has no trainable parameter.
        """
        trainable = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        origins = {f"{name}.": encoder.origin for name, encoder in encoders_of(self.network).items()}
        at_random = [name for name, origin in origins.items() if origin is not None and origin.is_random]
        scales = {name: scale for name, scale in self.network.lr_scales.items() if name not in at_random}
        if not scales:
            return [p for p in self.parameters() if p.requires_grad]
        probe = self.optimizer([torch.nn.Parameter(torch.zeros(1))])  # only the made optimiser knows its rate
        rate = float(probe.param_groups[0]["lr"])
        groups: list[dict[str, Any]] = []
        for prefix, scale in scales.items():
            names = [name for name in trainable if name.startswith(prefix)]
            if not names:
                raise InputError(
                    f"lr_scales has {prefix!r}, of which no parameter is trainable; freeze it or scale it, not both"
                )
            groups.append(
                {"params": [trainable.pop(name) for name in names], "lr": rate * scale, "name": prefix}
            )
        return [{"params": list(trainable.values()), "name": "rest"}, *groups]

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Log the time that a batch has spent compiling, if it has."""
        if (line := compile_clock.report()) is not None:
            log.info(line)

    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = on_train_batch_end

    def on_train_epoch_end(self) -> None:
        """Log the number of the epoch's clips with features in the cache."""
        self.features.log(f"training, epoch {self.current_epoch}")

    def log_training(self, loss: Tensor, predicted: Tensor, target: Tensor) -> None:
        """Log a step's loss, its squared error per pixel, and the network's diagnostics of its last pass."""
        count = len(target)
        self.log("train/loss", loss, batch_size=count)
        self._show_loss(loss, count)
        per_pixel = (predicted.detach().float() - target.float()).square().mean()
        values = {"mse_per_pixel": per_pixel, **self.network.diagnostics()}
        self.log_dict({f"train/{name}": value for name, value in values.items()}, batch_size=count)
        # means over the clips of the whole epoch, which the steps that are logged would only sample
        means = {"train/epoch_loss": loss.detach(), "train/epoch_mse_per_pixel": per_pixel}
        self.log_dict(means, on_step=False, on_epoch=True, sync_dist=True, batch_size=count)

    def _show_loss(self, loss: Tensor, count: int) -> None:
        """Show the loss of a step in the progress bar; on an accelerator only of steps that are logged."""
        if self._trainer is None:
            return
        # Lightning converts what a bar shows to a number after every batch: a tensor on a device would make that wait
        # for the end of the step, so the bar never gets one
        every = 1 if loss.device.type == "cpu" else getattr(self._trainer, "log_every_n_steps", None) or 50
        if self._shown % every == 0:
            self.log("loss", loss.detach().cpu(), prog_bar=True, logger=False, batch_size=count)
        self._shown += 1

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimiser of the trainable parameters, and the scheduler if there is one."""
        optimizer, self.optimizer_report = fuse(self.optimizer(self.parameter_groups()), self._trainer)
        log.info(self.optimizer_report)
        if self.lr_scheduler is None:
            return optimizer
        scheduler = self.lr_scheduler(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": scheduler,
                "interval": self.lr_interval,
                "monitor": self.lr_monitor,
            },
        }

    # --- evaluation ------------------------------------------------------------------------------------------

    def evaluation_step(self, batch: SaliencyBatch, metrics: SaliencyMetrics) -> Tensor:
        """Predict a batch, update the metrics with it, and return the maps."""
        maps = self.predict_maps(batch)
        metrics.update(maps[:, 0], batch["ground_truth"], batch["fixations"], frame_keys(batch))
        return maps

    def validation_step(self, batch: SaliencyBatch, batch_idx: int) -> Tensor:
        """Score one batch of validation clips."""
        maps = self.evaluation_step(batch, self.val_metrics)
        keys = frame_keys(batch)
        # sharded training repeats a frame so that processes have equally many: it counts once
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        new = sorted(index for key, index in first.items() if key not in self._validated)
        self._validated.update(first)
        if new:
            self.val_loss.update(self.loss(maps[new], self.target(batch)[new]), len(new))
        return maps

    def test_step(self, batch: SaliencyBatch, batch_idx: int) -> Tensor:
        """Score one batch of test clips."""
        return self.evaluation_step(batch, self.test_metrics)

    def on_validation_epoch_start(self) -> None:
        """Reset the metrics, which an interrupted validation may have left half-filled."""
        self.features.log(f"training, epoch {self.current_epoch}")  # validation lies inside the epoch
        self.val_metrics.reset()  # Lightning resets none that it does not log
        self.val_loss.reset()
        self._validated = set()

    def on_test_epoch_start(self) -> None:
        """Reset the metrics, which an interrupted test may have left half-filled."""
        self.test_metrics.reset()

    def on_validation_epoch_end(self) -> None:
        """Log frame -> video -> corpus averages of validation, and its loss."""
        self.features.log("validation")
        self.log("val/loss", self.val_loss.compute())
        self._log_metrics(self.val_metrics, "val")

    def on_test_epoch_end(self) -> None:
        """Log frame -> video -> corpus averages of the test."""
        self.features.log("test")
        self._log_metrics(self.test_metrics, "test")

    def _log_metrics(self, metrics: SaliencyMetrics, stage: Stage) -> None:
        # compute() gathers over processes by (corpus, video, frame), so every rank holds the same exact values
        values = metrics.compute()
        self.log_dict({name: float(value) for name, value in values.items()})
        self.scores[stage] = metrics.table()
        metrics.reset()  # the table is kept: rows of the next epoch must not join it

    def predict_step(self, batch: SaliencyBatch, batch_idx: int) -> dict[str, Any]:
        """Predict the maps of one batch, and return them with their corpora, videos and frame numbers."""
        maps = self.predict_maps(batch)
        return {"maps": maps, **{key: batch[key] for key in ("corpus", "video_id", "frame")}}

    # --- checkpoints -----------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the input specification; drop the sources of the initial weights, since the trained ones are inside."""
        if self.input_spec is not None:
            checkpoint[INPUT_KEY] = self.input_spec.as_plain()
        if self._trainer is not None:
            checkpoint[PRECISION_KEY] = self._trainer.precision
        checkpoint["weight_report"] = self.weight_report()  # a test of it reports the leaks named here
        checkpoint["starts"] = self.starts()
        hparams = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY)
        if hparams:
            # a folder of one machine does not belong to the model
            plain = {name: value for name, value in hparams.items() if name != "feature_cache"}
            checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = without_weight_files(plain)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load the entries of :meth:`on_save_checkpoint`."""
        self.leaks = [line for line in checkpoint.get("weight_report", []) if line.startswith("LEAK")]
        if INPUT_KEY in checkpoint:
            self.input_spec = InputSpec.from_plain(checkpoint[INPUT_KEY])

    @classmethod
    def load_from_checkpoint(cls, *_: Any, **__: Any) -> NoReturn:
        """Refuse Lightning's own way, which imports and calls whatever a checkpoint names.

        Raises:
            InputError: Always; names the way that runs nothing.
        """
        raise InputError(
            "load_from_checkpoint would run what the file names; use lightning_avsp.tasks.loading.load_model(path)"
        )
