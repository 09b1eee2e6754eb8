import errno
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest
from av.error import FFmpegError
from jsonargparse import Namespace

from lightning_avsp import __version__
from lightning_avsp.cli import dispatch
from lightning_avsp.cli.dispatch import TOOLS, TRAINER_COMMANDS, main, spell_out_flags, tool_path
from lightning_avsp.errors import InputError
from lightning_avsp.files import expand_home


def test_exactly_one_distribution_owns_the_script_names() -> None:
    owners = {"lightning": set(), "avsp": set()}
    for distribution in distributions():
        for entry in distribution.entry_points:
            if entry.group == "console_scripts" and entry.name in owners:
                owners[entry.name].add((distribution.metadata["Name"], entry.value))
    expected = {("lightning-avsp", "lightning_avsp.cli:main")}
    assert owners == {"lightning": expected, "avsp": expected}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_overview_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    main(arguments)
    shown = capsys.readouterr().out
    for name in [*TRAINER_COMMANDS, *(" ".join(path) for path in TOOLS)]:
        assert name in shown


@pytest.mark.parametrize("arguments", [["fitt"], ["data", "sinth"], ["bench", "modell"], ["--hepl"]])
def test_unknown_commands_end_with_one_line_and_code_2(
    arguments: list[str], refused: Callable[..., str]
) -> None:
    error = refused(arguments)
    assert error.count("\n") == 1
    assert " ".join(arguments) in error


def test_predict_is_the_trainers_under_lightning_and_the_tool_under_avsp() -> None:
    for arguments in (["predict", "video.mp4", "--out=b"], ["predict", "--config=smoke.yaml"]):
        assert tool_path(arguments, "avsp") == ("predict",)
        assert tool_path(arguments, "lightning") is None
    assert tool_path(["fit", "--config=x"], "avsp") is tool_path(["fit", "--config=x"], "lightning") is None
    assert tool_path(["data", "synth"], "lightning") == ("data", "synth")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "out/a.json"),
            "No space left on device: 'out/a.json'",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "x"),
            "Permission denied: 'x' (PermissionError; --debug",
        ),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            "invalid start byte (UnicodeDecodeError;",
        ),
        (FFmpegError(1094995529, "Invalid data", "a.mp4"), "Invalid data"),
        (RecursionError("maximum recursion depth exceeded"), "maximum recursion depth"),
        (
            InputError("first\nOriginal Traceback\na.b.InputError: give another file\n"),
            "error: give another file\n",
        ),
    ],
)
def test_an_error_of_files_or_disks_is_one_line_and_debug_shows_its_origin(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(dispatch, "_dispatch", fail)
    for arguments, origin in ((["fit"], False), (["fit", "--debug"], True)):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        shown = capsys.readouterr().err
        assert line in shown
        assert ("Traceback" in shown.replace("Original Traceback", "")) == origin
        assert origin or shown.count("\n") == 1


def test_an_error_that_jsonargparse_wraps_is_still_one_line() -> None:
    wrapped = ValueError("Does not validate against any of the Union subtypes")
    wrapped.__cause__ = InputError("no weights: give a file")
    assert dispatch.error_line(wrapped) == "no weights: give a file"


def test_an_error_of_this_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_dispatch", lambda *_: {}["absent"])
    with pytest.raises(KeyError):
        main(["fit"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "synth", "--videos=3", "--workers=1", "--root={out}"],
        ["data", "check", "{corpus}", "--quick", "--workers=1", "--json={out}"],
        ["data", "prepare", "{corpus}", "--size=64x128", "--workers=1", "--out={out}"],
        ["report", "--leaderboard", "--corpus=AVAD", "--out={out}"],
        ["caption", "{corpus}", "--synthetic", "--features=false", "--out={out}"],
    ],
)
def test_an_output_that_cannot_be_made_is_one_line(
    arguments: list[str], corpus: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "file").touch()
    error = refused([argument.format(corpus=corpus, out=tmp_path / "file" / "out") for argument in arguments])
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert str(tmp_path / "file") in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("path", sorted(TOOLS))
def test_every_tool_explains_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*path, "--help"])
    assert stop.value.code == 0
    assert TOOLS[path][2].split()[0] in capsys.readouterr().out


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lightning_avsp", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith(__version__)


def test_makefile_documents_every_target(tmp_path: Path) -> None:
    makefile = Path(__file__).resolve().parents[2] / "Makefile"
    targets = [
        line.split(":")[1].strip() for line in makefile.read_text().splitlines() if line.startswith(".PHONY")
    ]
    done = subprocess.run(
        ["make", "-f", makefile, "help"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert set(targets) >= {"help", "demo", "test", "lint", "type", "bench", "clean"}
    for target in targets:
        assert target in done.stdout


def test_a_bare_flag_means_true() -> None:
    defaults = {"root": None, "overwrite": False, "films": True}
    arguments = ["--overwrite", "--root", "a", "--films", "false", "--overwrite=false"]
    assert spell_out_flags(arguments, defaults) == [
        "--overwrite=true",
        "--root",
        "a",
        "--films",
        "false",
        "--overwrite=false",
    ]


def test_a_home_folder_is_found_in_every_option(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["data", "check", "~/nothing"])
    assert f"no folder at {tmp_path}/nothing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["data", "check", str(tmp_path), "--corpus=AVAD", "--json=~/faults.json"])
    (tmp_path / "check.yaml").write_text("json: ~/faults.json\n")
    (tmp_path / "data").mkdir()
    with pytest.raises(SystemExit):
        main(["data", "check", "~/data", "--config", "~/check.yaml"])
    assert f"{tmp_path}/data holds nothing" in capsys.readouterr().err
    values = Namespace(a="~/x", b=[Path("~"), "~other"], c=Namespace(d={"e": "~/y/z"}), f=3)
    assert expand_home(values) == Namespace(
        a=f"{tmp_path}/x", b=[tmp_path, "~other"], c=Namespace(d={"e": f"{tmp_path}/y/z"}), f=3
    )
    assert not Path("~").exists()
