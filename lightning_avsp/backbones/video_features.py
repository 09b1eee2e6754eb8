"""Features that a frozen video encoder reads from a store instead of computing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain

import torch
from torch import Tensor, nn

from lightning_avsp import __version__
from lightning_avsp.backbones.feature_store import FeatureStore
from lightning_avsp.errors import InputError

Features = tuple[Tensor, ...]
"""Features of a batch at each scale, (B, C_i, T_i, H_i, W_i)."""


class CachedVideoFeatures:
    """Features of one encoder by clip: read from a store, else computed in one batch and stored.

    The caller of the network names the clips of the frames beforehand (:meth:`use`); otherwise the encoder
    computes as always.

    Args:
        store: The store.
        normalisation: How frames as decoded become the encoder's input, in words: keys are those of the former.
    """

    def __init__(self, store: FeatureStore, normalisation: str = "") -> None:
        self.store = store
        self.normalisation = normalisation
        self._shown: tuple[list[str], Tensor] | None = None
        self._weights: tuple[tuple[tuple[int, int, int], ...], str] | None = None
        self._names: dict[tuple[str, ...], str] = {}

    @contextmanager
    def use(self, clips: Sequence[str], video: Tensor) -> Iterator[None]:
        """Name the B clips of ``video`` (B, 3, T, H, W), the encoder's next input."""
        self._shown = (list(clips), video)
        try:
            yield
        finally:
            self._shown = None

    @property
    def active(self) -> bool:
        """True while the clips of the input are named."""
        return self._shown is not None

    def take(self, encoder: nn.Module, video: Tensor, compute: Callable[[Tensor], Features]) -> Features:
        """Return features of the named clips.

        Args:
            encoder: The frozen encoder.
            video: Its input (B, 3, T, H, W).
            compute: Runs it.

        Raises:
            InputError: If the encoder was given other frames than the network was, which the clips' keys do not tell.
        """
        assert self._shown is not None
        clips, given = self._shown
        if video.data_ptr() != given.data_ptr() or video.shape != given.shape:
            raise InputError(
                f"feature_cache: the network was given frames {tuple(given.shape)} and gave its encoder others, "
                f"{tuple(video.shape)}: features cannot be filed under the clip; leave feature_cache out"
            )
        name = self.name(encoder, video)
        found = {place: self.store.read(name, clip) for place, clip in enumerate(clips)}
        read = {place: features for place, features in found.items() if features is not None}
        missing = [place for place in found if place not in read]
        self.store.read_clips += len(read)
        self.store.computed_clips += len(missing)
        # slices and not an index: that would have to be copied to the device first
        # all or none in most cases: no copy then
        part = video if not read else torch.stack([video[place] for place in missing]) if missing else None
        computed = () if part is None else compute(part)
        for row, place in enumerate(missing):
            self.store.write(name, clips[place], [feature[row] for feature in computed])
        if not read:
            return computed
        rows = {place: [feature[row] for feature in computed] for row, place in enumerate(missing)}
        return _assemble([read.get(place) or rows[place] for place in range(len(clips))], video.device)

    def name(self, encoder: nn.Module, video: Tensor) -> str:
        """Return the name of this encoder's features of such input; other weights have another name."""
        device = video.device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        facts = {
            "encoder": f"{type(encoder).__module__}.{type(encoder).__qualname__}",
            "weights": self._fingerprint(encoder),
            "normalisation": self.normalisation,
            "input": f"{video.dtype} (3, {video.shape[2]}, {video.shape[3]}, {video.shape[4]})",
            "precision": f"autocast {autocast}, float32 products {torch.get_float32_matmul_precision()}",
            "device": device,
            "versions": f"lightning_avsp {__version__}, torch {torch.__version__}",
        }
        values = tuple(facts.values())
        if values not in self._names:
            self._names[values] = sha256(repr(values).encode()).hexdigest()[:24]
            self.store.describe(self._names[values], facts)
        return self._names[values]

    def _fingerprint(self, encoder: nn.Module) -> str:
        """Hash settings and weights; again only after a tensor was replaced, moved or written to."""
        tensors = list(chain(encoder.parameters(), encoder.buffers()))
        # tensors made for inference have no version
        state = tuple((id(x), x.data_ptr(), 0 if x.is_inference() else x._version) for x in tensors)
        if self._weights is None or self._weights[0] != state:
            self._weights = (state, weights_fingerprint(encoder))
        return self._weights[1]


def weights_fingerprint(encoder: nn.Module) -> str:
    """Hash an encoder's modules with their settings, its parameters and its buffers."""
    shape = [getattr(encoder, name, None) for name in ("channels", "strides", "taps")]
    digest = sha256(f"{encoder!r} {shape}".encode())
    for name, tensor in chain(encoder.named_parameters(), encoder.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _assemble(clips: Sequence[Sequence[Tensor]], device: torch.device) -> Features:
    """Assemble features of clips, each (C, T, H, W), to those of a batch on a device."""
    scales = []
    for parts in zip(*clips, strict=True):
        first = parts[0]
        # axes in the order in which the encoder leaves them: what follows may round otherwise on another order
        batch = torch.empty_strided(
            (len(parts), *first.shape), (first.numel(), *first.stride()), dtype=first.dtype, device=device
        )
        for row, part in enumerate(parts):
            # from memory that the device reads by itself: else the copy waits for all that was asked of it before
            ready = part.pin_memory() if device.type == "cuda" and part.device.type == "cpu" else part
            batch[row].copy_(ready, non_blocking=True)
        scales.append(batch)
    return tuple(scales)
