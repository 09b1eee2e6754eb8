import json
import time
from pathlib import Path

import pytest

from lightning_avsp.demo.jobs import Job, run_jobs
from lightning_avsp.demo.plan import DemoPlan, find_film
from lightning_avsp.errors import AVSPError, InputError


def test_jobs_run_their_commands_in_order_and_log_them(tmp_path: Path) -> None:
    said: list[str] = []
    job = Job("both", (("platform",), ("sysconfig",)), tmp_path / "logs" / "both.log")
    run_jobs([job], 2, said.append)
    assert "Platform" in job.log.read_text()
    assert said[0] == "started   both"
    assert said[1].startswith("finished  both")


def test_a_failure_shows_the_end_of_its_log_and_stops_the_others(tmp_path: Path) -> None:
    slow = Job("slow", (("timeit", "-n1", "-r1", "import time; time.sleep(60)"),), tmp_path / "slow.log")
    bad = Job("bad", (("no_such_module_anywhere",),), tmp_path / "bad.log")
    start = time.monotonic()
    with pytest.raises(
        AVSPError, match=r"'bad' failed with code 1.*[\s\S]*No module named no_such_module_anywhere"
    ):
        run_jobs([slow, bad], 2, lambda line: None)
    assert time.monotonic() - start < 30


def plan(out: Path, **changes: object) -> DemoPlan:
    settings = {"models": {"video only": "demo_video_only"}, "videos": 15, "steps": 10, "every": 20}
    return DemoPlan(out=out, **{**settings, **changes})  # type: ignore[arg-type]


def test_a_second_call_repeats_nothing_that_is_finished(tmp_path: Path) -> None:
    demo = plan(tmp_path)
    demo.check()
    first = demo.jobs([0, 1])
    assert [job.name for job in first] == ["video only, seed 0", "video only, seed 1", "centre prior"]
    assert [len(job.commands) for job in first] == [2, 2, 1]  # training and test; test alone
    run = demo.run_folder("demo_video_only", 0)
    run.record.write_text(json.dumps({"finished": True}))
    assert len(demo.jobs([0])[0].commands) == 1
    run.checkpoints.mkdir()
    (run.checkpoints / "last.ckpt").touch()
    run.record.write_text(json.dumps({"finished": False}))
    assert "--ckpt_path=last" in demo.jobs([0])[0].commands[0]
    (run.results / "demo.json").write_text("[]")
    assert [job.name for job in demo.jobs([0])] == ["centre prior"]


def test_results_of_other_settings_are_not_mixed_in(tmp_path: Path) -> None:
    plan(tmp_path).check()
    with pytest.raises(InputError, match=r"'steps': 10.*'steps': 20"):
        plan(tmp_path, steps=20).check()


def test_unknown_rows_and_missing_films_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown models"):
        plan(tmp_path, models={"everything": ""}).check()
    with pytest.raises(InputError, match=r"nowhere\.mp4"):
        find_film(tmp_path / "nowhere.mp4")
