"""A trial's configuration, composed from its experiment file, options and values as plain data, without torch.

What is composed is what ``lightning fit`` then parses, written out in one file. Three things may be said twice, and the
order is: the experiment file, options over it (those of the command, then ``--args``), the values of the sweep's row
over both. A row that names another class starts from that class alone: nothing of the experiment's settings of the old
class remains, but options do, so that pretrained weights given by ``--args`` reach every row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lightning_avsp.errors import InputError

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML built without libyaml: the same, slower
    from yaml import SafeLoader  # type: ignore[assignment]

CONFIG_OPTIONS = ("--config", "-c")
MANAGED = ("trainer.devices", "trainer.num_nodes", "run_dir", "ckpt_path", "overwrite", "test_after_fit")
"""Options that a sweep sets itself."""


class _Loader(SafeLoader):
    """YAML in which 1e-4 is a number, as `lightning fit` reads it."""


_Loader.add_implicit_resolver(
    # YAML 1.1, which PyYAML follows, wants a dot: 1e-4 would be a string
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)$|[-+]?(\d+\.\d*|\.\d+)$|[-+]?\.(inf|Inf)$|\.(nan|NaN)$"
    ),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class TrialArguments:
    """The words of one trial, taken apart."""

    experiment: Path
    options: tuple[tuple[str, Any], ...]
    """(dotted name, value) in their order; later ones win."""
    row: dict[str, Any] = field(default_factory=dict)
    """The sweep's values."""

    def compose(self, without: Sequence[str] = ()) -> dict[str, Any]:
        """Compose the whole configuration.

        Args:
            without: Dotted names of settings that are not taken from the row.

        Raises:
            InputError: If a file cannot be read or an option has no place.
        """
        row = [leaf for leaf in leaves("", self.row) if leaf[0] and not is_within(leaf[0], without)]
        named = {_short(name) for name, value in row if value != {}}
        config = {"seed_everything": 0, **read_config(self.experiment)}  # the seed that `lightning fit` takes
        for name, value in (*self.options, *row):
            lay_option(config, name, value)
        for name, value in self.options:  # once more, for a class that the row has changed
            if not is_within(_short(name), named) and f"{_short(name)}.class_path" not in named:
                lay_option(config, name, value)
        return config


def split_arguments(words: Sequence[str], more: Sequence[str] = ()) -> TrialArguments:
    """Take the words after ``lightning trial`` apart.

    Args:
        words: ``--config EXPERIMENT``, options of ``lightning fit``, and ``--config JSON`` with the sweep's values.
        more: Further options of this machine (``--args``).

    Raises:
        InputError: If there is no experiment, an option is not understood, or it is one that the sweep sets itself.
    """
    experiment: Path | None = None
    options: list[tuple[str, Any]] = []
    row: dict[str, Any] = {}
    given = [*words, *more]
    while given:
        word = given.pop(0)
        name, equals, text = word.partition("=")
        if not name.startswith("-") or (not equals and not given):
            raise InputError(f"option {word!r} of a trial needs the form --NAME=VALUE or --NAME VALUE")
        text = text if equals else given.pop(0)
        if name not in CONFIG_OPTIONS:
            options += leaves(_checked(name), _value(text))
        elif text.lstrip().startswith("{"):  # W&B's ${args_json}, the one --config without a file
            try:
                row = dict(json.loads(text))
            except ValueError as error:
                what = f"the last --config begins as JSON and is none: {error}; W&B's ${{args_json}} is"
                raise InputError(what) from error
        elif experiment is None:
            experiment = Path(text)
        else:
            # as LightningCLI lays a further file over the first
            options += leaves("", read_config(Path(text)))
    if experiment is None:
        raise InputError("a trial needs --config EXPERIMENT.yaml and the options of `lightning fit`")
    return TrialArguments(experiment, tuple(options), row)


