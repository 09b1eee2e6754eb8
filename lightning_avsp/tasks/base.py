"""The LightningModule that every saliency model shares: optimiser, metrics, input facts, honest checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import Parameter
from torchmetrics import MeanMetric

from lightning_avsp.data.input_spec import InputSpec, SoundInput
from lightning_avsp.diffusion import stable_seed
from lightning_avsp.errors import InputError
from lightning_avsp.losses import SaliencyLoss
from lightning_avsp.metrics import SaliencyMetrics
from lightning_avsp.structures import SaliencyBatch, SaliencyNetwork
from lightning_avsp.tasks.execution import Execution, compile_clock, prepare, shard
from lightning_avsp.tasks.feature_cache import FeatureCache, TaskFeatures
from lightning_avsp.tasks.fused import fuse
from lightning_avsp.tasks.initial_weights import InitialWeights, initialise_from

log = logging.getLogger(__name__)

MetricName = Literal["cc", "sim", "nss", "auc_judd", "kld"]
INPUT_KEY = "input_spec"
"""Where a checkpoint keeps :class:`InputSpec`."""


def default_optimizer(params: Any) -> torch.optim.Optimizer:
    """Adam at 1e-4, as DiffSal section 5.1."""
    return torch.optim.Adam(params, lr=1e-4)


NetworkT = TypeVar("NetworkT", bound=SaliencyNetwork)


class SaliencyTask(LightningModule, Generic[NetworkT]):
    """Trains and scores one network; subclasses say what a training step and a prediction are.

    Args:
        network: The network; its trainable parameters are optimised, frozen ones are not.
        loss: Weighted sum of loss terms; summed squared error when None.
        optimizer: Makes the optimiser from the trainable parameters; Adam at 1e-4 when None.
        lr_scheduler: Makes the scheduler from the optimiser; a constant rate when None.
        lr_interval: Whether the scheduler steps per ``epoch`` or per training ``step``.
        lr_monitor: Logged value that a plateau scheduler watches.
        metrics: Which metrics validation and test compute.
        seed: Start of every random draw of this task: timesteps, noise, and the noise that sampling starts from;
            the command line sets it to ``seed_everything`` unless given.
        feature_cache: Where features of a wholly frozen video encoder are kept between epochs and runs; None computes
            them every time.
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
        self.optimizer_report = ""  # which form of the optimiser was chosen
        self._prepared = False
        self._shown = 0
        self._validated: set[tuple[str, str, int]] = set()
        self.leaks: list[str] = []  # what the start is known to have seen of the test videos
        self.frozen_parts = tuple(
            name for name, module in self.named_modules() if getattr(module, "frozen", False)
        )

    def _save_configuration(self) -> None:
        """Keep what the command line gave; modules given in Python stay out of the checkpoint's settings."""
        if _given_hyperparameters.get() is not None:
            self.save_hyperparameters()

    # --- what subclasses say ---------------------------------------------------------------------------------

    def predict_maps(self, batch: SaliencyBatch) -> Tensor:
        """Predicted maps (B, 1, H, W) in [0, 1], float32, at the network's map size."""
        raise NotImplementedError

    def denoising_strip(self, batch: SaliencyBatch) -> list[tuple[str, Tensor]]:
        """Labelled intermediate maps (B, 1, H, W) on the way to the prediction; none for direct regression."""
        return []

    def start_from(
        self, checkpoint: Path, drop: tuple[str, ...] = (), absent: Literal["error", "drop"] = "error"
    ) -> None:
        """Take the network's weights from an earlier stage, see :func:`initialise_from`, and keep the report."""
        self.initial = initialise_from(self.network, checkpoint, drop, absent)

    # --- inputs ----------------------------------------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """Frame height and width the model was trained at."""
        return self._spec().size

    @property
    def audio(self) -> SoundInput:
        """How sound must be turned into this model's input."""
        return self._spec().audio

    def _spec(self) -> InputSpec:
        if self.input_spec is None:
            raise InputError(
                "this model does not know its input size: train it, or load it from a checkpoint"
            )
        return self.input_spec

    def setup(self, stage: str) -> None:
        """Take note of what the data module feeds, and refuse data the network was not built for."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is None:
            return
        spec: InputSpec = datamodule.input_spec()
        if spec.clip_frames != self.network.clip_frames:
            raise InputError(
                f"the data gives clips of {spec.clip_frames} frames but the network was built for "
                f"{self.network.clip_frames}; set data.clip_frames={self.network.clip_frames} or the network's"
            )
        if spec.sound != self.network.sound:
            raise InputError(
                f"the data gives sound as {spec.sound} but {type(self.network).__name__} reads {self.network.sound}; "
                f"set data.sound={self.network.sound}"
            )
        if self.input_spec is not None and self.input_spec != spec and stage != "fit":
            log.warning("the checkpoint was trained with %s but is run with %s", self.input_spec, spec)
        self.input_spec = spec
        self.features.attach(self.network, self.trainer, datamodule, stage)
        for line in self.weight_report():
            log.info(line)

    def configure_model(self) -> None:
        """Compile, checkpoint and shard as asked; Lightning calls this once per command."""
        if self._prepared:
            return
        self._prepared = True
        lines = prepare(self.network, self.execution)
        mesh = getattr(self, "_device_mesh", None)  # what ModelParallelStrategy gives
        if mesh is not None:
            lines += shard(self.network, mesh["data_parallel"])
        for line in lines:
            log.info(line)

    def weight_report(self) -> list[str]:
        """One line per part of the network: what its weights started from, and whether it is frozen."""
        report = getattr(self.network, "weight_report", None)
        lines = str(report).splitlines() if report is not None else []
        if self.initial is not None:
            lines += self.initial.lines()
        lines += self.leaks
        return lines + [f"{name}: frozen, in eval mode, not optimised" for name in self.frozen_parts]

    def inputs(self, batch: SaliencyBatch) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the network reads of a batch: normalised frames, sound, and token features where there are captions."""
        return self.video(batch), batch["audio"], batch.get("text")

    def video(self, batch: SaliencyBatch) -> Tensor:
        """Normalised frames (B, 3, T, H, W) on this module's device, from uint8."""
        return self.network.normalize_video(batch["video"])

    def target(self, batch: SaliencyBatch) -> Tensor:
        """Target maps (B, 1, H, W), float32 in [0, 1]."""
        return batch["saliency"].float() / 255

    # --- training --------------------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: SaliencyBatch, batch_idx: int) -> None:
        """Seed every draw of this step by (seed, epoch, batch, rank), so that a resumed run repeats it exactly."""
        self.execution.begin_step()
        torch.manual_seed(stable_seed(self.seed, self.current_epoch, batch_idx, self.global_rank))

    def clip_generators(self, count: int, batch_idx: int) -> list[torch.Generator]:
        """A generator for each clip of a training batch, seeded by (seed, epoch, place of the clip in the epoch).

        The place is that in the order which all processes share, so however many of them divide a global batch, and
        however many batches are accumulated, each clip gets the same draws.
        """
        trainer = self._trainer
        world, rank = (1, 0) if trainer is None else (trainer.world_size, trainer.global_rank)
        batch = getattr(getattr(trainer, "datamodule", None), "batch_size", None) or count
        places = [(batch_idx * batch + index) * world + rank for index in range(count)]
        seeds = [stable_seed(self.seed, self.current_epoch, "clip", place) for place in places]
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    def parameter_groups(self) -> list[dict[str, Any]] | list[Parameter]:
        """Trainable parameters; in groups with rates of their own where the network scales the learning rate of parts.

        Raises:
            InputError: If a part with a scale has no trainable parameter.
        """
        trainable = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        scales = self.network.lr_scales
        if not scales:
            return [p for p in self.parameters() if p.requires_grad]
        probe = self.optimizer([torch.nn.Parameter(torch.zeros(1))])
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

    def on_train_batch_end(self, outputs: Any, batch: SaliencyBatch, batch_idx: int) -> None:
        """Log the time that the step has spent compiling, if it has."""
        self._log_compilation()

    def _log_compilation(self, *_: Any) -> None:
        if (line := compile_clock.report()) is not None:
            log.info(line)

    def _begin_step(self, *_: Any) -> None:
        self.execution.begin_step()

    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = _begin_step
    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = _log_compilation

    def on_train_epoch_end(self) -> None:
        """Say how many clips of the epoch had features in the cache."""
        self.features.tell(f"training, epoch {self.current_epoch}")

    def log_training(self, loss: Tensor, predicted: Tensor, target: Tensor) -> None:
        """Log a step's loss, the squared error per pixel beside it, and what the network tells of its last pass."""
        count = len(target)
        self.log("train/loss", loss, batch_size=count)
        self._show(loss, count)
        per_pixel = (predicted.detach().float() - target.float()).square().mean()
        values = {"mse_per_pixel": per_pixel, **self.network.diagnostics()}
        self.log_dict({f"train/{name}": value for name, value in values.items()}, batch_size=count)

    def _show(self, loss: Tensor, count: int) -> None:
        """Give a progress bar the loss of a step; on an accelerator of as few steps as are logged.

        Lightning makes a number of what a bar shows after every batch. Of a tensor on a device that waits for the step
        to end, so the bar is never given one.
        """
        if self._trainer is None:
            return
        every = 1 if loss.device.type == "cpu" else getattr(self._trainer, "log_every_n_steps", None) or 50
        if self._shown % every == 0:
            self.log("loss", loss.detach().cpu(), prog_bar=True, logger=False, batch_size=count)
        self._shown += 1

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimiser over the trainable parameters, and the scheduler if there is one."""
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
        """Predict a batch and hand maps and ground truth to the metrics; returns the maps."""
        maps = self.predict_maps(batch)
        keys = list(zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True))
        metrics.update(maps[:, 0], batch["ground_truth"], batch["fixations"], keys)
        return maps

    def validation_step(self, batch: SaliencyBatch, batch_idx: int) -> Tensor:
        """Score one batch of validation clips."""
        maps = self.evaluation_step(batch, self.val_metrics)
        keys = list(zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True))
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
        """Start empty, whatever an interrupted validation left."""
        self.features.tell(f"training, epoch {self.current_epoch}")  # validation lies inside the epoch
        self.val_metrics.reset()
        self.val_loss.reset()
        self._validated = set()

    def on_test_epoch_start(self) -> None:
        """Start empty, whatever an interrupted test left."""
        self.test_metrics.reset()

    def on_validation_epoch_end(self) -> None:
        """Log frame -> video -> corpus averages of validation, and its loss."""
        self.features.tell("validation")
        self.log("val/loss", self.val_loss.compute())
        self._log_metrics(self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Log frame -> video -> corpus averages of the test."""
        self.features.tell("test")
        self._log_metrics(self.test_metrics)

    def _log_metrics(self, metrics: SaliencyMetrics) -> None:
        # compute() gathers over processes by (corpus, video, frame), so every rank holds the same exact values
        values = metrics.compute()
        self.log_dict({name: float(value) for name, value in values.items()})
        self.last_table = metrics.table()
        metrics.reset()

    def predict_step(self, batch: SaliencyBatch, batch_idx: int) -> dict[str, Any]:
        """Maps of one batch with what they belong to."""
        maps = self.predict_maps(batch)
        return {"maps": maps, **{key: batch[key] for key in ("corpus", "video_id", "frame")}}

    # --- checkpoints -----------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a predictor needs; drop where the first weights came from, since the trained ones are inside."""
        if self.input_spec is not None:
            checkpoint[INPUT_KEY] = self.input_spec.as_plain()
        checkpoint["weight_report"] = self.weight_report()
        hparams = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY)
        if hparams:
            # a folder of this machine is no part of the model
            plain = {name: value for name, value in hparams.items() if name != "feature_cache"}
            checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = without_weight_sources(plain)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read back what :meth:`on_save_checkpoint` wrote."""
        self.leaks = [line for line in checkpoint.get("weight_report", []) if line.startswith("LEAK")]
        if INPUT_KEY in checkpoint:
            self.input_spec = InputSpec.from_plain(checkpoint[INPUT_KEY])


def without_weight_sources(settings: Any) -> Any:
    """The same nested settings with every ``*_weights`` entry None: a checkpoint must load without downloading."""
    if isinstance(settings, dict):
        return {
            key: None if str(key).endswith("_weights") else without_weight_sources(value)
            for key, value in settings.items()
        }
    if isinstance(settings, list):
        return [without_weight_sources(value) for value in settings]
    return settings
