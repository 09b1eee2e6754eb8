"""`avsp data`: synthetic corpora, checks, imports of recordings, and caches, from the command line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_avsp.cli import main
from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SYNTHETIC film of 12 frames at 64x128."""
    root = tmp_path_factory.mktemp("films")
    synthesise_corpus(root, "AVAD", 3, spec=SyntheticSpec(size=(64, 128), seconds=0.96), films=True)
    return min((root / "films" / "AVAD").iterdir())


@pytest.mark.parametrize(
    ("name", "folder"), [("AVAD", "AVAD"), ("Coutrot1", "Coutrot_db1"), ("ETMD_av", "ETMD_av")]
)
def test_public_and_package_names_are_understood(
    name: str, folder: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    size = ["--videos=3", "--seconds=0.5", "--workers=1"]
    main(["data", "synth", f"--root={tmp_path}", f"--corpus={name}", *size])
    assert len(list((tmp_path / "video_frames" / folder).iterdir())) == 3
    assert "SYNTHETIC" in capsys.readouterr().out


def test_a_clean_corpus_ends_with_0(corpus: Path, capsys: pytest.CaptureFixture) -> None:
    main(["data", "check", str(corpus), "--workers=1"])
    text = capsys.readouterr().out
    assert "0 errors, 0 warnings" in text
    assert "150 / 150" in text
    assert "SYNTHETIC" in text


def test_errors_end_with_1_and_are_in_the_json(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = Path(shutil.copytree(corpus, tmp_path / "copy"))
    frames = sorted((root / "video_frames" / "AVAD").glob("*/img_0000*.jpg"))[:5]
    for path in frames:
        path.write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        main(["data", "check", str(root), "--workers=1", "--show=2", f"--json={tmp_path / 'faults.json'}"])
    assert stop.value.code == 1
    text = capsys.readouterr().out
    assert text.count("0 bytes") == 2
    assert "and 3 more" in text
    assert text.count("replace this file") == 2
    content = json.loads((tmp_path / "faults.json").read_text())
    assert content["errors"] == 5
    assert [fault["path"] for fault in content["corpora"][0]["faults"]] == [str(path) for path in frames]
    assert content["corpora"][0]["published_videos"] == 45


def test_warnings_alone_end_with_0(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = Path(shutil.copytree(corpus, tmp_path / "copy"))
    maps = next((root / "annotations" / "AVAD").glob("*/maps"))
    shutil.copy(maps / "eyeMap_00025.jpg", maps / "eyeMap_00026.jpg")
    main(["data", "check", str(root), "--corpus=AVAD", "--quick", "--workers=1"])
    assert "0 errors, 1 warnings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "nowhere"], "no folder at"),
        (["check", ".", "--corpus=DIEM"], "nothing of DIEM"),
        (["check", ".", "--corpus=DEIM"], "did you mean 'DIEM'"),
        (["check", ".", "--quick", "--full"], "contradict"),
        (["synth", "--root=r", "--corpus=AVDA"], "AVAD"),
        (["prepare", ".", "--out=r"], "contains no corpus"),
        (["import", "{film}", "--maps.sigma=5", "--screen.size=wide"], "--screen.size is 'wide'"),
        (["import", "{film}"], "give one of --maps.sigma"),
        (["import", "{film}", "--maps.sigma=5", "--gaze=nowhere.csv"], "no gaze table at nowhere.csv"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    arguments: list[str],
    said: str,
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused: Callable[..., str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [argument.format(film=film) for argument in arguments]
    if arguments[0] == "import":
        given = [*given[:2], "--gaze=x.csv", "--corpus=Lab", "--root=r", *given[2:]]
    error = refused(["data", *given])
    assert said in error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "r" / "annotations").exists()
    assert not (tmp_path / "r" / "video_frames").exists()


def test_a_film_and_its_gaze(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture, refused: Callable[..., str]
) -> None:
    table = tmp_path / "gaze.tsv"
    lines = [f"p{p}\t{0.01 * k:.2f}\t{400 + 20 * p + k}\t{300 + k}" for p in range(3) for k in range(96)]
    table.write_text("\n".join(["subject\tt\tgx\tgy", *lines]) + "\n")
    columns = {"observer": "subject", "time": "t", "x": "gx", "y": "gy", "valid": ""}
    screen = {
        "size": "1280x800",
        "video_at": "0,80",
        "video_shown": "1280x640",
        "width_cm": 47.5,
        "distance_cm": 60,
    }
    arguments = [
        str(film),
        f"--gaze={table}",
        "--corpus=Lab",
        f"--root={tmp_path / 'root'}",
        "--video_name=first",
    ]
    arguments += ["--part=test", "--time.unit=s", "--maps.sigma_degrees=1", "--maps.size=64x32"]
    arguments += [f"--columns.{name}={value}" for name, value in columns.items()]
    arguments += [f"--screen.{name}={value}" for name, value in screen.items()]
    main(["data", "import", *arguments])
    text = capsys.readouterr().out
    assert "Lab/first: imported, 12 frames at 12.5/s, 3 observers" in text
    assert "288 used of 288" in text
    assert "maps: 64x32, sigma 1.41 across and 1.41 down" in text
    listed = tmp_path / "root" / "fold_lists" / "Lab_list_test_1_fps.txt"
    assert listed.read_text() == "first 12 12.500000\n"
    main(["data", "import", *arguments])
    assert "Lab/first: kept as it was" in capsys.readouterr().out
    kept = tmp_path / "root" / "corpora" / "Lab.yaml"
    main(["data", "import", str(film), f"--gaze={table}", f"--config={kept}", "--video_name=second"])
    assert "Lab/second: imported, 12 frames at 12.5/s, 3 observers" in capsys.readouterr().out
    assert "maps.pick: median / mean" in refused(["data", "import", *arguments, "--maps.pick=mean"])


def test_everything_that_is_found_is_prepared_once(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "prepare", str(corpus), "--size=32x48", f"--out={tmp_path}", "--workers=1"]
    main(command)
    printed = capsys.readouterr().out
    assert "6 videos prepared, 0 kept, 150 frames" in printed
    assert f"--data.loading.cache {tmp_path}" in printed
    assert len(list((tmp_path / "32x48" / "AVAD").glob("*.packed"))) == 6
    main([*command, "--corpus=[AVAD]", "--format=packed"])
    assert "0 videos prepared, 6 kept" in capsys.readouterr().out


def test_faults_are_listed_and_the_exit_code_says_so(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(corpus, tmp_path / "own"))
    broken = next((own / "annotations" / "AVAD").rglob("fixMap_00003.mat"))
    broken.write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        main(["data", "prepare", str(own), "--size=32x48", f"--out={tmp_path / 'cache'}", "--workers=1"])
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert str(broken) in printed.out
    assert "5 videos prepared" in printed.out
    assert "1 of 6 videos could not be prepared" in printed.err
