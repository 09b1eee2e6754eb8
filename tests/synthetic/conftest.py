"""A small synthetic corpus on disk, made once per worker process."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_avsp.synthetic import SyntheticSpec, SynthReport, synthesise_corpus

SPEC = SyntheticSpec(seconds=4.0)


@pytest.fixture(scope="session")
def avad(tmp_path_factory: pytest.TempPathFactory) -> SynthReport:
    root: Path = tmp_path_factory.mktemp("synthetic")
    return synthesise_corpus(root, videos=6, spec=SPEC, seed=3)
