"""Networks, diffusion, metrics, layers and backbones must work where Lightning is not installed."""

import pkgutil
import subprocess
import sys

import pytest

import lightning_avsp

PURE = (
    "lightning_avsp.structures",
    "lightning_avsp.losses",
    "lightning_avsp.diffusion",
    "lightning_avsp.layers",
    "lightning_avsp.backbones",
    "lightning_avsp.metrics",
    "lightning_avsp.papers",
)
BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
# some libraries ask what is installed before they import it
import importlib.metadata
installed = importlib.metadata.Distribution.from_name
def from_name(name):
    if name in BLOCKED:
        raise importlib.metadata.PackageNotFoundError(name)
    return installed(name)
importlib.metadata.Distribution.from_name = from_name
import importlib
for module in MODULES:
    importlib.import_module(module)
"""


def run(modules: list[str], blocked: set[str]) -> None:
    code = BLOCK.replace("BLOCKED", repr(blocked)).replace("MODULES", repr(modules))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def modules_below(name: str) -> list[str]:
    package = __import__(name, fromlist=["_"])
    if not hasattr(package, "__path__"):
        return [name]
    return [name, *(m.name for m in pkgutil.walk_packages(package.__path__, f"{name}."))]


def test_pure_parts_import_without_lightning() -> None:
    modules = [module for name in PURE for module in modules_below(name)]
    run(modules, {"lightning", "pytorch_lightning"})


def test_optional_packages_stay_optional() -> None:
    every = [m.name for m in pkgutil.walk_packages(lightning_avsp.__path__, "lightning_avsp.")]
    modules = [name for name in every if not name.endswith("__main__")]
    run(
        modules,
        {
            "wandb",
            "av",
            "decord",
            "soundfile",
            "simplejpeg",
            "pytorchvideo",
            "diffusers",
            "transformers",
            "thop",
        },
    )


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys; from lightning_avsp.cli import main; main(['--help']); main(['--version']);"
        "heavy = {'torch', 'lightning', 'numpy', 'jsonargparse'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "data synth" in done.stdout


@pytest.mark.parametrize("name", ["utils", "helpers", "misc", "common"])
def test_no_drawers(name: str) -> None:
    every = [m.name.split(".")[-1] for m in pkgutil.walk_packages(lightning_avsp.__path__, "lightning_avsp.")]
    assert name not in every
