"""lightning_avsp: train, compare and trust audio-visual saliency models.

Given a video and its sound, predict where people look. :func:`load` returns a trained model, whose ``predict`` returns
the maps of a video, and :func:`evaluate` scores maps that any program made. Networks live in
:mod:`lightning_avsp.papers`, the common diffusion process in :mod:`lightning_avsp.diffusion`, data in
:mod:`lightning_avsp.data`, metrics in :mod:`lightning_avsp.metrics`. Importing this package imports nothing heavy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_avsp.api import Model, Prediction, evaluate, load

__all__ = ["Model", "Prediction", "evaluate", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On first use: torch takes seconds to import, which `avsp --help` need not wait for
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lightning_avsp import api

    return getattr(api, name)
