"""Tensors and plain values of files from anywhere: read without running anything, checked before they are used."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from lightning_avsp.errors import InputError

LARGEST = 1_000_000
"""Largest integer and length of a setting; more can only be meant to fill the memory."""
Built = TypeVar("Built")
# torch's refusal names what it would have to run
_GLOBAL = re.compile(r"GLOBAL (\S+)")


def read_torch_file(path: Path, wanted: str, *, mapped: bool = False) -> Any:
    """Read a file of ``torch.save``: tensors, numbers, strings and containers of them, nothing else.

    Args:
        path: The file.
        wanted: What to give instead of a file that cannot be read, for the error.
        mapped: Map the tensors into memory instead of reading them, to look at the rest of a large file.

    Raises:
        InputError: If there is no such file, or it is damaged, of another kind, or contains code.
    """
    import torch

    if not path.is_file():
        raise InputError(f"no file at {path}: give {wanted}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped or None)
    except Exception as error:  # unpickling raises whatever the bytes provoke: all mean unreadable
        # torch's own message advises to switch the protection off, and is a page long
        code = _GLOBAL.search(str(error))
        why = f"it contains {code[1][:80]}, which is code" if code else "it is damaged or of another kind"
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) cannot be read: {why}; give {wanted}, which contains nothing but "
            "tensors and plain values"
        ) from error


def fit_arguments(function: Callable[..., Any], values: Any, name: str) -> dict[str, Any]:
    """Return values as arguments of a function or class, each checked against its annotation.

    Annotations may be numbers, strings, truth values, literals, unions, tuples, lists, dictionaries and dataclasses;
    an argument with any other annotation, such as a module or a callable, cannot be set this way.

    Args:
        function: Function or class.
        values: Value by argument; those that are left out keep their default.
        name: Name of the values, for the error.

    Raises:
        InputError: If a name is unknown, or a value is of another type or out of range.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{name} is {_short(values)}, not a table of settings")
    # of a class the constructor's: its own are those of its attributes
    kinds = get_type_hints(function.__init__ if isinstance(function, type) else function)  # type: ignore[misc]
    kinds.pop("return", None)
    unknown = [key for key in values if key not in kinds]
    if unknown:
        raise InputError(f"{name} has {_short(unknown[0])}, which {function.__name__} does not accept")
    return {key: fit_value(value, kinds[key], f"{name}.{key}") for key, value in values.items()}


def build_from(kind: Callable[..., Built], values: Any, name: str) -> Built:
    """Call a function or class with values as its arguments (:func:`fit_arguments`).

    Raises:
        InputError: If an argument does not fit or is missing, or the constructor refuses it.
    """
    arguments = fit_arguments(kind, values, name)
    try:
        return kind(**arguments)
    except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{name} cannot be built ({why})") from error


def fit_value(value: Any, kind: Any, name: str) -> Any:
    """Return a value as its annotation asks: tuples and dataclasses are rebuilt, everything else is compared.

    Raises:
        InputError: If the value does not fit; its full text never appears, since that may be endless.
    """
    origin, options = get_origin(kind), get_args(kind)
    if origin is Literal:
        # True equals 1, but is not meant by it
        if any(type(value) is type(option) and value == option for option in options):
            return value
    elif origin in (Union, UnionType):
        for option in options:
            try:
                return fit_value(value, option, name)
            except InputError:
                continue
    elif origin in (tuple, list, dict) and isinstance(value, (list, tuple, dict)) and len(value) <= LARGEST:
        if origin is dict and isinstance(value, dict):
            return {
                fit_value(key, options[0], name): fit_value(item, options[1], f"{name}.{key}")
                for key, item in value.items()
            }
        fixed = origin is tuple and options[-1] is not Ellipsis
        if origin is not dict and not isinstance(value, dict) and (not fixed or len(value) == len(options)):
            kinds = options if fixed else options[:1] * len(value)
            return origin(fit_value(item, each, name) for item, each in zip(value, kinds, strict=True))
    elif isinstance(kind, type) and is_dataclass(kind) and isinstance(value, Mapping):
        return build_from(kind, value, name)
    elif (
        # a float may be written without its point, an integer must not come from a truth value
        (kind is float and type(value) in (int, float) and math.isfinite(value))
        or (kind is int and type(value) is int and abs(value) <= LARGEST)
        or (kind in (bool, str, NoneType) and type(value) is kind)
    ):
        return value
    raise InputError(f"{name} is {_short(value)}, which does not fit {getattr(kind, '__name__', kind)}")


def _short(value: Any) -> str:
    plain = isinstance(value, (str, int, float, NoneType))
    return repr(value)[:60] if plain else f"a {type(value).__name__}"
