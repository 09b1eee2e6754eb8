"""Corpora, clips, audio and dataloaders. The heavy parts are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_avsp.data.catalogue import CATALOGUE
    from lightning_avsp.data.datamodule import AVSaliencyDataModule
    from lightning_avsp.media.audio import LogMel
    from lightning_avsp.structures import ClipPolicy

__all__ = ["CATALOGUE", "AVSaliencyDataModule", "ClipPolicy", "LogMel"]

_HOMES = {
    "AVSaliencyDataModule": "lightning_avsp.data.datamodule",
    "CATALOGUE": "lightning_avsp.data.catalogue",
    "ClipPolicy": "lightning_avsp.structures",
    "LogMel": "lightning_avsp.media.audio",
}


def __getattr__(name: str) -> Any:
    # So that the parts without Lightning, which `avsp predict` uses, do not import it
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
