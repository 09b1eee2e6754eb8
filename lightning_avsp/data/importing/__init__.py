"""Builds a corpus of one's own from films and tables of raw gaze, in the layout that every command reads."""

from lightning_avsp.data.importing.importer import ImportReport, import_video
from lightning_avsp.data.importing.settings import ImportSettings

__all__ = ["ImportReport", "ImportSettings", "import_video"]
