"""Frames of clips, with a memory for evaluation, in which neighbouring clips share all frames but one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.sources import FrameSource


class FrameReader:
    """Reads the frames of clips and remembers the last decoded ones.

    Args:
        size: (height, width) of the frames that are returned.
        capacity: Frames to remember; 0 remembers none.
    """

    def __init__(self, size: tuple[int, int], capacity: int = 0) -> None:
        self.size = size
        self.capacity = capacity
        self._kept: OrderedDict[tuple[FrameSource, int], np.ndarray] = OrderedDict()

    def read(self, source: FrameSource, numbers: Sequence[int]) -> Tensor:
        """Read frames by number: uint8 (T, H, W, 3), RGB. A repeated number is decoded once."""
        wanted = list(dict.fromkeys(numbers))
        if not self.capacity:
            frames = source.read(wanted, self.size)
            if len(wanted) < len(numbers):
                frames = frames[[wanted.index(number) for number in numbers]]
            return torch.from_numpy(frames)
        missing = [number for number in wanted if (source, number) not in self._kept]
        decoded = source.read(missing, self.size) if missing else ()
        new = dict(zip(missing, decoded, strict=True))
        for number in wanted:  # last used, last out
            self._kept[source, number] = new[number] if number in new else self._kept.pop((source, number))
        clip = torch.from_numpy(np.stack([self._kept[source, number] for number in numbers]))
        while len(self._kept) > self.capacity:
            self._kept.popitem(last=False)
        return clip
