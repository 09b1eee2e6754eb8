"""Hook of mkdocs: pages that lie elsewhere in the repository, with their links rewritten, the notebook's, the API's."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "docs/tour.ipynb": "tour.md",
    "experiments/README.md": "experiment_files.md",
    "sweeps/README.md": "sweep_files.md",
    **{
        f"lightning_avsp/papers/{name}/README.md": f"models/{name}.md"
        for name in ("diffsal", "tavdiff", "mubic", "avrsp")
    },
}
"""Documents of the repository, and their pages."""
ROOMS = (
    "metrics", "losses", "diffusion", "papers", "layers", "backbones", "data", "tasks", "predict", "evaluation",
)  # fmt: skip
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are no files below ``docs``."""
    for source, page in PAGES.items():
        text = _relink(_read(ROOT / source), source, page)
        files.append(File.generated(config, page, content=text))
    for room in ("api", *ROOMS):
        page = "index" if room == "api" else room
        files.append(File.generated(config, f"api/{page}.md", content=f"::: lightning_avsp.{room}\n"))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links from pages below ``docs`` to documents elsewhere."""
    source = page.file.src_uri
    return markdown if page.file.generated_by else _relink(markdown, f"docs/{source}", source)


def _read(path: Path) -> str:
    """Read a document, or the cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells)


def _relink(text: str, source: str, page: str) -> str:
    """Let links between files of the repository lead to the pages made of them."""

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        to = PAGES.get(path, path.removeprefix("docs/"))
        return f"]({posixpath.relpath(to, posixpath.dirname(page) or '.')}{match[2] or ''})"

    return LINK.sub(target, text)
