"""The house: who may import whom, no circles, no room too large, no name twice; networks run without Lightning."""

import ast
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lightning_avsp

ROOT = Path(lightning_avsp.__file__).parent
ROOMS = (
    ("errors",),
    ("files", "array_file", "parallel", "plain_values", "structures", "clip_policy", "run_folder", "launch"),
    ("media",),
    ("input_spec",),
    ("diffusion",),
    ("layers",),
    ("backbones",),
    ("losses", "metrics"),
    ("papers",),
    ("data",),
    ("curation",),
    ("synthetic",),
    ("tasks",),
    ("callbacks",),
    ("predict", "evaluation"),
    ("profiling",),
    ("sweep",),
    ("report",),
    ("api",),
    ("cli",),
)
"""Rooms from low to high: a room imports itself, the rooms of its line and all before it."""
LARGEST_SHARE = 0.2
SAME_NAME = {"cc": "a loss and a metric of one formula", "sim": "likewise"}
"""Public names that may be defined more than once, and why."""
FOREIGN = {
    *("Trainer", "Callback", "Logger", "Tensor", "Module", "Dataset", "DataLoader", "Sampler", "Optimizer"),
    *("Metric",),
}
"""Names that everybody reads as Lightning's, torch's or torchmetrics'."""
PURE = [
    *("structures", "clip_policy", "input_spec", "losses", "diffusion", "layers", "backbones", "metrics"),
    *("papers",),
]
OPTIONAL = {
    *("wandb", "av", "decord", "soundfile", "simplejpeg", "pytorchvideo", "diffusers", "transformers"),
    *("thop", "ray", "pymovements"),
}
BLOCK = """
import sys
blocked = set()
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
# some libraries ask what is installed before they import it
import importlib.metadata
installed = importlib.metadata.Distribution.from_name
def from_name(name):
    if name in blocked:
        raise importlib.metadata.PackageNotFoundError(name)
    return installed(name)
importlib.metadata.Distribution.from_name = from_name
import importlib
for blocked, modules in ORDER:
    for module in modules:
        importlib.import_module(module)
"""


def read_modules() -> dict[str, ast.Module]:
    """Syntax tree of every module by its dotted name; a package's is that of its ``__init__``."""
    trees = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        trees[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return trees


TREES = read_modules()
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}


def imported_modules(module: str) -> dict[str, int]:
    """Modules of this package that a module imports, also inside functions, with the line."""
    found: dict[str, int] = {}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from package import name` is the submodule `name` if there is one, else the package
            paths = {f"{node.module}.{alias.name}" for alias in node.names}
            names = [path for path in paths if path in TREES] or [str(node.module)]
        else:
            continue
        found |= {name: node.lineno for name in names if name in TREES and name != module}
    return found


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_its_place() -> None:
    rooms = {room(module) for module in TREES} - {"", "__main__"}
    assert rooms == set(RANK)
    architecture = (ROOT.parent / "ARCHITECTURE.md").read_text()
    assert not [name for name in rooms if f"  {name}" not in architecture]


def test_no_arrow_leads_up() -> None:
    upward = [
        f"{module}:{line} imports {other}"
        for module in TREES
        for other, line in imported_modules(module).items()
        if room(module) in RANK and room(other) in RANK and RANK[room(other)] > RANK[room(module)]
    ]
    assert not upward, "\n".join(upward)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: set(imported_modules(module)) - {"lightning_avsp"} for module in TREES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_room_is_above_a_fifth_of_the_house() -> None:
    lines: dict[str, int] = defaultdict(int)
    for path in ROOT.rglob("*.py"):
        lines[path.relative_to(ROOT).parts[0]] += len(path.read_text().splitlines())
    total = sum(lines.values())
    assert {name: count for name, count in lines.items() if count > LARGEST_SHARE * total} == {}


def test_public_names_are_defined_once_and_are_nobody_elses() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                homes[node.name].append(module.removeprefix("lightning_avsp."))
    # a command's function is named as its command
    twice = {
        name: where
        for name, where in homes.items()
        if name not in SAME_NAME and len([module for module in where if not module.startswith("cli.")]) > 1
    }
    assert twice == {}
    assert {name: homes[name] for name in FOREIGN if name in homes} == {}
    assert [name for name in SAME_NAME if len(homes[name]) < 2] == []


def test_pure_rooms_import_without_lightning_and_optional_packages_stay_optional() -> None:
    pure = [module for module in TREES if room(module) in PURE]
    rest = [module for module in TREES if not module.endswith("__main__")]
    order = [(OPTIONAL | {"lightning", "pytorch_lightning"}, pure), (OPTIONAL, rest)]
    code = BLOCK.replace("ORDER", repr(order))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys; from lightning_avsp.cli import main; main(['--help']); main(['--version']);"
        "heavy = {'torch', 'lightning', 'numpy', 'jsonargparse'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "data synth" in done.stdout


def test_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys; import lightning_avsp; import lightning_avsp.metrics as m; assert m.__name__;"
        "heavy = {'torchmetrics', 'lightning', 'av'} & set(sys.modules); assert not heavy, heavy"
    )
    alone = (
        "import sys; import lightning_avsp; heavy = {'torch', 'numpy'} & set(sys.modules); assert not heavy, heavy;"
        "assert len([m for m in sys.modules if m.startswith('lightning_avsp')]) == 1"
    )
    for script in (alone, code):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_no_drawers() -> None:
    assert not {module.split(".")[-1] for module in TREES} & {"utils", "helpers", "misc", "common"}
