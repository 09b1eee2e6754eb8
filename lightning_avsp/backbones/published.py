"""Published weight files: address, terms, place on this machine, and download."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torchvision.models import WeightsEnum

from lightning_avsp.errors import InputError
from lightning_avsp.files import sha256_of

_HASH = re.compile(r"-([a-f0-9]{8})\.")
"""The first digits of a file's SHA-256, which by PyTorch's convention are part of its name."""


def weights_folder() -> Path:
    """Return the folder of published weights: torch's own, which TORCH_HOME moves."""
    return Path(torch.hub.get_dir()) / "checkpoints"


@dataclass(frozen=True)
class WeightSource:
    """Origin of published weights of one encoder."""

    key: str
    """Value of a ``*_weights`` option that names them."""
    name: str
    """Name of the weights, as the publisher calls them."""
    url: str
    """Address of the file; of a page where it cannot be fetched alone."""
    licence: str
    """Terms under which the publisher distributes it."""
    megabytes: float
    """Size of the file."""
    files: tuple[str, ...] = ()
    """Names of the file in the folder of weights, where they are not the last part of `url`."""
    fetchable: bool = True
    """False where `url` is a page or a package that holds the file."""

    @classmethod
    def torchvision(cls, weights: WeightsEnum) -> WeightSource:
        """Describe weights that torchvision publishes, trained on Kinetics-400."""
        licence = "published with torchvision (BSD-3-Clause); trained on Kinetics-400"
        return cls("kinetics400", f"torchvision {weights}", weights.url, licence, weights.meta["_file_size"])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the file, of which one must be in the folder; a converted one counts too."""
        names = self.files or (self.url.rpartition("/")[2],)
        return (*names, *(f"{Path(name).stem}.safetensors" for name in names))

    def find(self) -> Path | None:
        """Locate the file in the folder of weights, or return None."""
        return next((path for name in self.names if (path := weights_folder() / name).is_file()), None)

    def fetch(self) -> Path:
        """Locate the file, or download it; where its name holds a hash, the download is checked by it.

        Raises:
            InputError: If it is not there and cannot be downloaded; names the file and its place.
        """
        if (path := self.find()) is not None:
            return path
        target = weights_folder() / self.names[0]
        reason = "it is distributed inside a package"
        if self.fetchable:
            target.parent.mkdir(parents=True, exist_ok=True)
            match = _HASH.search(target.name)
            try:
                # moves the file to its place when it is complete
                torch.hub.download_url_to_file(self.url, str(target), match and match[1], progress=False)
                return target
            # RuntimeError: another hash than that in the name
            except (URLError, OSError, RuntimeError) as error:
                reason = str(error)
        raise InputError(
            f"{self.key} ({self.name}) cannot be downloaded ({reason}); get {self.names[0]} from {self.url} and put it "
            f"at {target}, or give its path; ..._weights=null starts at random, of a frozen encoder ..._weights=random"
        )


def hash_fits(path: Path) -> bool | None:
    """Compare a file with the hash in its name; None where the name holds none."""
    match = _HASH.search(path.name)
    if match is None:
        return None
    return sha256_of(path).startswith(match[1])
