"""A sweep of fake trials: what workers do can be seen in a second each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

FAKE = Path(__file__).parent / "fake_trial.py"


@pytest.fixture
def make_sweep(tmp_path: Path) -> Callable[..., Path]:
    """Write a sweep of fake trials; each is given as its values."""

    def make(*points: dict, name: str = "fake") -> Path:
        diary = tmp_path / "diary"
        diary.mkdir(exist_ok=True)
        path = tmp_path / f"{name}.yaml"
        content = {
            "method": "grid",
            "command": ["${env}", sys.executable, str(FAKE), str(diary), "${args_json}"],
            "parameters": {"point": {"values": list(points)}},
        }
        path.write_text(yaml.safe_dump(content))
        return path

    return make
