"""Import of videos with raw gaze into corpora of one's own, in the layout that every command reads."""

from lightning_avsp.curation.importing.importer import ImportReport, import_video
from lightning_avsp.curation.importing.settings import (
    Columns,
    EyeLink,
    Files,
    ImportSettings,
    MapSettings,
    Screen,
    TimeStamps,
)

__all__ = [
    "Columns",
    "EyeLink",
    "Files",
    "ImportReport",
    "ImportSettings",
    "MapSettings",
    "Screen",
    "TimeStamps",
    "import_video",
]
