from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import torch
from rounding import HALF
from torch import Tensor, nn

from lightning_avsp.cli import main
from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.errors import InputError
from lightning_avsp.input_spec import InputSpec
from lightning_avsp.launch import choose_device
from lightning_avsp.media import video
from lightning_avsp.media.audio import LogMel
from lightning_avsp.media.video import open_video
from lightning_avsp.predict import job, writer
from lightning_avsp.predict.job import describe_prediction
from lightning_avsp.structures import ClipPolicy, Condition, DiffusionNetwork
from lightning_avsp.tasks import loading
from lightning_avsp.tasks.loading import LoadedModel

# Lightning's own command line still calls a function that jsonargparse has renamed.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:\s*By default only one Jsonargparse:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\s*``instantiate_classes``:DeprecationWarning"),
]


class Dot(DiffusionNetwork):
    """Smallest denoiser with weights: brightness of the clip and loudness of the sound shift the map."""

    clip_frames = 4

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 1, 1)

    def encode(self, video, audio=None, text=None) -> Condition:
        features = () if video is None else (video.mean((1, 2, 3, 4)).view(-1, 1, 1, 1),)
        return Condition(features, None if audio is None else audio.mean((1, 2, 3, 4)).view(-1, 1))

    def denoise(self, noisy_map, t, condition) -> Tensor:
        zero = torch.zeros_like(noisy_map)
        seen = zero + condition.video[0] if condition.video else zero
        heard = zero if condition.audio is None else zero + condition.audio[..., None, None]
        return torch.sigmoid(self.mix(torch.cat([noisy_map, seen, heard], 1)))


@pytest.fixture
def trained(monkeypatch, tmp_path: Path) -> Path:
    """A checkpoint path that the loader answers with a tiny network."""
    torch.manual_seed(0)
    spec = InputSpec((24, 32), (24, 32), ClipPolicy(frames=Dot.clip_frames), LogMel(size=(16, 16)))
    model = LoadedModel(Dot().eval(), spec, "test", sampling=Sampling(), diffusion=GaussianDiffusion())

    def load(path: Path, device: str, steps: int | None, seed: int = 0) -> LoadedModel:
        choose_device(device)
        sampling = Sampling() if steps is None else Sampling(steps=steps)
        return replace(model, seed=seed, steps=steps, sampling=sampling)

    monkeypatch.setattr(loading, "load_model", load)
    path = tmp_path / "model.ckpt"
    path.touch()
    return path


@pytest.fixture
def film(make_film) -> Path:
    """12 frames of 96x64 pixels without sound."""
    return make_film(frames=12, channels=0)


def predict(*arguments: object) -> None:
    main(["predict", *map(str, arguments)])


@pytest.mark.shared
def test_a_real_video(trained, shared: Path, tmp_path: Path, capsys) -> None:
    source, out = shared / "clips" / "nasa_13013.mp4", tmp_path / "out"
    predict(source, "--checkpoint", trained, "--out", out, "--stride", 40, "--steps", 2)
    said = capsys.readouterr().out
    assert "2 video streams: taking the larger, stream 3 (480x270), not stream 0 (320x180)" in said
    assert "one frame in 40 and the last are predicted, others are interpolated" in said
    assert "390 frames in" in said.splitlines()[-1]
    assert "frames/s" in said.splitlines()[-1]
    assert str(out) in said.splitlines()[-1]
    for name in ("overlay.mp4", "saliency.mp4"):
        written = open_video(out / name)
        assert (written.frames, written.width, written.height) == (390, 480, 270)
        assert written.audio is not None
        assert (written.audio.channels, written.audio.rate) == (2, 16000)
    with np.load(out / "maps.npz") as stored:
        assert stored["maps"].shape == (390, 24, 32)
    record = json.loads((out / "prediction.json").read_text())
    assert record["sampling"]["steps"] == 2
    assert record["modality"] == record["modality_used"] == "av"
    assert record["video"]["video_stream"] == 3
    assert set(record["seconds_by_part"]) == {"decode", "audio", "encode", "denoise", "write"}


def test_a_silent_video_is_reported(trained, film: Path, tmp_path: Path, capsys) -> None:
    predict(film, "--checkpoint", trained, "--out", tmp_path / "out", "--format", "png")
    assert "no audio: predicting from its frames alone (video-only path)" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "maps").iterdir())) == 12
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["modality_used"] == "v"


