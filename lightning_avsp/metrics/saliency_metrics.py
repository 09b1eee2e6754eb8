"""Metrics of a validation or test run: predictions and ground truth in, averages out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

import torch
from torch import Tensor

from lightning_avsp.errors import InputError, require_choice
from lightning_avsp.metrics.averages import FrameKey, ScoreTable, VideoAverage
from lightning_avsp.metrics.degenerate import REASONS, DegeneratePolicy, diagnose, judge
from lightning_avsp.metrics.functional.inputs import Frames, score_frames
from lightning_avsp.metrics.functional.maps import Maps, frame_chunks
from lightning_avsp.metrics.functional.resize import resize_bicubic
from lightning_avsp.metrics.functional.scores import KERNELS, check_names, check_sources

_CHUNKS_AT_ONCE = 8  # resized together; the statistics divide them again


class SaliencyMetrics:
    """Metrics of predicted maps at each ground truth's own size, averaged over frames, videos and corpora.

    Predictions are brought to the ground truth's size by MATLAB's bicubic ``imresize``. A prediction that is
    constant as given stays constant, whatever rounding the resizing would add. Works on any
    device and moves values to the host once per update. Holds plain Python values between updates: it can be
    pickled, and merges exactly over processes with uneven shares or repeated frames (see
    :class:`VideoAverage`).

    Args:
        names: Metrics, by the names of their functions.
        policy: What averages do with degenerate frames: ``field``, ``skip`` or ``zero``.
        prefix: Put before every key of :meth:`compute`, e.g. ``val/``.
        repeats: Whether a pixel fixated n times counts n times.

    Raises:
        InputError: If a metric or the policy is unknown.

    Examples:
        >>> import torch
        >>> metrics = SaliencyMetrics(names=("cc", "nss"), prefix="val/")
        >>> truth = torch.tensor([[0, 50], [100, 255]], dtype=torch.uint8)
        >>> points = torch.tensor([[1, 1]])
        >>> metrics.update(truth[None].float(), [truth], [points], keys=[("AVAD", "V1", 9)])
        >>> results = metrics.compute()
        >>> [name for name in results]
        ['val/cc', 'val/nss', 'val/AVAD/cc', 'val/AVAD/nss', 'val/frames', 'val/videos']
        >>> round(results["val/AVAD/nss"], 3)
        1.394
    """

    def __init__(
        self,
        names: Sequence[str] = ("cc", "sim", "nss", "auc_judd"),
        policy: DegeneratePolicy = "field",
        prefix: str = "",
        repeats: bool = False,
    ) -> None:
        self.names = check_names(names)
        require_choice("policy", policy, get_args(DegeneratePolicy))
        self.policy: DegeneratePolicy = policy
        self.prefix = prefix
        self.repeats = repeats
        self.average = VideoAverage(self.names)

    @torch.no_grad()
    def update(
        self,
        predictions: Tensor | Sequence[Tensor],
        ground_truth: Sequence[Tensor],
        fixations: Sequence[Tensor],
        keys: Sequence[FrameKey],
        other: Sequence[Tensor] | None = None,
        baseline: Sequence[Tensor] | None = None,
    ) -> None:
        """Score some frames.

        Args:
            predictions: Maps (B, H, W), or B maps (H, W) of any sizes; any real type and range.
            ground_truth: B continuous maps, each (Hg, Wg) at its own size, uint8 or any real type.
            fixations: B point lists, int64 (N, 2), (row, column) in the ground truth's pixels.
            keys: Corpus, video and frame number of each; a frame already scored is not counted again.
            other: B point lists of fixations of other frames, for the shuffled AUCs.
            baseline: B maps, each at its ground truth's size, for information gain.

        Raises:
            InputError: If numbers, shapes or types do not fit, or a metric lacks what it reads.
        """
        maps = _as_list(predictions)
        given: dict[str, Sequence[object]] = {
            "ground_truth": ground_truth,
            "fixations": fixations,
            "keys": keys,
        }
        given |= {"other": other} if other is not None else {}
        given |= {"baseline": baseline} if baseline is not None else {}
        for name, values in given.items():
            if len(values) != len(maps):
                raise InputError(
                    f"there are {len(maps)} predictions and {len(values)} {name}; give one per frame."
                )
        check_sources(self.names, {"target", *given})
        parts, columns = list(_same_size(maps, ground_truth)), []
        for part in parts:
            try:
                found = score_frames(  # values, then flags (0 or 1) of REASONS: (K + len(REASONS), b)
                    self._kernel,
                    self._at_size(torch.stack([maps[i] for i in part]), ground_truth[part[0]].shape),
                    target=torch.stack([ground_truth[i] for i in part]),
                    fixations=[fixations[i] for i in part],
                    other=None if other is None else [other[i] for i in part],
                    baseline=None if baseline is None else torch.stack([baseline[i] for i in part]),
                    repeats=self.repeats,
                )
                columns.append(found)
            except InputError as error:
                named = ", ".join("/".join(map(str, keys[index])) for index in part)
                raise InputError(f"{error} (scoring {named})") from error
        if columns:
            order = [index for part in parts for index in part]
            rows: list[list[float]] = torch.cat(columns, dim=1).T.tolist()  # the one transfer to the host
            for index, row in zip(order, rows, strict=True):
                self._add(keys[index], row)

    def compute(self) -> dict[str, float]:
        """Averages and counts, with the prefix; see :meth:`VideoAverage.compute`. Call on every process."""
        return {f"{self.prefix}{name}": value for name, value in self.average.compute().items()}

    def table(self) -> ScoreTable:
        """Per-frame and per-video rows, from all processes. Call it on every process."""
        return self.average.table()

    def reset(self) -> None:
        """Forget all frames."""
        self.average.reset()

    def _at_size(self, prediction: Tensor, size: tuple[int, ...]) -> Tensor:
        """Predictions (b, H, W) resized to ``size``."""
        if prediction.shape[1:] == size:
            return prediction
        given, resized = Maps(prediction), resize_bicubic(prediction, (size[0], size[1]))
        if bool(given.constant.any()):
            # Filters leave noise of 1e-16 on constant maps, which would pass for a prediction.
            # the level itself, so that it counts as constant again
            level = given.maximum.to(resized.dtype)[:, None, None]
            resized = torch.where(given.constant[:, None, None], level, resized)
        return resized

    def _kernel(self, frames: Frames) -> Tensor:
        values = torch.stack([KERNELS[name](frames) for name in self.names])  # (K, b)
        return torch.cat([values, diagnose(frames).to(values.dtype)])  # (K + len(REASONS), b)

    def _add(self, key: FrameKey, column: Sequence[float]) -> None:
        count = len(self.names)
        present = frozenset(reason for reason, flag in zip(REASONS, column[count:], strict=True) if flag)
        values: dict[str, float] = {}
        reasons: dict[str, str] = {}
        for name, value in zip(self.names, column[:count], strict=True):
            values[name], reason = judge(name, value, present, self.policy)
            if reason is not None:
                reasons[name] = reason
        self.average.add(key, values, reasons)


def _as_list(predictions: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """One map (H, W) per frame."""
    if isinstance(predictions, Tensor) and predictions.ndim != 3:
        raise InputError(f"predictions have shape {tuple(predictions.shape)}, but maps must be (B, H, W).")
    maps = list(predictions)
    for index, one in enumerate(maps):
        if one.ndim != 2:
            raise InputError(
                f"predictions[{index}] has shape {tuple(one.shape)}, but one map must be (H, W)."
            )
    return maps


def _same_size(maps: Sequence[Tensor], ground_truth: Sequence[Tensor]) -> Iterator[list[int]]:
    """Indices of frames that can be worked on together: same sizes and types, few enough for memory."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, (ours, truth) in enumerate(zip(maps, ground_truth, strict=True)):
        if truth.ndim != 2 or truth.numel() == 0:
            raise InputError(
                f"ground_truth[{index}] has shape {tuple(truth.shape)}, but one map must be (Hg, Wg)."
            )
        groups.setdefault((ours.shape, ours.dtype, truth.shape, truth.dtype), []).append(index)
    for group in groups.values():
        first = group[0]
        pixels = max(maps[first].numel(), ground_truth[first].numel(), 1)
        for part in frame_chunks(len(group), max(1, pixels // _CHUNKS_AT_ONCE), maps[first].device):
            yield group[part]
