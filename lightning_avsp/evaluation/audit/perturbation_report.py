"""The audits of audio and text as text and as JSON."""

from __future__ import annotations

from typing import Any

from lightning_avsp.evaluation.audit.perturbation import OWN, PerturbationAudit
from lightning_avsp.evaluation.audit.report import AuditReport, common_notes, decimals, difference, plain


def perturbation_report(audit: PerturbationAudit) -> AuditReport:
    """Format the tables, notes, verdicts and record of an audit."""
    verdicts = {group: audit.verdict(group) for group in audit.groups}
    overall, *others = verdicts.items()
    return AuditReport(
        record=_record(audit),
        tables=[
            (
                f"{metric}, {group} ({len(videos)}): value, and change against the own {audit.modality}",
                _table(audit, metric, group),
            )
            for group, videos in audit.groups.items()
            for metric in audit.metrics
        ],
        notes=[*common_notes(audit.frames, len(audit.groups[overall[0]]), audit.synthetic), *_notes(audit)],
        verdicts=[
            *(f"{found.finding}, in {group} ({found.reason})" for group, found in others),
            f"{overall[1].finding} ({overall[1].reason})",
        ],
    )


def _table(audit: PerturbationAudit, metric: str, group: str) -> list[list[str]]:
    titles = [f"{setting.name} (*)" if setting.commits else setting.name for setting in audit.settings]
    rows = [["input", *titles, "largest change of a pixel"]]
    for perturbation in audit.inputs:
        name, own = perturbation.name, perturbation.name == OWN
        row = [perturbation.title]
        for setting in audit.settings:
            moved = "" if own else difference(audit.change(name, setting.name, metric, group)[0])
            row.append(f"{decimals(audit.value(name, setting.name, metric, group))} {moved:>24}")
        largest = 0.0 if own else audit.changes[name].largest
        rows.append([*row, "" if own else "exactly 0" if largest == 0 else f"{largest:.2g}"])
    return rows


def _notes(audit: PerturbationAudit) -> list[str]:
    modality, notes = audit.modality, []
    if any(setting.commits for setting in audit.settings):
        notes.append(
            "(*) one sample over several steps commits to one object where a model is uncertain, which overstates the "
            f"effect of {modality}: the verdict is based on the other columns"
        )
    if not audit.encodes:
        notes.append(f"the network has no {modality} encoder: its maps do not depend on {modality}")
    if audit.exactly_zero:
        notes.append("no input moved any pixel of any map: all differences are exactly 0")
    notes += [
        f"no {modality} input: not possible with this network ({text})" for text in audit.refused.values()
    ]
    notes.append(
        f"rule: 'uses {modality}' if the own {modality} gains at least {audit.least:g} CC over another video's and the "
        f"interval of that gain lies above 0; 'does not use {modality}' if the interval lies within {audit.least:g} of "
        "0, or nothing moves; at every setting without (*)"
    )
    return notes


def _record(audit: PerturbationAudit) -> dict[str, Any]:
    rows = []
    for group in audit.groups:
        for perturbation in audit.inputs:
            for setting in audit.settings:
                row: dict[str, Any] = {
                    "group": group,
                    "input": perturbation.name,
                    "setting": setting.name,
                }
                for metric in audit.metrics:
                    key = (perturbation.name, setting.name, metric, group)
                    row[metric] = {"value": audit.value(*key), "change": plain(*audit.change(*key))}
                rows.append(row)
    return {
        "modality": audit.modality,
        "synthetic": audit.synthetic,
        "frames": audit.frames,
        "encodes": audit.encodes,
        "exactly_0": audit.exactly_zero,
        "refused": audit.refused,
        "inputs": {perturbation.name: perturbation.title for perturbation in audit.inputs},
        "settings": [vars(setting) for setting in audit.settings],
        "pixel_changes": {
            name: {"largest": moved.largest, "mean": moved.mean} for name, moved in audit.changes.items()
        },
        "least": audit.least,
        "verdicts": {group: vars(audit.verdict(group)) for group in audit.groups},
        "groups": {group: ["/".join(key) for key in keys] for group, keys in audit.groups.items()},
        "rows": rows,
        "videos": [
            {"input": name, "setting": setting, **record}
            for (name, setting), table in audit.tables.items()
            for record in table.video_records()
        ],
    }
