"""Features of a frozen video encoder on disk: computed once per clip, read whenever the clip returns.

A folder contains the features of any number of encoders::

    <encoder>/about.json        what made these features, for people
    <encoder>/<ab>/<clip>.pt    one clip: its features at every scale, as they left the encoder

``<encoder>`` is a hash of everything that shapes features beside the frames: class, settings and weights of the
encoder, normalisation, precision, device and versions. ``<clip>`` is a hash of the frames themselves. Names of videos
and indices of frames would not do: where a video is shorter than a clip the same frame is the target of one clip in
training and of another one in evaluation, padded windows may run backwards, and a corpus may be read from images,
videos or the prepared cache, which differ by some grey levels. Hashing 16 frames of 224x384 takes 2 ms, reading their
features 6 ms or more.

Processes may share a folder: every file is written beside its path and renamed. Compiling or rearranging an encoder
changes features by rounding alone and does not change their name. The files are torch's own and not of the format of
the other caches (:mod:`lightning_avsp.array_file`), because features may be bfloat16 and their order of axes in memory
must return with them.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_avsp import __version__
from lightning_avsp.errors import InputError
from lightning_avsp.files import atomic_write
from lightning_avsp.run_folder import write_json

log = logging.getLogger(__name__)

GIB = 2**30
SPARE_BYTES = 5 * GIB
"""Space left free on the disk, for checkpoints and others."""


def frames_key(frames: Tensor) -> str:
    """Return the key of a clip's features: hash of its frames, uint8 (T, H, W, 3), and of their shape."""
    digest = sha256(str(tuple(frames.shape)).encode())
    digest.update(frames.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:40]


class FeatureStore:
    """Features of clips in a folder.

    Args:
        folder: The folder; made if it is not there.
        max_gib: Size that the folder may reach, everything in it counted; then nothing is added. None: as large as the
            disk, less 5 GiB. Several processes that write at once may exceed it by a hundredth each.
        writes: Add features; if False, they are only read.

    Raises:
        InputError: If the limit is not positive, or the folder cannot be made.
    """

    def __init__(self, folder: Path, max_gib: float | None = None, writes: bool = True) -> None:
        if max_gib is not None and not max_gib > 0:
            raise InputError(f"feature_cache.max_gib must be above 0 or null, got {max_gib}")
        self.folder = Path(folder)
        self.limit = None if max_gib is None else int(max_gib * GIB)
        self.writes = writes
        self.read_clips = 0
        """Clips whose features were read."""
        self.computed_clips = 0
        """Clips whose features had to be computed."""
        # a look at the whole folder is slow, writing past the limit a little is harmless
        self._look_every = min(GIB, (self.limit or 100 * GIB) // 100)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._bytes = self._look()
        except OSError as error:
            raise InputError(
                f"feature_cache.folder={self.folder} cannot be used ({error}); give a folder that can be written"
            ) from error
        self._added = 0

    def path(self, encoder: str, clip: str) -> Path:
        """Return the file of a clip's features."""
        # 256 folders, since some file systems are slow with a million files in one
        return self.folder / encoder / clip[:2] / f"{clip}.pt"

    def read(self, encoder: str, clip: str) -> tuple[Tensor, ...] | None:
        """Read features of a clip, each (C, T, H, W) on the CPU; None if there are none.

        A damaged file counts as none: it is logged, removed, and can be written anew.
        """
        path = self.path(encoder, clip)
        try:
            # others may write into the folder: what lies there is data, never code
            content = torch.load(path, map_location="cpu", weights_only=True)
            # a file that was moved or renamed
            if content["clip"] != clip:
                raise ValueError(f"it contains clip {content['clip']}")
            return tuple(content["features"])
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001  # unpickling raises whatever the bytes provoke
            why = type(error).__name__  # its text may advise to switch the protection off
            log.warning("%s is damaged and computed anew (%s)", path, why)
            if self.writes:
                path.unlink(missing_ok=True)
            return None

    def write(self, encoder: str, clip: str, features: Sequence[Tensor]) -> None:
        """Add a clip's features, each (C, T, H, W) on any device; nothing happens where they lie already.

        A full disk, or a folder that can no longer be written, ends the writing and not the run.
        """
        path = self.path(encoder, clip)
        if not self.writes or path.exists():
            return
        size = sum(feature.numel() * feature.element_size() for feature in features)
        try:
            if not self._room(size):
                return
            # clones keep the order of axes in memory and not what else lies in the batch's memory
            kept = [feature.detach().to("cpu", copy=True) for feature in features]
            # after a power failure reading finds a short file out
            with atomic_write(path, fsync=False) as file:
                torch.save({"clip": clip, "features": kept}, file)
        except OSError as error:
            self._stop(f"it cannot be written ({error})")
            return
        self._bytes += size
        self._added += size

    def describe(self, encoder: str, facts: dict[str, str]) -> None:
        """Write a description of an encoder's folder, for people."""
        path = self.folder / encoder / "about.json"
        if not self.writes or path.is_file():
            return
        try:
            write_json(path, facts)
        except OSError as error:
            self._stop(f"it cannot be written ({error})")

    def summary(self) -> str:
        """Describe the clips read and computed since the last call; empty if there were none."""
        read, computed = self.read_clips, self.computed_clips
        self.read_clips = self.computed_clips = 0
        if not read + computed:
            return ""
        return (
            f"features of {read} of {read + computed} clips came from {self.folder}, {computed} were computed"
        )

    def size(self) -> tuple[int, float]:
        """Return the number of files of features under the folder, of every encoder, and their size in GiB."""
        sizes = [path.stat().st_size for path in self.folder.glob("*/*/*.pt")]
        return len(sizes), sum(sizes) / GIB

    def _room(self, size: int) -> bool:
        if self._added >= self._look_every:  # other processes write too
            self._bytes, self._added = self._look(), 0
        if self.limit is not None and self._bytes + size > self.limit:
            self._stop(f"it has reached max_gib={self.limit / GIB:g}")
        elif shutil.disk_usage(self.folder).free < size + SPARE_BYTES:
            self._stop(f"its disk has less than {SPARE_BYTES / GIB:g} GiB left")
        return self.writes

    def _look(self) -> int:
        """Measure the bytes in the folder."""
        total = 0
        for place, _, names in os.walk(self.folder):
            for name in names:
                with suppress(FileNotFoundError):  # finished or removed by another process meanwhile
                    total += Path(place, name).stat().st_size
        return total

    def _stop(self, why: str) -> None:
        if self.writes:
            log.warning("no more features are added to %s: %s; those in it are read", self.folder, why)
        self.writes = False


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
        """Return features of the named clips, an encoder's input ``video`` (B, 3, T, H, W); ``compute`` runs it.

        Raises:
            InputError: If the encoder was given other frames than the network was, which the clips' keys do not tell.
        """
        assert self._shown is not None
        clips, given = self._shown
        # by address: comparing the values would make the device wait
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