def test_mistakes_are_one_line_and_leave_nothing(trained, film: Path, tmp_path: Path, refused) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "words.mp4").write_text("words " * 100)
    (tmp_path / "cut.mp4").write_bytes(film.read_bytes()[:1500])
    before = sorted(tmp_path.iterdir())
    common = ("--checkpoint", trained, "--out", tmp_path / "out")
    assert "does not exist" in refused(["predict", tmp_path / "missing.mp4", *common])
    assert "is empty" in refused(["predict", tmp_path / "empty.mp4", *common])
    assert "is not a video" in refused(["predict", tmp_path / "words.mp4", *common])
    assert "cut off" in refused(["predict", tmp_path / "cut.mp4", *common])
    assert "has no audio" in refused(["predict", film, *common, "--modality", "a"])
    assert "stride=0" in refused(["predict", film, *common, "--stride", 0])
    assert "opacity is 2.0" in refused(["predict", film, *common, "--opacity", 2])
    assert "steps" in refused(["predict", film, *common, "--steps", 0])
    assert "'rainbowish'" in refused(["predict", film, *common, "--colours", "rainbowish"])
    assert "'warp'" in refused(["predict", film, *common, "--device", "warp"])
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_prediction_goes_on_where_it_stopped(
    trained, film: Path, tmp_path: Path, monkeypatch, capsys, stop_signal
) -> None:
    common = (film, "--checkpoint", trained, "--batch", 1, "--stride", 3)
    predict(*common, "--out", tmp_path / "whole")
    encode, targets = Dot.encode, []

    def interrupted(self, video, audio=None, text=None) -> Condition:
        targets.append(len(targets))
        if len(targets) == 3:
            signal.raise_signal(stop_signal)
        return encode(self, video, audio, text)

    monkeypatch.setattr(Dot, "encode", interrupted)
    with pytest.raises(SystemExit) as stop:
        predict(*common, "--out", tmp_path / "out")
    assert stop.value.code == 130
    assert "maps of 4 frames are kept in" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    predict(*common, "--out", tmp_path / "out")
    assert "3 frames of an interrupted prediction are there" in capsys.readouterr().out
    assert len(targets) == 3 + 4  # frames 4, 7, 10 and 12
    maps, whole = (np.load(tmp_path / name / "maps.npz")["maps"] for name in ("out", "whole"))
    assert np.array_equal(maps, whole)  # clip by clip, so the same operations in the same order
    assert not list(tmp_path.glob(".*"))


def test_several_films_share_a_network_and_go_on_film_by_film(
    trained, film: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / "films").mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4", "notes.txt"):
        (tmp_path / "films" / name).write_bytes(film.read_bytes())
    loads, encode, calls = [], Dot.encode, []
    load = loading.load_model
    monkeypatch.setattr(loading, "load_model", lambda *given: loads.append(given) or load(*given))

    def interrupted(self, *inputs) -> Condition:
        calls.append(len(calls))
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return encode(self, *inputs)

    monkeypatch.setattr(Dot, "encode", interrupted)
    common = ("--checkpoint", trained, "--out", tmp_path / "out")
    with pytest.raises(SystemExit):
        predict(tmp_path / "films", *common)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".b.partial", "a"]
    assert len(calls) == 5  # three batches of a, two of b
    capsys.readouterr()
    predict(tmp_path / "films" / "*.mp4", *common, "--style", "heat")  # the same films and request
    said = capsys.readouterr().out
    assert "a holds this prediction already" in said
    assert "frames of an interrupted prediction" in said
    assert len(loads) == 2
    maps = [np.load(tmp_path / "out" / name / "maps.npz")["maps"] for name in "abc"]
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], rtol=0, atol=HALF)  # b's batches begin at its fourth frame


def test_everything_is_tried_before_the_first_frame_of_the_first_film(
    trained, film: Path, tmp_path: Path, monkeypatch, refused
) -> None:
    monkeypatch.setattr(Dot, "encode", lambda *_: pytest.fail("a frame was predicted"))
    (tmp_path / "films").mkdir()
    first, second = tmp_path / "films" / "a.mp4", tmp_path / "films" / "b.mp4"
    common = ("--checkpoint", trained, "--out", tmp_path / "out")
    assert "holds no video" in refused(["predict", tmp_path / "films", *common])
    assert "holds no video" in refused(["predict", tmp_path / "films" / "*.mp4", *common])
    first.write_bytes(film.read_bytes())
    second.write_text("words " * 100)
    assert "b.mp4 is not a video" in refused(["predict", tmp_path / "films", *common])
    second.write_bytes(film.read_bytes())
    assert "rename one" in refused(["predict", film, first, tmp_path / "a.mkv", tmp_path / "a.mp4", *common])
    (tmp_path / "out" / "b").mkdir(parents=True)
    (tmp_path / "out" / "b" / "thesis.tex").touch()
    assert "thesis.tex" in refused(["predict", first, second, *common])
    monkeypatch.setattr(writer, "SPARE_BYTES", 1 << 60)
    (tmp_path / "out" / "b" / "thesis.tex").unlink()
    assert "make room" in refused(["predict", first, second, *common])
    assert not (tmp_path / "out" / "a").exists()


def test_damage_late_in_a_film_keeps_the_frames_before_it(
    trained, film: Path, tmp_path: Path, monkeypatch, refused
) -> None:
    decode = video.decode_video

    def damaged(info):
        for index, frame in enumerate(decode(info)):
            if index == 10:
                raise InputError(f"{film} is damaged: decoding stops after frame 10")
            yield frame

    monkeypatch.setattr(video, "decode_video", damaged)
    monkeypatch.setattr(writer, "decode_video", damaged)
    line = refused(["predict", film, "--checkpoint", trained, "--out", tmp_path / "out", "--stride", 4])
    assert "Frames 1 to 10 are written" in line
    assert "frames 11 to 12 are missing" in line
    assert np.load(tmp_path / "out" / "maps.npz")["maps"].shape == (10, 24, 32)
    assert open_video(tmp_path / "out" / "overlay.mp4").frames == 10
    record = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert record["frames"] == 10
    assert "decoding stops" in record["damage"]


