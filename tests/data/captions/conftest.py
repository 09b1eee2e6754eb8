"""A small random BLIP-2 in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_blip2 import save_tiny_blip2


@pytest.fixture(scope="session")
def blip2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("blip2")
    save_tiny_blip2(folder)
    return folder
