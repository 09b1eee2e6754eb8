import json
from pathlib import Path

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import RunFolder, read_run_json, write_json


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    RunFolder(tmp_path / "new").refuse_overwriting()


def test_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_json(run.record, {"finished": True})
    with pytest.raises(InputError, match=r"finished run.*--overwrite=true"):
        run.refuse_overwriting()


def test_an_unfinished_run_asks_to_be_resumed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_json(run.record, {"finished": False})
    run.refuse_overwriting()  # nothing was kept yet, so nothing would be lost
    run.checkpoints.mkdir()
    (run.checkpoints / "last.ckpt").touch()
    with pytest.raises(InputError, match="--ckpt_path last"):
        run.refuse_overwriting()


def test_checkpoints_by_name_and_by_path(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(InputError, match=r"best.ckpt.*holds none"):
        run.checkpoint("best")
    run.checkpoints.mkdir()
    (run.checkpoints / "last.ckpt").touch()
    assert run.checkpoint("last") == run.checkpoints / "last.ckpt"
    assert run.checkpoint(str(run.checkpoints / "last.ckpt")).is_file()
    with pytest.raises(InputError, match=r"holds last.ckpt"):
        run.checkpoint("best")


def test_json_writes_not_a_number_as_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": float("nan"), "y": [1.5, float("inf")], "z": tmp_path, "n": None})
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "x": None,
        "y": [1.5, None],
        "z": str(tmp_path),
        "n": None,
    }


def test_overwriting_leaves_no_checkpoint_of_the_earlier_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_json(run.record, {"finished": True})
    run.checkpoints.mkdir()
    for name in ("last.ckpt", "best.ckpt", "mine.ckpt"):
        (run.checkpoints / name).touch()
    run.clear()
    assert [path.name for path in run.checkpoints.iterdir()] == ["mine.ckpt"]  # not ours to remove
    run.refuse_overwriting()


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", "null"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    run.record.write_text(text)
    with pytest.raises(InputError, match=r"run.json (is damaged|holds a)"):
        run.refuse_overwriting()
    with pytest.raises(InputError, match=r"run.json"):
        read_run_json(run.record)
