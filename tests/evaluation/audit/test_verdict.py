"""The rule of the audio audit, on scores made up for it."""

import pytest

from lightning_avsp.evaluation.audit.perturbation import PerturbationAudit, Setting, perturbations
from lightning_avsp.evaluation.audit.report import MapChange
from lightning_avsp.metrics import VideoAverage

SETTINGS = {
    "one": Setting("1 step", 1),
    "steps": Setting("4 steps", commits=True),
    "mean": Setting("mean of 4 samples", samples=4),
}


def audit(least: float = 0.01, **gains: list[float]) -> PerturbationAudit:
    """An audit in which own audio gains so much CC in each video, by setting."""
    found = PerturbationAudit("audio", perturbations("audio", 0), ("cc",), least)
    found.settings = tuple(SETTINGS[name] for name in gains)
    found.changes = {"mismatched": MapChange(largest=0.5)}
    for name, values in gains.items():
        for given in ("own", "mismatched"):
            average = VideoAverage(("cc",))
            for index, gain in enumerate(values):
                for frame in (1, 2):
                    average.add(("AVAD", f"V{index}", frame), {"cc": 0.5 - (given != "own") * gain})
            found.tables[given, SETTINGS[name].name] = average.table()
        found.groups = {"all videos": [("AVAD", f"V{index}") for index in range(len(values))]}
    return found


LISTENS = [0.2, 0.3, 0.25, 0.28, 0.22]
NOTHING = [0.001, -0.002, 0.003, -0.001, 0.0]
MIXED = [0.4, -0.3, 0.2, -0.1, 0.1]
WORSE = [-0.2, -0.3, -0.25, -0.2, -0.3]
SMALL = [0.004, 0.005, 0.006, 0.005, 0.005]


BOTH = ("at 1 step", "at mean of 4 samples")


@pytest.mark.parametrize(
    ("found", "finding", "reasons"),
    [
        (audit(one=LISTENS, mean=LISTENS), "uses audio", BOTH),
        (audit(one=NOTHING, mean=NOTHING), "does not use audio", BOTH),
        (audit(one=SMALL, mean=SMALL), "does not use audio", BOTH),  # above 0, but too small to matter
        (audit(one=MIXED, mean=MIXED), "undecided", BOTH),
        (audit(one=LISTENS, mean=NOTHING), "undecided", BOTH),  # all settings must agree
        (audit(one=LISTENS, mean=MIXED), "undecided", BOTH),
        (audit(one=WORSE, mean=WORSE), "undecided", BOTH),  # audio moves the maps, but does not help
        (audit(one=[0.3], mean=[0.3]), "undecided", BOTH),  # one video has no interval
        # a setting that commits decides nothing
        (audit(one=NOTHING, steps=LISTENS, mean=NOTHING), "does not use audio", ("CC +0.0002 [",)),
        (audit(one=LISTENS, steps=WORSE, mean=LISTENS), "uses audio", ("CC +0.250 [",)),
        # the least gain is an option
        (audit(least=0.001, one=SMALL), "uses audio", ("CC +0.005 [",)),
        (audit(least=0.4, one=LISTENS), "does not use audio", ("within 0.4 of 0",)),
        (audit(one=WORSE), "undecided", ("CC -0.250 [",)),
    ],
)
def test_the_rule_and_its_reasons(found: PerturbationAudit, finding: str, reasons: tuple[str, ...]) -> None:
    assert found.verdict().finding == finding
    assert all(reason in found.verdict().reason for reason in reasons)
