"""The rule of the audio audit, on scores made up for it."""

import pytest
from lightning_avsp.evaluation.audit.draws import Setting
from lightning_avsp.evaluation.audit.listening import Change, ListeningAudit, verdict
from lightning_avsp.evaluation.audit.sounds import sounds_of

from lightning_avsp.metrics import VideoAverage

ONE, STEPS, MEAN = Setting("1 step", 1, 1), Setting("4 steps", 4, 1), Setting("mean of 4 draws", 4, 4)


def audit(**worths: list[float]) -> ListeningAudit:
    """An audit in which true sound is worth so much CC in each video, by setting."""
    settings = {"one": ONE, "steps": STEPS, "mean": MEAN}
    found = ListeningAudit(sounds_of(0), tuple(settings[name] for name in worths), ("cc",))
    found.changes = {"other_video": Change(largest=0.5)}
    for name, values in worths.items():
        for sound in ("true", "other_video"):
            average = VideoAverage(("cc",))
            for index, worth in enumerate(values):
                for frame in (1, 2):
                    average.add(("AVAD", f"V{index}", frame), {"cc": 0.5 - (sound != "true") * worth})
            found.tables[sound, settings[name].name] = average.table()
        found.groups = {"all videos": [("AVAD", f"V{index}") for index in range(len(values))]}
    return found


LISTENS = [0.2, 0.3, 0.25, 0.28, 0.22]
NOTHING = [0.001, -0.002, 0.003, -0.001, 0.0]
MIXED = [0.4, -0.3, 0.2, -0.1, 0.1]
WORSE = [-0.2, -0.3, -0.25, -0.2, -0.3]
SMALL = [0.004, 0.005, 0.006, 0.005, 0.005]


@pytest.mark.parametrize(
    ("one", "mean", "finding"),
    [
        (LISTENS, LISTENS, "listens"),
        (NOTHING, NOTHING, "does not listen"),
        (SMALL, SMALL, "does not listen"),  # surely above 0, but too small to matter
        (MIXED, MIXED, "undecided"),
        (LISTENS, NOTHING, "undecided"),  # all settings must agree
        (LISTENS, MIXED, "undecided"),
        (WORSE, WORSE, "undecided"),  # sound has a part, but true sound is no help
        ([0.3], [0.3], "undecided"),  # one video has no interval
    ],
)
def test_rule(one: list[float], mean: list[float], finding: str) -> None:
    found = verdict(audit(one=one, mean=mean), "all videos")
    assert found.finding == finding
    assert "at 1 step" in found.reason
    assert "at mean of 4 draws" in found.reason


def test_a_setting_that_commits_decides_nothing() -> None:
    assert verdict(audit(one=NOTHING, steps=LISTENS, mean=NOTHING), "all videos").finding == "does not listen"
    assert verdict(audit(one=LISTENS, steps=WORSE, mean=LISTENS), "all videos").finding == "listens"


def test_the_least_is_an_option() -> None:
    assert verdict(audit(one=SMALL), "all videos", least=0.001).finding == "listens"
    assert verdict(audit(one=LISTENS), "all videos", least=0.4).finding == "does not listen"


def test_the_sign_of_the_worth_is_said() -> None:
    assert "CC +0.250 [" in verdict(audit(one=LISTENS), "all videos").reason
    assert "CC -0.250 [" in verdict(audit(one=WORSE), "all videos").reason
