"""Audio of videos, loaded once each and kept in a small memory per process."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from lightning_avsp.data.cache.sources import SUFFIXES, prepared_wave
from lightning_avsp.media.audio import AudioInput, Wave
from lightning_avsp.media.audio_track import load_audio


class WaveStore:
    """Loads, mixes and resamples an audio file once and keeps the last used ones, up to a number of bytes.

    Each dataloader worker has its own. Clips of one video share their audio, and resampling a video's audio takes
    longer than all other work on a clip's audio.

    Args:
        config: Audio input, which defines the sample rate.
        capacity_bytes: Memory for samples (256 MiB: over an hour at 16 kHz). The newest wave is kept whatever
            its size.
    """

    def __init__(self, config: AudioInput, capacity_bytes: int = 1 << 28) -> None:
        self.config = config
        self.capacity_bytes = capacity_bytes
        self._kept: OrderedDict[Path, Wave] = OrderedDict()

    def get(self, path: Path) -> Wave:
        """Return the audio of a file, ready for the input's ``cut``."""
        wave = self._kept.pop(path, None)
        if wave is None:
            wave = self._load(path)
        self._kept[path] = wave  # last used, last out
        while len(self._kept) > 1 and self.kept_bytes > self.capacity_bytes:
            self._kept.popitem(last=False)
        return wave

    def _load(self, path: Path) -> Wave:
        if path.suffix in SUFFIXES:
            found = prepared_wave(path, self.config.target_rate)
            if isinstance(found, Wave):
                return found
            path = found
        return self.config.prepare(*load_audio(path))

    @property
    def kept_bytes(self) -> int:
        """Number of bytes of samples in memory."""
        return sum(wave.samples.numel() * wave.samples.element_size() for wave in self._kept.values())

    def __len__(self) -> int:
        """Return the number of files in memory."""
        return len(self._kept)
