"""Submissions to the NTIRE 2026 challenge: a video for each clip, scored by subset as any prediction."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commandline import EXPERIMENTS

from lightning_avsp.cli import main
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.predictions import open_file
from lightning_avsp.media.video import open_video
from lightning_avsp.predict.submission import submit_crowdsal
from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus
from lightning_avsp.synthetic.films import write_map_film
from lightning_avsp.tasks.loading import load_model

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of 10 frames, one public and one private test clip."""
    folder = tmp_path_factory.mktemp("crowdsal")
    synthesise_corpus(folder, "CrowdSAL", 6, spec=SyntheticSpec(size=(64, 128), seconds=0.8), workers=1)
    return folder


@pytest.fixture(scope="module")
def checkpoint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network after one step."""
    run = tmp_path_factory.mktemp("run")
    options = ["--data.corpora=[CrowdSAL]", f"--data.root={root}", f"--run_dir={run}", "--data.num_workers=0"]
    options += [f"--trainer.limit_{part}_batches=1" for part in ("train", "val")]
    options += [f"--trainer.enable_{name}=false" for name in ("progress_bar", "model_summary")]
    main(["fit", f"--config={EXPERIMENTS / 'smoke.yaml'}", *options, "--wandb=disabled", "--figures=0"])
    command = ["test", f"--config={EXPERIMENTS / 'smoke.yaml'}", *options, "--wandb=disabled"]
    main([*command, "--ckpt_path=last", "--trainer.limit_test_batches=1.0"])
    return run / "checkpoints" / "last.ckpt"


def test_a_test_has_the_challenges_scores_of_each_subset(checkpoint: Path) -> None:
    found = json.loads((checkpoint.parents[1] / "results" / "test_protocols.json").read_text())["ntire26"]
    by_video = {row["video"]: row for row in found["videos"]}
    assert found["subsets"].keys() == {"public_test", "private_test"}
    for subset, video in (("public_test", "0003"), ("private_test", "0006")):
        for metric in ("cc", "sim", "nss", "auc_judd"):
            assert found["subsets"][subset][metric] == by_video[video][metric]


def test_a_video_for_each_clip_which_the_challenges_protocol_scores_by_subset(
    root: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "submission.zip"
    main(["submit", "crowdsal", str(checkpoint), f"--root={root}", f"--out={out}", "--device=cpu"])
    assert sorted(zipfile.ZipFile(out).namelist()) == ["0003.mp4", "0006.mp4"]
    folder = tmp_path / "submission"
    for path in sorted(folder.iterdir()):
        video = open_file(path)
        assert video.numbers == range(1, 11)
        for _, saliency in video.frames(video.numbers):
            # from end to end of 16 bits, but for one level of 8 bits by which a conversion of colours may shift
            assert float(saliency.min()) <= 257
            assert float(saliency.max()) >= 65535 - 257
    main(["submit", "crowdsal", str(checkpoint), f"--root={root}", f"--out={out}", "--device=cpu"])
    assert capsys.readouterr().out.count("there already") == 2
    scores = tmp_path / "scores.json"
    command = ["evaluate", str(folder), f"--root={root}", "--corpus=CrowdSAL", "--protocol=ntire26"]
    main([*command, f"--out={scores}"])
    corpora = json.loads(scores.read_text())["corpora"]
    assert {name: one["videos"] for name, one in corpora.items()} == {
        "CrowdSAL": 2,
        "CrowdSAL public_test": 1,
        "CrowdSAL private_test": 1,
    }
    tested = json.loads((checkpoint.parents[1] / "results" / "test_protocols.json").read_text())["ntire26"]
    for row in tested["videos"]:
        subset = "public_test" if row["video"] == "0003" else "private_test"
        # the same frames decoded for a clip or for a film, seeds by corpus or by frame: another noise, near scores
        assert corpora[f"CrowdSAL {subset}"]["metrics"]["cc"]["mean"] == pytest.approx(row["cc"], abs=0.2)


def test_what_no_challenge_takes_is_refused_before_a_clip_is_predicted(
    root: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_avsp.predict.submission.predict_video", None)
    (entry,) = [e for e in read_videos(root, ["CrowdSAL"], 1, "test") if e.subset == "public_test"]
    path = entry.maps.path  # type: ignore[attr-defined]
    before = path.read_bytes()
    try:
        write_map_film(path, np.zeros((9, 64, 128)), fps=12.5)
        assert open_video(path).frames == 9
        with pytest.raises(InputError, match=r"0003.mp4 has 10 frames, but its ground truth 9"):
            submit_crowdsal(load_model(checkpoint, "cpu"), root, tmp_path / "out", ["public_test"])
    finally:
        path.write_bytes(before)
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(InputError, match=r"more than the submission: remove notes.txt"):
        submit_crowdsal(load_model(checkpoint, "cpu"), root, tmp_path / "out", ["public_test"])
