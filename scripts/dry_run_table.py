"""Dry run of a table of a paper, from its own files to its report: ``python scripts/dry_run_table.py FOLDER [SPLITS]``.

It makes SYNTHETIC corpora in the layouts of the six audio-visual sets and of DHF1K, captions, and files of random
weights in the places of the published ones; then it plans, runs and reports a sweep of the papers: every row, stage and
split, one seed, with the papers' encoders and everything else as small as it gets. The numbers mean nothing.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import yaml

SWEEP = "tavdiff_table1"
CORPORA = {"AVAD": 6, "Coutrot1": 3, "Coutrot2": 3, "DIEM": 3, "ETMD": 6, "SumMe": 3, "DHF1K": 4}
"""Videos of each."""
SMALL = {
    "trainer.max_epochs": 1,
    "trainer.limit_train_batches": 2,
    "trainer.limit_val_batches": 1,
    "trainer.accelerator": "cpu",
    "trainer.enable_progress_bar": False,
    "trainer.enable_model_summary": False,
    "data.size": [64, 128],
    "data.map_size": [32, 64],
    "data.batch_size": 2,
    "data.global_batch": 2,
    "data.num_workers": 0,
    "data.test.every": 10,
    "figures": 0,
    "wandb": "disabled",
}
"""Changes to the experiments."""


def main(folder: Path, splits: int) -> None:
    """Run everything below a folder that need not exist, for some of the splits; finished parts are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TORCH_HOME"] = str((folder / "torch").resolve())
    from lightning_avsp.cli import main as avsp

    began, root, runs = time.monotonic(), folder / "data", folder / "runs"
    for corpus, videos in CORPORA.items():
        avsp(["data", "synth", f"--root={root}", f"--corpus={corpus}", f"--videos={videos}", "--seconds=2.0"])
        if corpus != "DHF1K":
            avsp(["caption", str(root), f"--corpus={corpus}", "--synthetic"])
    write_weights("s3d", "soundnet8")
    sweep = write_sweep(folder, root, splits)
    print(f"corpora, captions and weights: {time.monotonic() - began:.0f} s", flush=True)
    avsp(["sweep", "run", str(sweep), f"--runs={runs}", "--jobs=2"])
    avsp(["sweep", "plan", str(sweep), f"--runs={runs}"])
    for protocol in ("paper", "plain"):
        out = folder / f"report-{protocol}.md"
        avsp(
            [
                "report",
                f"--sweep={sweep}",
                f"--runs={runs}",
                f"--protocol={protocol}",
                "--strict",
                f"--out={out}",
            ]
        )
    text = (folder / "report-paper.md").read_text()
    for line in (
        "protocol stavis",
        "SYNTHETIC",
        f"complete: {4 * splits} of {4 * splits} trials",
        "encoders started from",
    ):
        if line not in text:
            raise SystemExit(f"{folder / 'report-paper.md'} does not say {line!r}")
    print(f"everything: {time.monotonic() - began:.0f} s; {folder / 'report-paper.md'}", flush=True)


def write_weights(*names: str) -> None:
    """Put random weights where the published ones of some encoders are looked for."""
    import torch

    from lightning_avsp.backbones.published import weights_folder
    from lightning_avsp.backbones.registry import AUDIO_ENCODERS, VIDEO_ENCODERS, published_sources

    weights_folder().mkdir(parents=True, exist_ok=True)
    for name in names:
        torch.manual_seed(0)
        encoder = {**VIDEO_ENCODERS, **AUDIO_ENCODERS}[name]()
        state = encoder.get_submodule(encoder.loaded_module).state_dict()
        torch.save(state, weights_folder() / published_sources()[name].names[0])


def write_sweep(folder: Path, root: Path, splits: int) -> Path:
    """Write small copies of the sweep's experiments and of the sweep itself."""
    from lightning_avsp.sweep.composition import TrialArguments

    written = {}
    for name, more in (
        ("tavdiff_dhf1k", {}),
        ("tavdiff_av6", {"model.init_args.network.init_args.text_width": 64}),
    ):
        options = {**SMALL, "data.root": str(root), **more}
        config = TrialArguments(Path("experiments") / f"{name}.yaml", tuple(options.items())).compose()
        written[name] = folder / f"{name}.yaml"
        written[name].write_text(yaml.safe_dump(config, sort_keys=False))
    content = yaml.safe_load((Path("sweeps") / f"{SWEEP}.yaml").read_text())
    content["command"][content["command"].index("experiments/tavdiff_av6.yaml")] = str(written["tavdiff_av6"])
    parameters = content["parameters"]
    parameters["seed_everything"] = {"values": [0]}
    parameters["init_from"]["value"] = f"stage:{written['tavdiff_dhf1k']}"
    parameters["data"]["parameters"]["split"] = {"values": list(range(1, splits + 1))}
    parameters["data"]["parameters"]["global_batch"]["value"] = SMALL["data.global_batch"]
    path = folder / f"{SWEEP}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2] if len(sys.argv) > 2 else 3))
