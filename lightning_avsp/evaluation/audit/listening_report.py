"""The audio audit as text and as JSON."""

from __future__ import annotations

from typing import Any

from lightning_avsp.evaluation.audit.draws import Setting
from lightning_avsp.evaluation.audit.listening import LEAST, ListeningAudit, verdict
from lightning_avsp.evaluation.audit.sounds import TRUE
from lightning_avsp.evaluation.audit.text import aligned, change, number, plain
from lightning_avsp.evaluation.statistics import LEVEL

COMMITS = (
    "a map drawn once over several steps commits to one object where a model is uncertain, which overstates what "
    "sound does: the verdict goes by the other columns"
)


def listening_lines(audit: ListeningAudit, least: float = LEAST) -> list[str]:
    """Tables, notes and the verdict, line by line."""
    lines = []
    for group, videos in audit.groups.items():
        for metric in audit.metrics:
            lines += ["", f"{metric}, {group} ({len(videos)}): value, and change against its own sound"]
            lines += aligned(_table(audit, metric, group))
        found = verdict(audit, group, least)
        lines.append(f"-> in these videos: {found.finding} ({found.reason})")
    lines += ["", *_notes(audit, least)]
    overall = verdict(audit, next(iter(audit.groups)), least)
    return [*lines, "", f"verdict: {overall.finding}"]


def _table(audit: ListeningAudit, metric: str, group: str) -> list[list[str]]:
    rows = [["sound", *(_title(setting) for setting in audit.settings), "largest change of a pixel"]]
    for sound in audit.sounds:
        cells = [
            f"{number(audit.value(sound.name, setting.name, metric, group))} "
            + (
                "" if sound.name == TRUE else change(audit.change(sound.name, setting.name, metric, group)[0])
            ).rjust(24)
            for setting in audit.settings
        ]
        moved = "" if sound.name == TRUE else _moved(audit.changes[sound.name].largest)
        rows.append([sound.title, *cells, moved])
    return rows


def _title(setting: Setting) -> str:
    return f"{setting.name} (*)" if setting.commits else setting.name


def _moved(largest: float) -> str:
    return "exactly 0" if largest == 0 else f"{largest:.2g}"


def _notes(audit: ListeningAudit, least: float) -> list[str]:
    videos = len(next(iter(audit.groups.values())))
    notes = [
        f"{audit.frames} frames of {videos} videos; means over videos of means over frames; in brackets the "
        f"{LEVEL:.0%} bootstrap interval over videos of the paired difference"
    ]
    if audit.synthetic:
        notes.append(f"SYNTHETIC data, no film that people watched: {', '.join(audit.synthetic)}")
    if any(setting.commits for setting in audit.settings):
        notes.append(f"(*) {COMMITS}")
    if not audit.hears:
        notes.append("the network has no audio encoder: sound does not reach its maps")
    if audit.deaf:
        notes.append("no sound moved any pixel of any map: all differences are exactly 0")
    notes += [f"no sound input: not possible with this network ({text})" for text in audit.refused.values()]
    notes.append(
        f"rule: 'listens' if true sound is worth at least {least:g} CC against another video's and the interval of "
        f"that worth lies above 0; 'does not listen' if the interval lies within {least:g} of 0, or nothing moves; at "
        "every setting without (*)"
    )
    return notes


def listening_json(audit: ListeningAudit, least: float = LEAST) -> dict[str, Any]:
    """Everything behind the text, with the scores of each video."""
    rows = []
    for group in audit.groups:
        for sound in audit.sounds:
            for setting in audit.settings:
                row: dict[str, Any] = {"group": group, "sound": sound.name, "setting": setting.name}
                for metric in audit.metrics:
                    found, videos = audit.change(sound.name, setting.name, metric, group)
                    value = audit.value(sound.name, setting.name, metric, group)
                    row[metric] = {"value": value, "change": plain(found, videos)}
                rows.append(row)
    return {
        "synthetic": audit.synthetic,
        "frames": audit.frames,
        "hears": audit.hears,
        "exactly_0": audit.deaf,
        "refused": audit.refused,
        "sounds": {sound.name: sound.title for sound in audit.sounds},
        "settings": [{**vars(s), "commits": s.commits} for s in audit.settings],
        "pixel_changes": {
            name: {"largest": moved.largest, "mean": moved.mean} for name, moved in audit.changes.items()
        },
        "least": least,
        "verdicts": {group: vars(verdict(audit, group, least)) for group in audit.groups},
        "groups": {group: ["/".join(key) for key in keys] for group, keys in audit.groups.items()},
        "rows": rows,
        "videos": [
            {"sound": sound, "setting": setting, **record}
            for (sound, setting), table in audit.tables.items()
            for record in table.video_records()
        ],
    }
