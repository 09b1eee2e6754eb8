import json
from pathlib import Path

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import RunFolder, read_run_json, write_json


def test_a_run_is_not_overwritten_but_a_folder_that_holds_nothing_may_be_used(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "new")
    run.refuse_overwriting()
    write_json(run.record, {"finished": False})
    run.refuse_overwriting()  # nothing was kept yet, so nothing would be lost
    run.checkpoints.mkdir()
    for name in ("last.ckpt", "best.ckpt", "mine.ckpt"):
        (run.checkpoints / name).touch()
    with pytest.raises(InputError, match="--ckpt_path last"):
        run.refuse_overwriting()
    write_json(run.record, {"finished": True})
    with pytest.raises(InputError, match=r"finished run.*--overwrite=true"):
        run.refuse_overwriting()
    run.clear()
    assert [path.name for path in run.checkpoints.iterdir()] == ["mine.ckpt"]  # not ours to remove
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
    found = json.loads((tmp_path / "a.json").read_text())
    assert found == {"x": None, "y": [1.5, None], "z": str(tmp_path), "n": None}


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", "null"])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    run.record.write_text(text)
    with pytest.raises(InputError, match=r"run.json (is damaged|holds a)"):
        run.refuse_overwriting()
    with pytest.raises(InputError, match=r"run.json"):
        read_run_json(run.record)
