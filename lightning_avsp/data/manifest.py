"""Generated corpora under a root: ``synthetic.json``, which every result on them is marked by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError

MANIFEST = "synthetic.json"
"""Name of the file that describes the generated corpora below a root."""


def read_manifest(root: Path) -> dict[str, Any]:
    """Read ``synthetic.json``; without that file, return a manifest of no corpus.

    Raises:
        InputError: If the file is not a manifest.
    """
    path = Path(root) / MANIFEST
    if not path.exists():
        return {"corpora": {}}
    try:
        manifest = json.loads(path.read_text())
        manifest["corpora"].items()
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"{path} does not describe generated corpora ({error}); move it away or choose another root"
        ) from error
    return dict(manifest)
