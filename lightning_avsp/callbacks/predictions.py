"""Predicted maps of the test videos as 8-bit PNG, one folder per video: the output of `lightning predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image

from lightning_avsp.files import atomic_write


class MapWriter(BasePredictionWriter):
    """Writer of ``maps/<corpus>/<video>/%05d.png``, frames from 1: linear grey, 255 = 1.0, the network's map size."""

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the maps of one batch; each file appears whole or not at all."""
        maps = (prediction["maps"][:, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()
        frames = prediction["frame"].tolist()
        rows = zip(prediction["corpus"], prediction["video_id"], frames, maps, strict=True)
        for corpus, video, frame, values in rows:
            path = self.folder / corpus / video / f"{frame:05d}.png"
            with atomic_write(path, fsync=False) as file:
                Image.fromarray(values, mode="L").save(file, format="PNG")
