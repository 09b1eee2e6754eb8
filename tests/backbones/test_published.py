"""Published weights: found by name, converted, refused with one error where absent; test_soundnet.py has SoundNet's."""

import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import Tensor

from lightning_avsp.backbones.encoder import Encoder
from lightning_avsp.backbones.mvit import MViTv2Small
from lightning_avsp.backbones.registry import AUDIO_ENCODERS, VIDEO_ENCODERS
from lightning_avsp.backbones.tapped import S3DEncoder
from lightning_avsp.cli import main
from lightning_avsp.errors import InputError
from lightning_avsp.papers.diffsal.released.mvit import ReleasedMViT

State = dict[str, Tensor]


def inverse_s3d(state: State) -> State:
    """Names of kylemin's S3D: `base`, separable convolutions in two parts, plain ones in one."""
    separable = {name.rpartition(".1.0.weight")[0] for name in state if name.endswith(".1.0.weight")}
    renamed = {}
    for name, tensor in state.items():
        *block, number, last = name.split(".")
        kind = {"0": "conv", "1": "bn"}[number]
        if ".".join(block[:-1]) in separable and not block[-1].startswith("branch"):
            *block, half = block
            kind += {"0": "_s", "1": "_t"}[half]
        elif block[-1] == "branch0":
            block.append("0")
        renamed[".".join(["base", *block[1:], kind, last])] = tensor
    return renamed


def inverse_mvit(state: State) -> State:
    """Names of mmaction's MViTv2-S, below `backbone`."""
    import re

    backward = [
        (r"conv_proj\.(.+)", r"patch_embed.projection.\1"),
        (r"pos_encoding\.class_token", "cls_token"),
        (r"(.+)\.attn\.project\.0\.(.+)", r"\1.attn.proj.\2"),
        (r"(.+)\.pool_([qkv])\.pool\.(.+)", r"\1.pool_\2.\3"),
        (r"(.+)\.pool_([qkv])\.norm_act\.0\.(.+)", r"\1.norm_\2.\3"),
        (r"(.+)\.mlp\.0\.(.+)", r"\1.mlp.fc1.\2"),
        (r"(.+)\.mlp\.3\.(.+)", r"\1.mlp.fc2.\2"),
        (r"(blocks\.\d+)\.project\.(.+)", r"\1.proj.\2"),
    ]
    renamed = {}
    for name, tensor in state.items():
        theirs = next((m.expand(b) for a, b in backward if (m := re.fullmatch(a, name))), name)
        renamed[f"backbone.{theirs}"] = tensor.reshape(1, 1, -1) if theirs == "cls_token" else tensor
    return renamed | {
        "backbone.norm3.weight": torch.ones(768),
        "cls_head.fc_cls.weight": torch.ones(400, 768),
    }


def published(kind: str, encoder: Encoder) -> State:
    """The file of an encoder as its publisher lays it out."""
    state = encoder.get_submodule(encoder.loaded_module).state_dict()
    if kind == "s3d of kylemin":
        return {f"module.{name}": tensor for name, tensor in inverse_s3d(state).items()}
    if kind == "mvitv2_s of mmaction":
        return inverse_mvit(state)
    if kind == "vggish":
        return state | {"embeddings.0.weight": torch.ones(2, 2)}
    return state


@pytest.mark.parametrize("kind", ["s3d", "s3d of kylemin", "mvitv2_s of mmaction", "vggish"])
def test_each_layout_converts_to_the_same_weights(kind: str, tmp_path: Path) -> None:
    name = kind.split()[0]
    encoder = {**VIDEO_ENCODERS, **AUDIO_ENCODERS}[name]()
    file, out = tmp_path / "published.pth", tmp_path / "converted.safetensors"
    torch.save(published(kind, encoder), file)
    main(["weights", "convert", str(file), f"--out={out}"])
    main(["weights", "check", str(out)])
    torch.manual_seed(1)
    other = type(encoder)()
    other.load(str(out))
    for (key, one), two in zip(encoder.state_dict().items(), other.state_dict().values(), strict=True):
        if key.endswith("rel_pos_h") or not key.startswith("norms."):  # taps' norms are in no published file
            assert torch.equal(one, two), key


def test_the_released_trunk_starts_from_kinetics(tmp_path: Path) -> None:
    square = MViTv2Small(frame_size=(224, 224))
    state = square.trunk.state_dict() | {
        "norm.weight": torch.full((768,), 2.0),
        "norm.bias": torch.zeros(768),
    }
    path = tmp_path / "mvit.pth"
    torch.save(state | {"head.1.weight": torch.ones(400, 768)}, path)
    released = ReleasedMViT()
    report = released.load(str(path))
    assert torch.equal(released.get_parameter("norm3.weight"), torch.full((768,), 2.0))
    assert torch.equal(
        released.get_parameter("blocks.3.attn.qkv.weight"),
        square.trunk.get_parameter("blocks.3.attn.qkv.weight"),
    )
    assert {name.split(".")[0] for name in report.fresh} == {"norm0", "norm1", "norm2"}
    assert not report.resized


def test_published_weights_are_found_by_name_or_missed_in_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _no_network)
    folder = tmp_path / "hub" / "checkpoints"
    vggish = AUDIO_ENCODERS["vggish"]()
    with pytest.raises(InputError, match=r"vggish-10086976.pth.*random") as error:
        vggish.prepare("vggish", frozen=True)
    assert str(folder) in str(error.value)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(vggish.state_dict(), folder / "vggish-10086976.pth")
    assert vggish.prepare("vggish", frozen=True).source == "vggish"
    with pytest.raises(InputError, match=r"soundnet8.pth.*stavis"):
        AUDIO_ENCODERS["soundnet8"]().load("soundnet8")
    with pytest.raises(InputError, match="no published weights vggish for the video encoder"):
        S3DEncoder().load("vggish")
    main(["weights", "list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith(("vggish", "s3d"))] == ["absent", "there"]
    with pytest.raises(SystemExit):  # not the file that its name promises
        main(["weights", "check", "vggish"])
    assert "damaged" in capsys.readouterr().err


def _no_network(*_: object, **__: object) -> None:
    raise URLError("no route")


def test_a_download_is_checked_by_the_hash_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.hub compares what arrived with the first digits that it is given."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    content = b"weights"
    given = []

    def fetch(url: str, target: str, prefix: str | None, progress: bool) -> None:
        given.append(prefix)
        Path(target).write_bytes(content)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    source = S3DEncoder.weight_source
    assert source is not None
    assert source.fetch() == source.fetch()
    assert given == ["d76dad2f"]
    assert not hashlib.sha256(content).hexdigest().startswith("d76dad2f")
