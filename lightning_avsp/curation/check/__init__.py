"""Checks corpora on disk before a training does: every fault, with its path and a remedy."""

from lightning_avsp.curation.check.corpus import check_corpora
from lightning_avsp.curation.check.report import CheckReport, CorpusReport, Fault, Severity

__all__ = ["CheckReport", "CorpusReport", "Fault", "Severity", "check_corpora"]
