"""Every experiment file that is shipped parses, opens with its command, builds its variants, and runs."""

from pathlib import Path
from typing import Any, Union, get_args, get_type_hints

import pytest
import yaml
from commandline import EXPERIMENTS, TINY_NETWORK, fit_arguments
from lightning.pytorch import Trainer

from lightning_avsp.cli import main
from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.tasks.experiment import Experiment, put_integers_first

FILES = sorted(EXPERIMENTS.glob("*.yaml"))
SAME_FORM = {
    "avrsp_ablations": "avrsp_avad",
    "avrsp_av6": "avrsp_avad",
    "diffsal_av6": "diffsal_avad",
    "tavdiff_av6": "tavdiff_avad",
}
"""Files whose network and form of data are those of another, which is trained in their place."""


def variants() -> list[Any]:
    """The options behind each line `# Variant, TITLE: OPTIONS` of the files."""
    return [
        pytest.param(path, line.rpartition(": ")[2].split(), id=line.rpartition("--experiment=")[2])
        for path in FILES
        for line in path.read_text().splitlines()
        if line.startswith("# Variant")
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_opens_with_its_command_and_its_row_and_is_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# lightning fit --config experiments/" + path.name)
    assert lines[1].startswith("# ")
    assert "row" in " ".join(lines[1:4])
    assert len(lines) <= 32
    assert f"experiment: {path.stem}" in lines
    assert all(find_corpus(name).name == name for name in section(path, "data")["corpora"])
    assert f"`{path.name}`" in (EXPERIMENTS / "README.md").read_text()


@pytest.mark.parametrize(("path", "options"), variants())
def test_its_variants_build_in_run_folders_of_their_own(path: Path, options: list[str]) -> None:
    experiment = Experiment([f"--config={path}", *options])
    assert experiment.config.experiment not in {other.stem for other in FILES}
    experiment.build("meta")


@pytest.fixture(scope="module")
def captions(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captions of the small corpus, with token features as wide as CLIP's."""
    folder = tmp_path_factory.mktemp("captions")
    main(
        [
            "caption",
            str(corpus),
            "--corpus=AVAD",
            "--synthetic",
            "--text_model=tiny-random-512",
            f"--out={folder}",
        ]
    )
    return folder


@pytest.mark.parametrize(("name", "other"), SAME_FORM.items())
def test_its_network_and_form_of_data_are_those_of_another(name: str, other: str) -> None:
    forms = []
    for stem in (name, other):
        values = Experiment([f"--config={EXPERIMENTS / stem}.yaml"]).values
        form = ("size", "target_size", "audio", "clip", "augmentation")
        model = values["model"]
        settings = [
            model["class_path"],
            model["init_args"]["network"],
            values["data"].get("captions") is None,
        ]
        forms.append([*settings, *(values["data"].get(key) for key in form)])
    assert forms[0] == forms[1]


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem not in SAME_FORM], ids=lambda path: path.stem
)
def test_it_trains_and_tests_with_a_tiny_network(
    path: Path, corpus: Path, captions: Path, tmp_path: Path
) -> None:
    more = []
    if section(path, "data").get("captions"):
        more += [f"--data.captions.folder={captions}", f"--data.captions.features={captions / 'features'}"]
        more += ["--model.network.text_width=512"]
    if section(path, "data").get("clip", {}).get("frames") == 32:
        more += ["--data.clip.frames=8", "--model.network.clip_frames=8"]  # 32 of them take long on a CPU
    main(
        fit_arguments(
            corpus,
            tmp_path,
            *TINY_NETWORK,
            "--trainer.fast_dev_run=1",
            "--test_after_fit=true",
            *more,
            experiment=path.stem,
        )
    )
    assert not (tmp_path / "checkpoints").exists()  # fast_dev_run leaves nothing behind


def section(path: Path, name: str) -> dict:
    """A section of an experiment, with its file included and the clip's file in it."""
    content = yaml.safe_load(path.read_text())[name]
    if isinstance(content, str):
        content = yaml.safe_load((EXPERIMENTS / content).read_text())
    for key, value in content.items():
        if isinstance(value, str) and value.startswith("_base/"):
            content[key] = yaml.safe_load((EXPERIMENTS / value).read_text())
    return content


def test_whole_numbers_stay_whole_whatever_was_imported_first() -> None:
    """``typing`` may hand out ``Union[float, int, None]`` for Lightning's limits, by which 1 would become 1.0."""
    annotations = {"limit_val_batches": Union[float, int, None], "devices": Union[int, str]}  # noqa: UP007
    put_integers_first(annotations)
    assert get_args(annotations["limit_val_batches"]) == (int, float, type(None))
    assert annotations["devices"] == Union[int, str]  # noqa: UP007
    limits = get_type_hints(Trainer.__init__)
    assert get_args(limits["limit_val_batches"])[0] is int
