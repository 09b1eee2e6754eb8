"""Scores of predictions that any program made: protocols, intervals, reference rows, paired comparison."""

from lightning_avsp.evaluation.compare import Comparison, compare_results
from lightning_avsp.evaluation.evaluate import Evaluation, evaluate_predictions
from lightning_avsp.evaluation.protocols import PROTOCOLS, Protocol, find_protocol

__all__ = [
    "PROTOCOLS",
    "Comparison",
    "Evaluation",
    "Protocol",
    "compare_results",
    "evaluate_predictions",
    "find_protocol",
]
