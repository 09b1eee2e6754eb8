"""Features of a frozen video encoder kept between epochs: the option, what it refuses, and the clips' keys."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.feature_store import CachedVideoFeatures, FeatureStore, frames_key
from lightning_avsp.errors import InputError
from lightning_avsp.structures import SaliencyBatch, SaliencyNetwork

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureCache:
    """Features of a frozen video encoder on disk, read when a clip returns; see docs/scale.md."""

    folder: Path
    """Folder of the features; runs of other weights, sizes or precisions may share it. A clip of 16x224x384 takes
    about 30 MiB."""
    max_gib: float | None = None
    """Size of the folder from which on nothing is added, in GiB; None: until 5 GiB of its disk are left."""
    tests: bool = False
    """True to add features of every scored frame in test and predict too, which otherwise only read."""


def with_keys(batch: Any) -> Any:
    """Add a hash of each clip's frames to a batch; costs 2 ms for a clip of 16x224x384 whose frames lie on the CPU."""
    if "clip_keys" not in batch:
        batch["clip_keys"] = [frames_key(frames) for frames in batch["video"]]
    return batch


class TaskFeatures:
    """Cached features of a task; without effect if there is no cache."""

    def __init__(self, cache: FeatureCache | None) -> None:
        self.cache = cache
        self._stored: CachedVideoFeatures | None = None

    def attach(self, network: SaliencyNetwork, trainer: Trainer, datamodule: Any, stage: str) -> None:
        """Give the network's wholly frozen video encoder a store, for ``fit``, ``validate``, ``test`` or ``predict``.

        Raises:
            InputError: If features cannot be cached, or no clip would ever come back.
        """
        if self.cache is None:
            return
        encoder = cached_encoder(network)
        if isinstance(trainer.strategy, ModelParallelStrategy):
            raise InputError(
                "feature_cache: under FSDP2 all processes must run the encoder together, but with a cache each of them "
                "runs it for other clips; leave trainer.strategy=fsdp2 out (DDP) or feature_cache"
            )
        if stage == "fit":
            refuse_other_colours(datamodule)
            advise(datamodule)
        # a test reads every frame once: storing costs more than it saves
        writes = stage in ("fit", "validate") or self.cache.tests
        store = FeatureStore(self.cache.folder, self.cache.max_gib, writes)
        mean, std = tuple(network.pixel_mean), tuple(network.pixel_std)
        self._stored = encoder.stored = CachedVideoFeatures(store, f"mean {mean}, standard deviation {std}")
        # while frames lie on the CPU; a hook of the module would do, but beside a data module Lightning warns of one
        datamodule.on_before_batch_transfer = lambda batch, dataloader_idx: with_keys(batch)
        clips, gib = store.size()
        log.info("features of %s: %d clips, %.1f GiB at the start", store.folder, clips, gib)

    @contextmanager
    def use(self, batch: SaliencyBatch, video: Tensor | None) -> Iterator[None]:
        """Run the network inside: ``video`` (B, 3, T, H, W) are the batch's frames, normalised."""
        if self._stored is None or video is None:  # no cache, or clips of sound alone
            yield
            return
        with self._stored.use(with_keys(batch)["clip_keys"], video):
            yield

    def log(self, part: str) -> None:
        """Log how many clips' features were read and how many computed since the last time, if there were any."""
        if self._stored is not None and (line := self._stored.store.summary()):
            log.info("%s: %s", part, line)


def cached_encoder(network: SaliencyNetwork) -> VideoEncoder:
    """The network's video encoder, which must be the only one and wholly frozen.

    Raises:
        InputError: If it is not.
    """
    encoders = {name: part for name, part in network.named_modules() if isinstance(part, VideoEncoder)}
    if len(encoders) != 1:
        raise InputError(
            f"feature_cache: {type(network).__name__} has {len(encoders)} video encoders whose features could be kept"
            f"{''.join(f', {name}' for name in encoders)}; it works with exactly one: leave feature_cache out"
        )
    ((name, encoder),) = encoders.items()
    if not encoder.wholly_frozen:
        trained = sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad)
        raise InputError(
            f"feature_cache: {name} is trained ({trained} of its parameters), so features of a clip change with every "
            "step; freeze it with model.network.freeze_video=true, or leave feature_cache out"
        )
    return encoder


def refuse_other_colours(datamodule: Any) -> None:
    """Refuse random colours: such clips never return; mirrored ones do, as clips of their own.

    Raises:
        InputError: If colours are drawn.
    """
    augmentation = datamodule.training.augmentation
    drawn = {
        name: getattr(augmentation, name)
        for name in ("brightness", "contrast", "saturation")
        if getattr(augmentation, name) > 0
    }
    if drawn:
        options = ", ".join(f"data.training.augmentation.{name}={value}" for name, value in drawn.items())
        raise InputError(
            f"feature_cache: with {options} a clip has other colours each time and its features never come back; set "
            "them to 0, or leave feature_cache out"
        )


def advise(datamodule: Any) -> None:
    """Log the number of different clips that random sampling can draw; each is computed once."""
    clip = datamodule.clip
    if clip.draw == "every" or (clip.draw == "segments" and clip.crop == "centre"):
        return
    windows = sum(max(1, entry.n_frames - clip.covered + 1) for entry in datamodule.entries("train"))
    log.warning(
        "feature_cache: training clips are sampled at random (clip.draw=%s, clip.crop=%s) out of up to %d different "
        "ones; each is computed and stored the first time. With clip.crop=centre the same come back in each epoch",
        clip.draw,
        clip.crop,
        windows,
    )
