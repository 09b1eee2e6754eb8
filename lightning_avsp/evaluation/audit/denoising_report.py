"""The noise audit as text and as JSON, with its verdicts."""

from __future__ import annotations

from typing import Any

from lightning_avsp.evaluation.audit.denoising import INPUTS, DenoisingAudit
from lightning_avsp.evaluation.audit.text import aligned, change, number, plain
from lightning_avsp.evaluation.statistics import LEVEL, Interval

PRACTICALLY = 0.01
"""Mean change below which an input counts as unused, relative to the maps' standard deviation over pixels."""
ALIKE = 0.99
"""CC between draws above which they count as one map."""


def input_verdict(audit: DenoisingAudit) -> str:
    """What the denoiser does with its noisy map and with t, in one sentence."""
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
        f"the output practically ignores the noisy map (at most {percent(noisy)} of the maps' spread): close to a "
        "regressor"
        if noisy < PRACTICALLY
        else f"the output uses the noisy map (up to {percent(noisy)} of the maps' spread)"
    )
    if audit.ignores("t"):
        return f"{first}; it is exactly independent of t"
    if used["t"] < PRACTICALLY:
        return f"{first}; it practically ignores t (at most {percent(used['t'])})"
    return f"{first} and t (up to {percent(used['t'])})"


def diversity_verdict(audit: DenoisingAudit) -> str:
    """How different draws of one clip are, in one sentence."""
    if audit.identical:
        return f"all {audit.samples} draws of every clip are the same map, to the last bit"
    alike = audit.over_videos(audit.agreement)
    text = f"CC between draws of a clip {interval(alike)}"
    if alike.mean >= ALIKE:
        return f"the draws are nearly one map ({text}): averaging them gains little"
    return f"the draws differ ({text}): one draw is not the model's expectation, average several"


def gain_verdict(audit: DenoisingAudit) -> str:
    """What the steps after the first are worth, in one sentence."""
    last = len(audit.timesteps) - 1
    if last == 0:
        return "one step: there is no gain to measure, give --steps to visit more"
    sentences = []
    for of_mean, what in ((False, "of one draw"), (True, f"of the mean of {audit.samples} draws")):
        found, _ = audit.gain(last, 0, "cc", of_mean)
        sentences.append(f"{_direction(found)} CC {what} ({change(found)})")
    return f"from step 1 to step {last + 1}: " + "; ".join(sentences)


def _direction(found: Interval) -> str:
    if found.mean == found.low == found.high == 0:
        return "nothing changes in"
    if found.low > 0:
        return "denoising raises"
    return "denoising lowers" if found.high < 0 else "no change is shown in"


def percent(share: float) -> str:
    """A share with two digits, however small: ``0.0021 %``."""
    return f"{100 * share:.2g} %"


def interval(found: Interval) -> str:
    """``0.812 [0.790, 0.835]``."""
    ends = "" if found.low != found.low else f" [{found.low:.3f}, {found.high:.3f}]"
    return f"{number(found.mean)}{ends}"


def denoising_lines(audit: DenoisingAudit) -> list[str]:
    """Tables, notes and verdicts, line by line."""
    lines = [
        "",
        "mean change of a predicted pixel when one input is exchanged (in brackets: over the maps' spread; largest)",
        *aligned(_input_table(audit)),
        "",
        f"x0 after each step: one draw, and the mean of {audit.samples} draws; gain over the step before",
        *aligned(_gain_table(audit)),
        "",
        f"draws of a clip: CC between them {interval(audit.over_videos(audit.agreement))}, standard deviation of a "
        f"pixel over them {interval(audit.over_videos(audit.spread))} of the maps' spread over pixels",
        "",
        f"{audit.frames} frames of {len(audit.videos)} videos; means over videos of means over frames; [..]: "
        f"{LEVEL:.0%} bootstrap interval over videos",
        "exchanged at each visited step, on noised target maps: noise = another draw of noise on the same map; map = "
        "the mirrored map under the same noise; t = a step half the process away",
    ]
    if audit.synthetic:
        lines.append(f"SYNTHETIC data, no film that people watched: {', '.join(audit.synthetic)}")
    verdicts = (input_verdict(audit), diversity_verdict(audit), gain_verdict(audit))
    return [*lines, "", *(f"verdict: {text}" for text in verdicts)]


def _input_table(audit: DenoisingAudit) -> list[list[str]]:
    rows = [["t", *INPUTS]]
    for place, t in enumerate(audit.timesteps):
        cells = []
        for name in INPUTS:
            shift = audit.shifts[place, name]
            cells.append(
                "exactly 0"
                if shift.largest == 0
                else f"{shift.mean:.2g} ({percent(shift.relative)}; {shift.largest:.2g})"
            )
        rows.append([str(t), *cells])
    return rows


def _gain_table(audit: DenoisingAudit) -> list[list[str]]:
    columns = [(metric, of_mean) for of_mean in (False, True) for metric in audit.metrics]
    rows = [["step", "t", *(f"{metric}, {'mean' if of_mean else 'draw'}" for metric, of_mean in columns)]]
    for place, t in enumerate(audit.timesteps):
        cells = [
            f"{number(audit.value(place, metric, of_mean))} "
            + ("" if place == 0 else change(audit.gain(place, place - 1, metric, of_mean)[0])).rjust(23)
            for metric, of_mean in columns
        ]
        rows.append([str(place + 1), str(t), *cells])
    return rows


def denoising_json(audit: DenoisingAudit) -> dict[str, Any]:
    """Everything behind the text."""
    videos = len(audit.videos)
    steps = []
    for place, t in enumerate(audit.timesteps):
        row: dict[str, Any] = {"step": place + 1, "t": t}
        for name in INPUTS:
            shift = audit.shifts[place, name]
            row[f"exchanged_{name}"] = {
                "mean": shift.mean,
                "relative": shift.relative,
                "largest": shift.largest,
            }
        for of_mean, what in ((False, "draw"), (True, "mean")):
            for metric in audit.metrics:
                row[f"{what}/{metric}"] = audit.value(place, metric, of_mean)
                if place:
                    row[f"{what}/{metric}_gain"] = plain(*audit.gain(place, place - 1, metric, of_mean))
        steps.append(row)
    return {
        "synthetic": audit.synthetic,
        "frames": audit.frames,
        "videos": videos,
        "samples": audit.samples,
        "draws_identical": audit.identical,
        "cc_between_draws": plain(audit.over_videos(audit.agreement), videos),
        "deviation_over_draws": plain(audit.over_videos(audit.spread), videos),
        "steps": steps,
        "verdicts": {
            "inputs": input_verdict(audit),
            "diversity": diversity_verdict(audit),
            "gain": gain_verdict(audit),
        },
    }
