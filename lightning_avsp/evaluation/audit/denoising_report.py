"""The audit of noise as text and as JSON, with its verdicts."""

from __future__ import annotations

from typing import Any

from lightning_avsp.evaluation.audit.denoising import INPUTS, DenoisingAudit
from lightning_avsp.evaluation.audit.report import AuditReport, common_notes, decimals, difference, plain
from lightning_avsp.evaluation.statistics import Interval

PRACTICALLY = 0.01
"""Mean change below which an input counts as unused, relative to the maps' standard deviation over pixels."""
ALIKE = 0.99
"""CC between samples above which they count as one map."""


def denoising_report(audit: DenoisingAudit) -> AuditReport:
    """Format the tables, notes, verdicts and record of an audit."""
    verdicts = {
        "inputs": _input_verdict(audit),
        "diversity": _diversity_verdict(audit),
        "gain": _gain_verdict(audit),
    }
    notes = [
        f"samples of a clip: CC between them {_interval(audit.over_videos(audit.agreement))}, standard deviation of a "
        f"pixel over them {_interval(audit.over_videos(audit.spread))} of the maps' spread over pixels",
        *common_notes(audit.frames, len(audit.videos), audit.synthetic),
        "exchanged at each visited step, on noised target maps: noise = another noise on the same map; map = the "
        "mirrored map under the same noise; t = a step half the process away",
    ]
    if audit.adaptive:
        notes.append("the network chooses a number of steps for each clip; here every clip takes the same")
    return AuditReport(
        record={**_record(audit), "verdicts": verdicts},
        tables=[
            (
                "mean change of a predicted pixel when one input is exchanged (over the maps' spread; largest)",
                _input_table(audit),
            ),
            (
                f"x0 after each step: one sample, and the mean of {audit.samples}; gain over the step before",
                _gain_table(audit),
            ),
        ],
        notes=notes,
        verdicts=list(verdicts.values()),
    )


def _input_verdict(audit: DenoisingAudit) -> str:
    """Describe the use of noisy map and t in one sentence."""
    if audit.ignores(*INPUTS):
        return (
            "the output is exactly independent of the noisy map and of t: a regressor; more steps and more samples "
            "change nothing"
        )
    if audit.ignores("noise", "map"):
        return "the output is exactly independent of the noisy map: a regressor, whose map depends on t alone"
    used = {
        name: max(shift.relative for (_, exchanged), shift in audit.shifts.items() if exchanged == name)
        for name in INPUTS
    }
    noisy = max(used["noise"], used["map"])
    first = (
        f"the output practically ignores the noisy map (at most {_percent(noisy)} of the maps' spread): close to a "
        "regressor"
        if noisy < PRACTICALLY
        else f"the output uses the noisy map (up to {_percent(noisy)} of the maps' spread)"
    )
    if audit.ignores("t"):
        return f"{first}; it is exactly independent of t"
    if used["t"] < PRACTICALLY:
        return f"{first}; it practically ignores t (at most {_percent(used['t'])})"
    return f"{first} and t (up to {_percent(used['t'])})"


def _diversity_verdict(audit: DenoisingAudit) -> str:
    """Describe the difference of a clip's samples in one sentence."""
    if audit.identical:
        return f"all {audit.samples} samples of every clip are the same map, to the last bit"
    alike = audit.over_videos(audit.agreement)
    text = f"CC between samples of a clip {_interval(alike)}"
    if alike.mean >= ALIKE:
        return f"the samples are nearly one map ({text}): averaging them gains little"
    return f"the samples differ ({text}): one sample is not the model's expectation, average several"


def _gain_verdict(audit: DenoisingAudit) -> str:
    """Describe the gain of the steps after the first in one sentence."""
    last = len(audit.timesteps) - 1
    if last == 0:
        return "one step: there is no gain to measure, give --steps to visit more"
    sentences = []
    for of_mean, title in ((False, "of one sample"), (True, f"of the mean of {audit.samples} samples")):
        found, _ = audit.gain(last, 0, "cc", of_mean)
        sentences.append(f"{_direction(found)} CC {title} ({difference(found)})")
    return f"from step 1 to step {last + 1}: " + "; ".join(sentences)


def _direction(found: Interval) -> str:
    if found.mean == found.low == found.high == 0:
        return "nothing changes in"
    if found.low > 0:
        return "denoising raises"
    return "denoising lowers" if found.high < 0 else "no change is shown in"


def _percent(share: float) -> str:
    """Format a share with two digits, however small: ``0.0021 %``."""
    return f"{100 * share:.2g} %"


def _interval(found: Interval) -> str:
    """Format ``0.812 [0.790, 0.835]``."""
    ends = "" if found.low != found.low else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{decimals(found.mean)}{ends}"


def _input_table(audit: DenoisingAudit) -> list[list[str]]:
    def cell(shift: Any) -> str:
        if shift.largest == 0:
            return "exactly 0"
        return f"{shift.mean:.2g} ({_percent(shift.relative)}; {shift.largest:.2g})"

    rows = [
        [str(t), *(cell(audit.shifts[index, name]) for name in INPUTS)]
        for index, t in enumerate(audit.timesteps)
    ]
    return [["t", *INPUTS], *rows]


def _gain_table(audit: DenoisingAudit) -> list[list[str]]:
    columns = [(metric, of_mean) for of_mean in (False, True) for metric in audit.metrics]
    rows = [["step", "t", *(f"{metric}, {'mean' if of_mean else 'one'}" for metric, of_mean in columns)]]
    for index, t in enumerate(audit.timesteps):
        row = [str(index + 1), str(t)]
        for metric, of_mean in columns:
            gain = difference(audit.gain(index, index - 1, metric, of_mean)[0]) if index else ""
            row.append(f"{decimals(audit.value(index, metric, of_mean))} {gain:>23}")
        rows.append(row)
    return rows


def _record(audit: DenoisingAudit) -> dict[str, Any]:
    videos, steps = len(audit.videos), []
    for index, t in enumerate(audit.timesteps):
        row: dict[str, Any] = {"step": index + 1, "t": t}
        for name in INPUTS:
            shift = audit.shifts[index, name]
            row[f"exchanged_{name}"] = {key: getattr(shift, key) for key in ("mean", "relative", "largest")}
        for of_mean, title in ((False, "sample"), (True, "mean")):
            for metric in audit.metrics:
                row[f"{title}/{metric}"] = audit.value(index, metric, of_mean)
                if index:
                    row[f"{title}/{metric}_gain"] = plain(*audit.gain(index, index - 1, metric, of_mean))
        steps.append(row)
    return {
        "synthetic": audit.synthetic,
        "frames": audit.frames,
        "videos": videos,
        "samples": audit.samples,
        "samples_identical": audit.identical,
        "adaptive_steps_overridden": audit.adaptive,
        "cc_between_samples": plain(audit.over_videos(audit.agreement), videos),
        "deviation_over_samples": plain(audit.over_videos(audit.spread), videos),
        "steps": steps,
    }
