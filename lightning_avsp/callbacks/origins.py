"""Initial weights of a run: checkpoints and weight files by the option that named them, and published ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning_avsp.backbones.registry import published_sources
from lightning_avsp.backbones.weights import RANDOM, RANDOM_BY_NAME
from lightning_avsp.files import sha256_of

_TRAINED_ON = {
    "kinetics400": "Kinetics-400 classification, published: none of this field's corpora",
    "vggish": "VGGish, AudioSet classification, published: none of this field's corpora",
    "soundnet8": "SoundNet, videos of Flickr, published: none of this field's corpora",
}
"""Training data of published weights, by the name that options give them."""
_REPORT_LINE = re.compile(r"^(?P<part>.+?): (?P<source>.+?)(?: \([^()]*\))?(?:, frozen)?$")


def weight_options(config: Mapping[str, Any]) -> dict[str, str]:
    """Find the options of a run's configuration that name weights: ``ckpt_path``, ``init_from``, every ``*_weights``.

    Args:
        config: Content of the run's ``config.yaml``.

    Returns:
        Value by dotted option, as on the command line (``model.network.video_weights``).
    """
    found = {}
    for names, value in _leaves(config, ()):
        named = (names[-1] in ("ckpt_path", "init_from") and len(names) == 1) or names[-1].endswith(
            "_weights"
        )
        if named and isinstance(value, (str, Path)) and str(value) not in ("", RANDOM):
            found[".".join(name for name in names if name != "init_args")] = str(value)
    return found


def _leaves(value: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*names, str(key)))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _leaves(item, (*names, str(index)))
    elif names:
        yield names, value


def started_from(config: Mapping[str, Any], run: Path) -> dict[str, str]:
    """Filter :func:`weight_options` for a run's record: files with absolute paths, without its own checkpoints.

    Args:
        config: Configuration of the run.
        run: Its folder, whose checkpoints are no new origin.
    """
    found = {}
    for option, value in weight_options(config).items():
        path = Path(value)
        if not path.exists():  # a published name, or a file of another machine
            found[option] = value
        elif run.resolve() not in path.resolve().parents:
            found[option] = str(path.resolve())
    return found


def reported_sources(lines: list[str]) -> dict[str, str]:
    """Parse sources other than ``random`` in the ``weights`` lines of a run's record, by part of the network."""
    found = {}
    for line in lines:
        match = _REPORT_LINE.match(line)
        if match and match["source"] not in (RANDOM, RANDOM_BY_NAME, "frozen, in eval mode, not optimised"):
            found[match["part"]] = match["source"]
    return found


def published_training_data(value: str) -> str | None:
    """Return the training data of published weights, or None for any others: by name, or by the file's content."""
    if value in _TRAINED_ON:
        return _TRAINED_ON[value]
    path = Path(value)
    if not path.is_file():
        return None
    digest = sha256_of(path)  # a renamed copy is still the published file
    for source in published_sources().values():
        # the first digits of a published file's SHA-256 are part of its name
        if f"-{digest[:8]}." in source.url:
            return _TRAINED_ON[source.key]
    return None
