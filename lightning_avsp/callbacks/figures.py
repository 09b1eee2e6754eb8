"""Sample figures at every validation: frame, ground truth, prediction, and the strip from noise to map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from lightning_avsp.files import atomic_write
from lightning_avsp.structures import SaliencyBatch
from lightning_avsp.tasks import SaliencyTask


class SampleFigures(Callback):
    """Figures of the first clips of each validation in ``figures/epoch_NNN.png``, and on W&B when it is a logger.

    Args:
        folder: Folder of the figures.
        clips: Clips (rows) per figure.
    """

    def __init__(self, folder: Path, clips: int = 2) -> None:
        self.folder = folder
        self.clips = clips

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Draw from the first batch, which the validation order keeps the same at every epoch."""
        # of the first process alone: each has other clips
        if batch_idx != 0 or trainer.sanity_checking or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, SaliencyTask)
        few = first_clips(batch, self.clips)
        with torch.no_grad():
            strip = pl_module.denoising_strip(few)
        path = self.folder / f"epoch_{trainer.current_epoch:03d}.png"
        spec = pl_module.input_spec
        last = spec is not None and spec.clip.target == "last"
        draw_clips(path, few, outputs[: self.clips], strip, -1 if last else None)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("samples", [str(path)], step=trainer.global_step)


def first_clips(batch: SaliencyBatch, count: int) -> SaliencyBatch:
    """Cut every field of a batch to its first clips."""
    return {key: value[:count] for key, value in batch.items()}  # type: ignore[return-value, index]


def draw_clips(
    path: Path,
    batch: SaliencyBatch,
    maps: Tensor,
    strip: list[tuple[str, Tensor]],
    target_index: int | None = None,
) -> None:
    """Draw the target frame, ground truth and prediction of each clip, and below them a few steps of the strip.

    Args:
        path: PNG file to write.
        batch: The clips, with ``ground_truth``.
        maps: Predictions (B, 1, H, W) in [0, 1].
        strip: Labelled intermediate maps (B, 1, H, W): pairs of noisy input and map predicted from it.
        target_index: Index of the target frame in the clip; the middle by default.
    """
    # few large panels: from pure noise its own prediction, and the input of the last step
    steps = [strip[place] for place in sorted({0, 1, len(strip) - 2})] if strip else []
    rows = 2 if steps else 1
    with image_grid(path, rows * len(maps), 3, (9.6, 2.1 * rows * len(maps))) as (_, axes):
        for clip, clip_axes in enumerate(axes.reshape(len(maps), -1)):
            video = batch["video"][clip]
            name = f"{batch['corpus'][clip]}/{batch['video_id'][clip]} #{int(batch['frame'][clip])}"
            images: list[tuple[str, Any, bool]] = [
                (name, video[len(video) // 2 if target_index is None else target_index].cpu().numpy(), False),
                ("ground truth", batch["ground_truth"][clip].cpu().numpy() / 255, True),
                ("prediction", maps[clip, 0].float().cpu().numpy(), True),
            ]
            images += [(label, step[clip, 0].numpy(), label.startswith("predicted")) for label, step in steps]
            for axis, (label, image, unit) in zip(clip_axes, images, strict=False):
                # maps share one fixed range so that figures of different epochs can be compared; noise has its own
                limits = {"vmin": 0.0, "vmax": 1.0} if unit else {}
                axis.imshow(image, cmap="magma" if image.ndim == 2 else None, **limits)
                axis.set_title(label, fontsize=10)
            for axis in clip_axes:
                axis.set_axis_off()


@contextmanager
def image_grid(
    paths: Path | Sequence[Path], rows: int, columns: int, inches: tuple[float, float], dpi: int = 110
) -> Iterator[tuple[Figure, np.ndarray]]:
    """Open a figure of ``rows`` by ``columns`` axes, and its axes, saved when the block ends well.

    Args:
        paths: PNG or PDF files by their ending.
        rows: Rows.
        columns: Columns.
        inches: Width and height.
        dpi: Pixels per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # not pyplot, whose figures live on and whose backend may want a screen
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure, figure.subplots(rows, columns, squeeze=False)
    for path in (paths,) if isinstance(paths, Path) else paths:
        # Pillow's own level, 6, takes four times as long for files that are a fifth smaller
        options: dict[str, Any] = {"pil_kwargs": {"compress_level": 1}} if path.suffix == ".png" else {}
        with atomic_write(path, fsync=False) as file:
            figure.savefig(file, format=path.suffix[1:], dpi=dpi, **options)
