"""Checkpoints of strangers: what they name is never imported, called, read or downloaded, whatever opens them."""

import copy
import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from commandline import fit_arguments

from lightning_avsp.backbones.feature_store import FeatureStore
from lightning_avsp.diffusion import Sampling
from lightning_avsp.errors import InputError
from lightning_avsp.input_spec import InputSpec
from lightning_avsp.media.audio import LogMel
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.structures import ClipPolicy
from lightning_avsp.tasks import DiffusionSaliencyTask
from lightning_avsp.tasks.initial_weights import read_network
from lightning_avsp.tasks.loading import INPUT_KEY, load_model

TINY = {"video_encoder": "tiny", "audio_encoder": "tiny"}
SPEC = InputSpec((64, 96), (64, 96), ClipPolicy(target="last"), LogMel(size=(16, 32)))
Change = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """Content of a small checkpoint, as `lightning fit` writes it."""
    task = DiffusionSaliencyTask(DiffSal(**TINY), sampling=Sampling(steps=2))
    return {
        "pytorch-lightning_version": lightning.__version__,
        "epoch": 0,
        "global_step": 1,
        "loops": {},
        "state_dict": task.state_dict(),
        "hyper_parameters": {
            "network": {"class_path": "lightning_avsp.papers.diffsal.DiffSal", "init_args": dict(TINY)},
            "sampling": {"steps": 2},
            "_instantiator": "lightning.pytorch.cli.instantiate_module",
            "_class_path": "lightning_avsp.tasks.DiffusionSaliencyTask",
        },
        INPUT_KEY: SPEC.as_plain(),
    }


