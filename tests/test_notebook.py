"""The notebook runs from its first cell to its last, as it is printed."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*is smaller than the logging.*")
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    matplotlib.use("Agg")
    cells = json.loads((ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)  # what an older version printed
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    said = capsys.readouterr().out
    assert "(25, 64, 128) float16" in said
    assert "auc_judd" in said
    assert "NSS 4.69" in said  # (1 - 1/24) over the standard deviation of one pixel among 24, sqrt(1/24)
    assert len(list((tmp_path / "tour" / "saliency" / "maps").iterdir())) == 25
    assert (tmp_path / "tour" / "overlay.mp4").is_file()
