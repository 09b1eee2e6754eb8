"""Saliency metrics: functions, torchmetrics classes, and averages over frames, videos and corpora."""

from typing import TYPE_CHECKING, Any

from lightning_avsp.metrics.averages import FrameKey, FrameRow, ScoreTable, VideoAverage, VideoRow
from lightning_avsp.metrics.saliency_metrics import SaliencyMetrics

if TYPE_CHECKING:
    from lightning_avsp.metrics.modules import (
        CC,
        KLD,
        NSS,
        SIM,
        AUCJudd,
        AUCShuffled,
        AUCShuffledExact,
        InformationGain,
    )

__all__ = [
    "CC",
    "KLD",
    "NSS",
    "SIM",
    "AUCJudd",
    "AUCShuffled",
    "AUCShuffledExact",
    "FrameKey",
    "FrameRow",
    "InformationGain",
    "SaliencyMetrics",
    "ScoreTable",
    "VideoAverage",
    "VideoRow",
]

if not TYPE_CHECKING:  # else a type checker would take every name for one of this module's

    def __getattr__(name: str) -> Any:
        """The torchmetrics classes, on first use: torchmetrics takes seconds to import."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from lightning_avsp.metrics import modules

        return getattr(modules, name)
