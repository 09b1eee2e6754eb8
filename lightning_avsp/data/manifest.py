"""Record of the SYNTHETIC corpora below a root: the file ``synthetic.json`` that `avsp data synth` keeps there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_avsp.data.text_files import read_json
from lightning_avsp.errors import CorpusNotFoundError, InputError

MANIFEST = "synthetic.json"
"""Name of the file that describes the synthetic corpora below a root."""


def read_manifest(root: Path | str) -> dict[str, Any]:
    """Read ``synthetic.json``: under ``corpora`` an entry per folder name; without the file, no corpus.

    Raises:
        InputError: If the file is not a manifest.
    """
    path = Path(root) / MANIFEST
    if not path.exists():
        return {"corpora": {}}
    try:
        manifest = read_json(path)
        # anything that is no mapping of mappings fails here instead of in a reader
        manifest["corpora"].items()
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} does not describe synthetic corpora ({error}); move it away or choose another root"
        ) from error
    return dict(manifest)


def read_conditions(root: Path | str, corpus: str) -> dict[str, str]:
    """Return the condition of each video of a synthetic corpus: ``sound``, ``music`` or ``silent``.

    Args:
        root: Folder that holds the corpus.
        corpus: Its folder name.

    Raises:
        CorpusNotFoundError: If there is no such synthetic corpus below the root.
    """
    entry = read_manifest(root)["corpora"].get(corpus)
    if entry is None:
        raise CorpusNotFoundError(
            f"{Path(root) / MANIFEST} names no synthetic {corpus}; write it with "
            f"`avsp data synth --root {root} --corpus {corpus}`"
        )
    return {video: values["condition"] for video, values in entry["videos"].items()}