@pytest.fixture
def content(trained: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(trained)


def save(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_a_checkpoint_becomes_the_model_of_its_training(content: dict[str, Any], tmp_path: Path) -> None:
    model = load_model(save(content, tmp_path / "last.ckpt"))
    assert model.spec == SPEC
    assert model.sampling == Sampling(steps=2)
    loaded = model.network.state_dict()
    assert all(torch.equal(loaded[n.removeprefix("network.")], t) for n, t in content["state_dict"].items())
    assert not model.half
    content["precision"] = "bf16-mixed"
    assert load_model(save(content, tmp_path / "half.ckpt")).half  # a GPU predicts as it was trained
    content["state_dict"].pop(next(iter(content["state_dict"])))
    with pytest.raises(InputError, match=r"torn.ckpt does not fit .*1 tensors are missing"):
        load_model(save(content, tmp_path / "torn.ckpt"))


@pytest.mark.parametrize(("half", "device"), [(True, "cuda"), (True, "cpu"), (False, "cuda")])
def test_a_gpu_predicts_in_bfloat16_what_was_trained_in_it(
    half: bool, device: str, content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = replace(load_model(save(content, tmp_path / "last.ckpt")), half=half)
    entered: list[dict[str, Any]] = []

    def enter(_: str, **options: Any) -> AbstractContextManager[None]:
        entered.append(options)
        return nullcontext()

    monkeypatch.setattr(type(model), "device", property(lambda _: torch.device(device)))
    monkeypatch.setattr(torch, "autocast", enter)
    monkeypatch.setattr("lightning_avsp.tasks.loading.encode", lambda *_: "encoded")
    monkeypatch.setattr("lightning_avsp.tasks.loading.sample_maps", lambda *_, **__: "maps")
    monkeypatch.setattr("lightning_avsp.tasks.loading.clip_seeds", lambda *_: [0])
    assert (model.encode(None), model.sample(None, None)) == ("encoded", "maps")  # type: ignore[arg-type]
    assert entered == [{"dtype": torch.bfloat16, "enabled": half and device == "cuda"}] * 2


class Shell:
    """An object whose unpickling runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def called(function: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": function, "init_args": arguments}


def nest(settings: dict[str, Any], shell: dict[str, Any], *names: str) -> None:
    """Put the call of a shell command at a path of the settings."""
    for name in names[:-1]:
        settings = settings.setdefault(name, {})
    settings[names[-1]] = shell


PATHS = (
    ("network",),
    ("network", "init_args", "video_encoder"),
    ("network", "init_args", "channels"),
    ("sampling",),
    ("sampling", "init_args"),
    ("diffusion",),
    ("optimizer",),
    ("loss",),
    ("lr_scheduler",),
    ("feature_cache",),
    ("metrics",),
)
CALLS: dict[str, Callable[[str], dict[str, Any]]] = {
    "getoutput": lambda shell: called("subprocess.getoutput", cmd=shell),
    "traced": lambda shell: called(
        "torch.fx.symbolic_trace", root="subprocess.getoutput", concrete_args={"cmd": shell}
    ),
}


def released(settings: dict[str, Any], shell: dict[str, Any]) -> None:
    """The network class that accepted modules, with the call in their place."""
    settings["network"] = called(
        "lightning_avsp.papers.diffsal.released.network.ReleasedDiffSal", video_encoder=shell
    )


def gated(settings: dict[str, Any], shell: dict[str, Any]) -> None:
    settings["network"] = called("lightning_avsp.papers.mubic.MUBiC", fusion=shell, **TINY)


def instantiated(settings: dict[str, Any], shell: dict[str, Any]) -> None:
    settings |= {"_instantiator": "subprocess.getoutput", "_class_path": "subprocess.getoutput", "cmd": shell}


def imported(settings: dict[str, Any], shell: dict[str, Any]) -> None:
    settings["network"]["class_path"] = "dropped_module.DiffSal"


def spelt(settings: dict[str, Any], shell: dict[str, Any]) -> None:
    settings["network"] = f"subprocess.getoutput('{shell}')"


CHANGES: dict[str, Change] = {
    **{
        ".".join(path): lambda settings, shell, path=path: nest(settings, shell, *path)  # type: ignore[misc]
        for path in PATHS
    },
    **{change.__name__: change for change in (released, gated, instantiated, imported, spelt)},
}


UNUSED = ("optimizer", "loss", "lr_scheduler", "feature_cache", "metrics", "instantiated")
"""Changes of what only training needs: it is not even looked at."""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File that every payload would make: by a command, or by the import of a module that lies on the path."""
    path = tmp_path / "ran"
    (tmp_path / "dropped_module.py").write_text(f"open({str(path)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    return path


def assert_nothing_ran(marker: Path) -> None:
    assert not marker.exists()
    assert "dropped_module" not in sys.modules


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_named_call_is_never_made(
    content: dict[str, Any], tmp_path: Path, marker: Path, change: str, call: str
) -> None:
    CHANGES[change](content["hyper_parameters"], CALLS[call](f"touch {marker}"))
    path = save(content, tmp_path / "last.ckpt")
    if change in UNUSED:
        assert isinstance(load_model(path).network, DiffSal)
    else:
        with pytest.raises(InputError, match=r"^[^\n]*last.ckpt[^\n]*$"):
            load_model(path)
    assert_nothing_ran(marker)
    with pytest.raises(InputError, match="load_model"):  # Lightning's way would run it
        DiffusionSaliencyTask.load_from_checkpoint(path)


@pytest.mark.parametrize(
    "section", ["state_dict", "callbacks", "optimizer_states", INPUT_KEY, "hyper_parameters"]
)
def test_an_object_that_runs_when_it_is_unpickled_is_refused(
    content: dict[str, Any], tmp_path: Path, marker: Path, section: str
) -> None:
    content[section] = {"network.x": Shell(f"touch {marker}")}
    path = save(content, tmp_path / "last.ckpt")
    for read in (load_model, read_network):  # a model, and the stage of another training
        with pytest.raises(InputError, match=r"contains posix.system, which is code") as refused:
            read(path)
        assert "weights_only" not in str(refused.value)
    assert_nothing_ran(marker)


def test_weights_of_an_encoder_are_neither_read_nor_downloaded(
    content: dict[str, Any], tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: marker.touch())
    arguments = content["hyper_parameters"]["network"]["init_args"]
    arguments |= {"video_weights": "kinetics400", "audio_weights": str(tmp_path / "absent.pth")}
    load_model(save(content, tmp_path / "last.ckpt"))
    assert_nothing_ran(marker)


@pytest.mark.parametrize(
    ("names", "value", "message"),
    [
        (
            ("hyper_parameters", "network", "init_args", "head_channels"),
            10**12,
            "head_channels is 1000000000000",
        ),
        (("hyper_parameters", "network", "init_args", "head_channels"), 999_999, "of another shape"),
        (("hyper_parameters", "sampling", "samples"), 10**6, "more than 1000"),
        (("hyper_parameters", "diffusion", "num_steps"), 10**9, "num_steps is 1000000000"),
        ((INPUT_KEY, "size"), (10**6, 10**6), "sizes"),
        ((INPUT_KEY, "clip", "frames"), 10**5, "clips of 100000 frames"),
        ((INPUT_KEY, "audio", "form"), "subprocess.getoutput", "audio.form"),
        ((INPUT_KEY, "text"), {"model": "m"}, "text"),
        ((INPUT_KEY, "clip", "eval"), "1", "'eval'"),
    ],
)
def test_absurd_values_are_named_before_they_take_memory(
    content: dict[str, Any], tmp_path: Path, names: tuple[str, ...], value: Any, message: str
) -> None:
    nest(content, value, *names)
    with pytest.raises(InputError, match=message):
        load_model(save(content, tmp_path / "last.ckpt"))


def test_a_value_without_end_is_not_printed(content: dict[str, Any], tmp_path: Path) -> None:
    endless: OrderedDict[str, Any] = OrderedDict()
    for _ in range(64):  # 2**64 entries, were it written out
        endless = OrderedDict(a=endless, b=endless)
    content["hyper_parameters"]["network"]["init_args"]["variant"] = endless
    with pytest.raises(InputError, match="variant is a OrderedDict"):
        load_model(save(content, tmp_path / "last.ckpt"))


def test_checkpoints_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file at"):
        load_model(tmp_path / "missing.ckpt")
    for name, bytes_ in (("words", b"words"), ("empty", b""), ("cut", b"PK\x03\x04" + bytes(100))):
        path = tmp_path / f"{name}.ckpt"
        path.write_bytes(bytes_)
        with pytest.raises(InputError, match=rf"{name}.ckpt \(\d+ bytes\) cannot be read: it is damaged"):
            load_model(path)
    foreign = {"pytorch-lightning_version": lightning.__version__, "state_dict": {}}
    with pytest.raises(InputError, match="not of this project's tasks"):
        load_model(save(foreign, tmp_path / "foreign.ckpt"))
    with pytest.raises(
        InputError, match="neither a checkpoint of `lightning fit` nor an official DiffSal file"
    ):
        load_model(save({"weight": torch.zeros(3)}, tmp_path / "tensors.pth"))


@pytest.mark.parametrize("command", ["predict", "audit audio", "explain", "test", "fit"])
def test_no_command_runs_what_a_checkpoint_names(
    content: dict[str, Any], tmp_path: Path, marker: Path, make_film: Callable[..., Path], command: str,
    corpus: Path, refused: Callable[..., str],
) -> None:  # fmt: skip
    released(content["hyper_parameters"], CALLS["traced"](f"touch {marker}"))
    path = save(content, tmp_path / "last.ckpt")
    common = (f"--root={corpus}", "--device=cpu")
    trainer = [*fit_arguments(corpus, tmp_path / "run")[1:], f"--ckpt_path={path}"]
    arguments = {
        "predict": [
            "predict",
            str(make_film()),
            f"--checkpoint={path}",
            f"--out={tmp_path / 'out'}",
            "--device=cpu",
        ],
        "audit audio": ["audit", "audio", str(path), *common],
        "explain": ["explain", str(path), *common],
        "test": ["test", *trainer],
        "fit": ["fit", *trainer],
    }[command]
    assert f"error: {path}" in refused(arguments)
    assert_nothing_ran(marker)


def test_results_and_configurations_of_others_run_nothing(
    tmp_path: Path, marker: Path, refused: Callable[..., str]
) -> None:
    run = tmp_path / "runs" / "run"
    (run / "results").mkdir(parents=True)
    (run / "results" / "test.json").write_text('{"videos": [], "class_path": "dropped_module.DiffSal"}')
    (run / "config.yaml").write_text(f"!!python/object/apply:os.system ['touch {marker}']")
    error = refused(["report", "--leaderboard", "--corpus=AVAD", f"--runs={tmp_path / 'runs'}"])
    assert error.count("\n") == 1
    store = FeatureStore(tmp_path / "features")
    path = store.path("encoder", "clip")
    path.parent.mkdir(parents=True)
    save({"clip": "clip", "features": [Shell(f"touch {marker}")]}, path)
    assert store.read("encoder", "clip") is None
    assert_nothing_ran(marker)
