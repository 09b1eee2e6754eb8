"""The command line: `lightning`, `avsp` and `python -m lightning_avsp` are one program.

Trainer commands (fit, validate, test, predict) go to LightningCLI, the others to a typed function each. Nothing heavy
is imported before it is known which command runs, so `avsp --help` answers at once.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from lightning_avsp import __version__
from lightning_avsp.errors import AVSPError
from lightning_avsp.files import expand_home

TRAINER_COMMANDS = {
    "fit": "train; keeps the last and the best checkpoint",
    "validate": "score a checkpoint on the validation videos",
    "test": "score a checkpoint on every frame of the test videos",
    "predict": "write a checkpoint's maps of the test videos (`lightning predict`)",
}

TRIAL = "one trial of a sweep: the arguments of fit; trains what is not trained yet, tests, keeps the result"
# as text: --help lists all commands without importing one
TOOLS: dict[tuple[str, ...], tuple[str, str, str]] = {}
"""Commands that need no trainer: function of this room, whose docstring is the help, positional arguments, summary."""
for _line in """\
predict | predict.predict | videos | maps, saliency.mp4 and overlay.mp4 of any videos (`avsp predict`)
view | predict.view | folders | predictions of a video as one page: maps over it, models side by side
figure | audit.figure | sources | figure of a paper: frames, ground truth and several models' maps side by side
export | predict.export | checkpoint | a trained model as a folder: safetensors, settings, model card
submit crowdsal | predict.crowdsal | checkpoint | saliency videos of the NTIRE 2026 challenge's test clips
data synth | data.synth | | generate a synthetic corpus in which audio decides
data check | data.check | root | check the files of corpora, and name every fault
data import | data.import_recording | video | import a video with raw gaze into your own corpus
data prepare | data.prepare | root | decode a corpus once, into files that training maps
evaluate | report.evaluate | predictions | score predictions that any program made
compare | report.compare | first second | paired comparison of two results
audit audio | audit.audio | ckpt | use of audio by a model: own, missing, shifted and mismatched audio
audit text | audit.text | ckpt | use of text by a model: own caption, another video's, and none
audit noise | audit.noise | ckpt | use of the noisy map and t by a denoiser, and gain of its steps
audit leak | audit.leak | runs | test-set contamination: test videos seen by training, pretraining or selection
caption | caption.caption | root | captions of frames and their token features, for networks that read
report | report.report | | the papers' tables with our numbers; published results and our runs among them
explain | audit.explain | ckpt | explanations of a clip: relevance, words, gates
experiments | experiments.experiments | | what every experiment and sweep trains, beside what its paper prints
weights list | weights.show | | files that a model can start from, and where they are
weights fetch | weights.fetch | names | download published weights
weights check | weights.check | names | check that weight files are whole and fit
weights convert | weights.convert | file | write a published file as safetensors
bench train | bench.train | | speed, memory and largest operators of a training step
bench predict | bench.predict | video | speed of predicting a film, beside a loop over windows
bench model | bench.model | | parameters, multiply-accumulates and memory of the networks
sweep run | sweep.run | files | run W&B sweep files on this machine or a cluster: no account, no network
sweep status | sweep.status | files | state, step and time left of every trial
sweep plan | sweep.plan | files | the trainings that sweeps need, and what they cost
""".splitlines():
    _command, *_cells = (_cell.strip() for _cell in _line.split("|"))
    TOOLS[tuple(_command.split())] = (_cells[0], _cells[1], _cells[2])


def main(args: Sequence[str] | None = None, program: str | None = None) -> None:
    """Run one command.

    Args:
        args: Arguments behind the program's name; those of ``sys.argv`` when None.
        program: Name of the program: ``lightning predict`` predicts the test videos, ``avsp predict`` any video; all
            other commands are the same. That of ``sys.argv`` when neither is given, else ``avsp``.

    Raises:
        SystemExit: With code 2 and one line on standard error for a mistake that the user can mend.
    """
    # The shell expands a home folder only at the start of a word, not in --root=~/data.
    arguments = [
        re.sub(r"(^|(?<==))~(?=/|$)", str(Path.home()), each, count=1)
        for each in (sys.argv[1:] if args is None else args)
    ]
    program = program or (Path(sys.argv[0]).stem if args is None else "avsp")
    debug = "--debug" in arguments
    # no parser knows it, so it may stand anywhere
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        _dispatch(arguments, program)
    except BrokenPipeError:  # `avsp report | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None  # 128 + SIGPIPE, as shells count
    except Exception as error:
        line = error_line(error)
        if line is None:
            raise
        if debug:  # the line below is all that a user needs
            traceback.print_exc()
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None  # 128 + SIGINT


def error_line(error: Exception) -> str | None:
    """Describe an error that the files, the disk or the user's input caused; None for one of this program.

    An error of a dataloader worker arrives as the text of its traceback, of which the last line is the error; one of a
    network's construction as the cause of jsonargparse's, which lists all types that the settings are not.
    """
    # ours say what their cause means
    if isinstance(error.__cause__, AVSPError) and not isinstance(error, AVSPError):
        error = error.__cause__
    text = str(error)
    if "Original Traceback" in text:
        text = text.strip().splitlines()[-1].partition(": ")[2] or text.strip().splitlines()[-1]
    if isinstance(error, AVSPError):
        return text
    media = sys.modules.get("av")  # not imported for its error alone
    foreign = (OSError, UnicodeError, RecursionError, *((media.FFmpegError,) if media else ()))
    if not isinstance(error, foreign):
        return None
    return (
        f"{' '.join(text.split())[:500] or type(error).__name__} ({type(error).__name__}; --debug shows more)"
    )


def _dispatch(arguments: list[str], program: str) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
    elif arguments[0] == "--version":
        print(f"lightning-avsp {__version__}")
    elif (path := tool_path(arguments, program)) is not None:
        run_tool(path, arguments[len(path) :])
    # no option of its own to parse: all but three words are those of fit
    elif arguments[0] == "trial":
        from lightning_avsp.cli.sweep import trial

        trial(arguments[1:])
    # LightningCLI takes --config before the command too
    elif arguments[0] in TRAINER_COMMANDS or (
        arguments[0].startswith("-") and not TRAINER_COMMANDS.keys().isdisjoint(arguments)
    ):
        from lightning_avsp.cli.trainer import run_trainer

        run_trainer(arguments)
    elif any(path[0] == arguments[0] for path in TOOLS):
        print(overview(arguments[0]))
        # behind the list, where a terminal shows it
        if len(arguments) > 1 and arguments[1] not in ("-h", "--help"):
            raise AVSPError(f"unknown command '{' '.join(arguments[:2])}'; choose one of the above")
    else:
        raise AVSPError(f"unknown command '{arguments[0]}'; see `avsp --help`")


def tool_path(arguments: Sequence[str], program: str) -> tuple[str, ...] | None:
    """Return the tool that the arguments call, if any; ``lightning predict`` is a command of the trainer."""
    if program == "lightning" and arguments[0] == "predict":
        return None
    return next((path for path in TOOLS if tuple(arguments[: len(path)]) == path), None)


def run_tool(path: tuple[str, ...], arguments: Sequence[str]) -> None:
    """Parse the arguments of a tool by its signature and call it."""
    from jsonargparse import ArgumentParser

    place, positional, summary = TOOLS[path]
    module, _, name = place.partition(".")
    function = getattr(import_module(f"lightning_avsp.cli.{module}"), name)
    parser = ArgumentParser(prog=" ".join(("avsp", *path)), description=summary)
    # positional ones are parameters like the others in Python; here they have no name
    parser.add_function_arguments(function, as_positional=False, skip=set(positional.split()))
    for name in positional.split():
        annotation = str(signature(function).parameters[name].annotation)
        several, kind = annotation.startswith("list"), Path if "Path" in annotation else str
        settings: dict[str, Any] = {"nargs": "+"} if several else {}  # only lists may be several words
        parser.add_argument(name, type=kind, help="Paths." if several else "A path.", **settings)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    spelt = spell_out_flags(arguments, dict(parser.get_defaults().items()))
    values = parser.instantiate(expand_home(parser.parse_args(spelt))).as_dict()
    function(**{name: value for name, value in values.items() if name != "config"})


def spell_out_flags(arguments: Sequence[str], defaults: Mapping[str, Any]) -> list[str]:
    """Options as the parser wants them, whose defaults are given by name.

    `--overwrite` becomes `--overwrite=true` for each truth value, unless a value follows; `--from`, which in Python is
    a keyword, becomes `--from_`; hyphens in a name become underscores.
    """
    keywords = {f"--{name[:-1]}" for name in defaults if name.endswith("_")}
    flags = {f"--{name}" for name, value in defaults.items() if isinstance(value, bool)}
    spelt = []
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            name = f"--{name[2:].replace('-', '_')}"  # --dry-run is --dry_run
            argument = f"{name}{equals}{value}"
        argument = f"{name}_{equals}{value}" if name in keywords else argument
        following = arguments[position + 1].lower() if position + 1 < len(arguments) else ""
        alone = argument in flags and following not in ("true", "false", "yes", "no")
        spelt.append(f"{argument}=true" if alone else argument)
    return spelt


def overview(group: str | None = None) -> str:
    """The list of commands, or of one group of them."""
    rows = [(" ".join(path), tool[2]) for path, tool in TOOLS.items() if group in (None, path[0])]
    if group is None:
        rows = [*TRAINER_COMMANDS.items(), ("trial", TRIAL), *rows]
    lines = [f"  {name:<14} {summary}" for name, summary in rows]
    return "\n".join(
        [
            f"lightning-avsp {__version__}: train, compare and trust audio-visual saliency models",
            "",
            "usage: lightning COMMAND ..., or avsp COMMAND ... (also python -m lightning_avsp): only predict differs",
            "",
            *lines,
            "",
            "`COMMAND --help` explains a command; `COMMAND ... --debug` shows where an error came from.",
            "`lightning fit --config experiments/diffsal_avad.yaml --data.root DATA` trains DiffSal.",
        ]
    )
