"""Exports of eye trackers as they come: their columns, units and origins, and the headers that identify them.

Sources: the export pages of Pupil Labs and Tobii Pro Lab, the data page of DIEM (30 frames per second from 1, event 1
is a fixation), the header of GazeCom's ``.coord`` files. EyeLink recordings (``.asc``) are read by pymovements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from lightning_avsp.curation.importing.settings import (
    Columns,
    Format,
    ImportSettings,
    Screen,
    TimeStamps,
    TimeUnit,
)


@dataclass(frozen=True)
class Preset:
    """Settings of one export."""

    kind: Format
    columns: Columns
    time: TimeStamps
    screen: Screen = field(default_factory=Screen)
    names: tuple[str, ...] = ()
    """Names of the columns of a table without a header."""
    identifying: bool = True
    """True if no other export has these columns, so that it is recognised without being named."""
    note: str = ""
    """Remark for the user."""


# Neon counts y from the top, Pupil Core from the bottom
_UNIT, _UNIT_UP = Screen("unit"), Screen("unit", origin="bottom_left")
PRESETS = (
    Preset(
        "neon",
        Columns(
            "recording id",
            "timestamp [ns]",
            "gaze position on surface x [normalized]",
            "gaze position on surface y [normalized]",
            "gaze detected on surface",
        ),
        TimeStamps("ns"),
        _UNIT,
    ),
    Preset(
        "neon",
        Columns("recording id", "timestamp [ns]", "gaze x [px]", "gaze y [px]", "worn"),
        TimeStamps("ns"),
        note="x and y are pixels of the scene camera: right for its own video, not for one that was shown on a screen",
    ),
    Preset(
        "pupil",
        # 0.6 is what Pupil Labs' documentation calls useful
        Columns("", "gaze_timestamp", "x_norm", "y_norm", "confidence", ">=0.6"),
        TimeStamps("s"),
        _UNIT_UP,
    ),
    Preset(
        "pupil",
        Columns("", "gaze_timestamp", "norm_pos_x", "norm_pos_y", "confidence", ">=0.6"),
        TimeStamps("s"),
        _UNIT_UP,
        note="x and y are shares of the scene camera's image: right for its own video, not for one that was shown on a "
        "screen",
    ),
    *(
        Preset(
            "tobii",
            Columns(
                "Participant name",
                stamp,
                f"Gaze point X{of}",
                f"Gaze point Y{of}",
                "Validity left,Validity right",
            ),
            TimeStamps(cast("TimeUnit", unit)),
        )
        for stamp, unit in (
            ("Recording timestamp [ms]", "ms"),
            # two letters that look alike: the Greek mu and the micro sign
            ("Recording timestamp [μs]", "us"),
            ("Recording timestamp [µs]", "us"),
            ("Recording timestamp", "ms"),
        )
        for of in ("", " [DACS px]")
    ),
    Preset(
        "diem",
        Columns("", "frame", "left_x,right_x", "left_y,right_y", "left_event,right_event", "1"),
        TimeStamps("frame", 1),
        names=(
            *("frame", "left_x", "left_y", "left_dilation", "left_event"),
            *("right_x", "right_y", "right_dilation", "right_event"),
        ),
        note="samples of fixations alone (event 1); frames count from 1",
    ),
    Preset(
        "coord",
        Columns("", "time", "x", "y", "confidence", ">0"),
        TimeStamps("us"),
        names=("time", "x", "y", "confidence"),
        identifying=False,  # four columns of numbers; the two lines above them do identify it
    ),
    Preset(
        "webgazer",
        Columns("participant", "t", "x", "y", ""),
        TimeStamps("ms", "first"),
        identifying=False,
        note="the clock of each viewer begins with the first sample",
    ),
)
"""Known exports, the first that fits wins."""


def find_preset(kind: Format, header: Sequence[str], numeric: bool, own: Columns) -> Preset | None:
    """Find the export that a table is; None for one with columns of its own.

    Args:
        kind: Format that was asked for.
        header: Cells of the first line.
        numeric: True if they are numbers, so that the table has no header.
        own: Columns that were asked for; an export is looked for only where they are the default and absent.
    """
    # a user's own columns, or the default ones in the header, are meant as they are
    known = [preset for preset in PRESETS if kind in ("auto", preset.kind)]
    if kind == "table" or (kind == "auto" and (own != Columns() or {own.x, own.y} <= set(header))):
        return None
    if numeric:
        fitting = [
            each for each in known if len(each.names) == len(header) and (each.identifying or kind != "auto")
        ]
        # Events of DIEM are -1 (lost), 0 (blink), 1 (fixation) and 2 (saccade).
        events = {header[4], header[8]} if len(header) == 9 else {"1"}
        return fitting[0] if fitting and (kind != "auto" or events <= {"-1", "0", "1", "2"}) else None
    for preset in known:
        # columns of time and position suffice: exports differ in the others by version and by choice
        wanted = {preset.columns.time, *preset.columns.x.split(","), *preset.columns.y.split(",")}
        if not preset.names and wanted <= set(header) and (preset.identifying or kind != "auto"):
            return preset
    return None


def apply_preset(settings: ImportSettings, preset: Preset) -> ImportSettings:
    """Settings of an export, with everything in its place that was asked for by itself."""
    merged = {}
    for group in ("columns", "time", "screen"):
        own = getattr(settings, group)
        # what differs from the default was asked for, and an export does not replace it
        given = {key: value for key, value in vars(own).items() if value != getattr(type(own)(), key)}
        merged[group] = replace(getattr(preset, group), **given)
    return replace(settings, **merged)