def read_config(path: Path) -> dict[str, Any]:
    """Read an experiment file with every file that it names in place of a value.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        content = yaml.load(path.read_text(), _Loader)  # a SafeLoader
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as an experiment: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings")
    return dict(inline(content, path.parent))


def inline(value: Any, folder: Path) -> Any:
    """Replace names of YAML files, relative to a folder, by what the files hold."""
    if isinstance(value, dict):
        return {key: inline(item, folder) for key, item in value.items()}
    # `stage: experiments/NAME.yaml` stays a name: it counts from the working folder, not from this one
    if isinstance(value, str) and value.endswith((".yaml", ".yml")) and (folder / value).is_file():
        return read_config(folder / value)
    return value


def lay_option(config: dict[str, Any], name: str, value: Any) -> None:
    """Lay a setting over others by its dotted name, in which ``init_args`` may be left out, as on the command line.

    A group that is set to another class keeps nothing of the old one's arguments.
    """
    value = inline(value, Path())
    if isinstance(value, dict) and value:
        for inner, item in leaves(name, value):
            lay_option(config, inner, item)
        return
    *groups, last = name.split(".")
    group = config
    for key in groups:
        group = _arguments_of(group, key)
        if not isinstance(group.get(key), dict):
            group[key] = {}
        group = group[key]
    group = _arguments_of(group, last)
    before = group.get(last)
    # --model.network=AVRSP names a class, as jsonargparse takes it
    if isinstance(before, dict) and "class_path" in before and isinstance(value, str):
        lay_option(before, "class_path", value)
        return
    # the old class' arguments would be refused by the new one, or mean something else there
    if last == "class_path" and str(before).rpartition(".")[2] != str(value).rpartition(".")[2]:
        group["init_args"] = {}
    if not (isinstance(before, dict) and value == {}):  # an empty group changes nothing
        group[last] = deepcopy(value)


def leaves(name: str, value: Any) -> list[tuple[str, Any]]:
    """List the values in nested settings by their dotted names, each class before its arguments."""
    if not isinstance(value, dict) or not value:
        return [(name, value)]
    # a class empties its arguments, so it is laid before them
    inner = sorted(value.items(), key=lambda item: item[0] != "class_path")
    return [leaf for key, item in inner for leaf in leaves(f"{name}.{key}".lstrip("."), item)]


def lookup(config: dict[str, Any], dotted: str) -> Any:
    """Return a value by its dotted name in which ``init_args`` may be left out, or None."""
    value: Any = config
    for key in dotted.split("."):
        if not isinstance(value, dict):
            return None
        value = (value if key in value else value.get("init_args") or {}).get(key)
    return value


def _arguments_of(group: dict[str, Any], key: str) -> dict[str, Any]:
    """Find where a key of a group belongs: below ``init_args`` if the group is a class."""
    if "class_path" not in group or key in ("class_path", "init_args", "dict_kwargs"):
        return group
    arguments = group.setdefault("init_args", {})
    return arguments if isinstance(arguments, dict) else group


def is_within(name: str, groups: Collection[str]) -> bool:
    """Return true if a dotted name is one of those given or lies below one of them."""
    return any(name == group or name.startswith(f"{group}.") for group in groups)


def _short(name: str) -> str:
    return name.replace(".init_args", "")


def _checked(name: str) -> str:
    dotted = name.lstrip("-")
    if dotted in MANAGED:
        remedy = "give --gpus-per-trial N" if dotted.startswith("trainer") else "leave it out"
        raise InputError(f"--{dotted} is set by the sweep itself; {remedy}")
    if dotted.endswith("+"):
        raise InputError(
            f"--{dotted}= appends to a list, which a sweep does not; give the whole list as --{dotted[:-1]}="
        )
    return dotted


def _value(text: str) -> Any:
    """Read a value from the command line; true and false stay words, which some options want."""
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text
    known = isinstance(value, (str, dict, list, int, float, type(None))) and not isinstance(value, bool)
    return value if known else text
