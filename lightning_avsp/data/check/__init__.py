"""Finds what is wrong with a corpus on disk before any training does: every fault, its path, and what to do."""

from lightning_avsp.data.check.corpus import check_root
from lightning_avsp.data.check.faults import KINDS, Fault, FaultKind, Severity
from lightning_avsp.data.check.report import CheckReport, CorpusReport

__all__ = ["KINDS", "CheckReport", "CorpusReport", "Fault", "FaultKind", "Severity", "check_root"]
