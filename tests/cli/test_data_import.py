from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_avsp.cli.dispatch import main
from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SYNTHETIC film of 12 frames at 64x128."""
    root = tmp_path_factory.mktemp("films")
    synthesise_corpus(root, "AVAD", 3, spec=SyntheticSpec(size=(64, 128), seconds=0.96), films=True)
    return min((root / "films" / "AVAD").iterdir())


def test_a_film_and_its_gaze(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture, refused: Callable[..., str]
) -> None:
    table = tmp_path / "gaze.tsv"
    lines = [f"p{p}\t{0.01 * k:.2f}\t{400 + 20 * p + k}\t{300 + k}" for p in range(3) for k in range(96)]
    table.write_text("\n".join(["subject\tt\tgx\tgy", *lines]) + "\n")
    arguments = [
        str(film),
        f"--gaze={table}",
        "--corpus=Lab",
        f"--root={tmp_path / 'root'}",
        "--video_name=first",
        "--part=test",
        "--columns.observer=subject",
        "--columns.time=t",
        "--columns.x=gx",
        "--columns.y=gy",
        "--columns.valid=",
        "--time.unit=s",
        "--screen.size=1280x800",
        "--screen.video_at=0,80",
        "--screen.video_shown=1280x640",
        "--maps.sigma_degrees=1",
        "--screen.width_cm=47.5",
        "--screen.distance_cm=60",
        "--maps.size=64x32",
    ]
    main(["data", "import", *arguments])
    text = capsys.readouterr().out
    assert "Lab/first: imported, 12 frames at 12.5/s, 3 observers" in text
    assert "288 used of 288" in text
    assert "maps: 64x32, sigma 1.41 across and 1.41 down" in text
    assert (
        tmp_path / "root" / "fold_lists" / "Lab_list_test_1_fps.txt"
    ).read_text() == "first 12 12.500000\n"
    main(["data", "import", *arguments])
    assert "Lab/first: kept as it was" in capsys.readouterr().out
    kept = tmp_path / "root" / "corpora" / "Lab.yaml"
    main(["data", "import", str(film), f"--gaze={table}", f"--config={kept}", "--video_name=second"])
    assert "Lab/second: imported, 12 frames at 12.5/s, 3 observers" in capsys.readouterr().out
    assert "maps.pick: median / mean" in refused(["data", "import", *arguments, "--maps.pick=mean"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--maps.sigma=5", "--screen.size=wide"], "--screen.size is 'wide'"),
        ([], "give one of --maps.sigma"),
        (["--maps.sigma=5", "--gaze=nowhere.csv"], "no gaze table at nowhere.csv"),
    ],
)
def test_mistakes_are_one_line(
    changes: list[str], said: str, film: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    error = refused(
        [
            "data",
            "import",
            str(film),
            "--gaze=x.csv",
            "--corpus=Lab",
            f"--root={tmp_path / 'r'}",
            *changes,
        ]
    )
    assert said in error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "r" / "annotations").exists()
