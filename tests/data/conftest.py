"""Small synthetic corpora in the true layout: made once, and copied by tests that damage them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus

# No deadline: on a busy machine the first example of a test can take long. Derandomised: same examples each run.
settings.register_profile("data", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("data")

SPEC = SyntheticSpec(size=(64, 128), seconds=3.2)  # 40 frames


@pytest.fixture(scope="session")
def corpus_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AVAD of 6 videos, Coutrot_db1 and Coutrot_db2 of 3 each; 40 frames a video. Not to be changed."""
    root = tmp_path_factory.mktemp("corpora")
    synthesise_corpus(root, "AVAD", 6, spec=SPEC)
    synthesise_corpus(root, "Coutrot_db1", 3, spec=SPEC)
    synthesise_corpus(root, "Coutrot_db2", 3, spec=SPEC)
    return root


@pytest.fixture
def own_root(corpus_root: Path, tmp_path: Path) -> Path:
    """A copy of the corpora that a test may damage."""
    return Path(shutil.copytree(corpus_root, tmp_path / "corpora"))