def test_a_package_without_a_record_loses_nothing(trained, film: Path, tmp_path: Path, monkeypatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(job, "version", absent)
    predict(film, "--checkpoint", trained, "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["versions"]["torch"] is None


def test_an_earlier_prediction_is_kept_unless_asked(
    trained, film: Path, tmp_path: Path, capsys, refused
) -> None:
    common = (film, "--checkpoint", trained, "--out", tmp_path / "out")
    predict(*common)
    written = (tmp_path / "out" / "prediction.json").stat().st_mtime_ns
    predict(*common)
    assert "holds this prediction already: nothing to do" in capsys.readouterr().out
    assert (tmp_path / "out" / "prediction.json").stat().st_mtime_ns == written
    assert "is not empty" in refused(["predict", *common, "--seed", 5])
    assert "is not empty" in refused(["predict", *common, "--style", "contour"])
    predict(*common, "--overwrite", "true", "--seed", 5)
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["seed"] == 5


def test_the_bench_compares_with_a_loop_over_windows(
    trained, make_film, tmp_path: Path, monkeypatch, capsys
) -> None:
    encode, clips = Dot.encode, []

    def counted(self, video, audio=None, text=None) -> Condition:
        clips.append(len(video))
        return encode(self, video, audio, text)

    monkeypatch.setattr(Dot, "encode", counted)
    path = make_film("loud.mp4", frames=20)
    options = [
        f"--checkpoint={trained}",
        "--strides=[5]",
        "--windows=3",
        "--steps=2",
        f"--json={tmp_path}/a.json",
    ]
    main(["bench", "predict", str(path), *options])
    assert clips == [4, 4, 4, 4, 4, 4, 1] + [1] * 6  # stride 1, stride 5, three windows in two steps
    loop, whole, fifth = json.loads((tmp_path / "a.json").read_text())
    assert [loop["way"], whole["way"], fifth["way"]] == ["each window alone", "stride 1", "stride 5"]
    parts = ("decode", "audio", "encode", "denoise", "write")
    assert all(record[name] > 0 for record in (loop, whole, fifth) for name in parts)
    assert loop["frames_per_s"] == pytest.approx(1 / sum(loop[name] for name in parts))
    # and resampling that begins elsewhere
    assert loop["difference"] < 4 * HALF
    assert "stride 5" in capsys.readouterr().out


def test_a_gpu_gets_larger_batches_and_replayed_passes(
    trained, film: Path, tmp_path: Path, monkeypatch
) -> None:
    batches: list[int] = []
    recorded: list[nn.Module] = []
    monkeypatch.setattr(job, "predict_films", lambda *given: batches.append(given[-1]))
    monkeypatch.setattr("lightning_avsp.tasks.graphs.use_graphs", recorded.append)
    predict(film, "--checkpoint", trained, "--out", tmp_path / "cpu")
    monkeypatch.setattr(LoadedModel, "device", property(lambda _: torch.device("cuda")))
    for batch in ((), ("--batch", 3)):
        predict(film, "--checkpoint", trained, "--out", tmp_path / f"gpu{len(batch)}", *batch)
    assert batches == [4, 16, 3]
    assert [type(network) for network in recorded] == [Dot, Dot]


def test_what_is_reported_beforehand(film: Path) -> None:
    lines = describe_prediction(open_video(film), "av", 3)
    assert lines[0] == f"{film}: 96x64, 25.000 frames/s, 12 frames, no audio"
    assert lines[-1].startswith("stride 3: one frame in 3 ")


def test_help_needs_no_heavy_import() -> None:
    code = (
        "import sys; from lightning_avsp.cli import main\n"
        "try: main(['predict', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'av', 'lightning', 'matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--checkpoint" in shown
    assert shown.splitlines()[-1] == "[]"


def test_a_network_without_audio_is_reported(trained, tmp_path: Path, make_film, capsys, monkeypatch) -> None:
    loud, deaf = make_film("loud.mp4", frames=12), Dot.encode
    monkeypatch.setattr(Dot, "encode", lambda self, video, audio=None, text=None: deaf(self, video))
    predict(loud, "--checkpoint", trained, "--out", tmp_path / "out")
    assert "the maps do not depend on audio" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["modality_used"] == "v"


def test_the_same_seed_gives_the_same_maps(trained, film: Path, tmp_path: Path) -> None:
    for name, seed, batch in (("a", 0, 4), ("b", 0, 3), ("c", 1, 4)):
        options = ("--checkpoint", trained, "--out", tmp_path / name, "--seed", seed, "--batch", batch)
        predict(film, *options)
    a, b, c = (np.load(tmp_path / name / "maps.npz")["maps"].astype(float) for name in "abc")
    np.testing.assert_allclose(a, b, rtol=0, atol=HALF)
    assert np.abs(a - c).max() > 2e-3
