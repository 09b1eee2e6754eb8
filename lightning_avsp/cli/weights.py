"""`avsp weights`: files that a model can start from: list them, fetch them, check them, convert them."""

from __future__ import annotations

from os import environ
from pathlib import Path

from safetensors.torch import save_file

from lightning_avsp.backbones.encoder import Encoder
from lightning_avsp.backbones.published import hash_fits, weights_folder
from lightning_avsp.backbones.registry import AUDIO_ENCODERS, VIDEO_ENCODERS, published_sources
from lightning_avsp.backbones.text_encoder import load_text_encoder
from lightning_avsp.backbones.weights import StateDict, read_state_dict
from lightning_avsp.errors import InputError
from lightning_avsp.papers.diffsal import load_released
from lightning_avsp.papers.diffsal.checkpoint import reason_unused

TEXT_MODELS = {
    "clip": (
        "openai/clip-vit-base-patch32",
        "MIT",
        605.2,
        "features of captions, `avsp caption --text_model`",
    ),
    "blip2": ("Salesforce/blip2-opt-2.7b", "MIT", 15497.0, "captions of frames, `avsp caption --model`"),
}
"""Models of the Hugging Face hub, by our name: name there, licence, megabytes, use."""
OFFICIAL = (
    "DiffSal's released checkpoints: https://github.com/junwenxiong/diff_sal, no licence given; "
    "score one with `lightning test --config experiments/diffsal_released_av6.yaml --official FILE`, predict with "
    "`avsp predict --checkpoint FILE`; `avsp weights convert` makes a file without code of it"
)


def show() -> None:
    """Print every file that a model can start from: option, source, licence, size, place, and whether it is there."""
    files: list[tuple[str, str, str, float, Path, bool]] = []
    for name, source in published_sources().items():
        path = source.find()
        option = f"{'audio' if name in AUDIO_ENCODERS else 'video'}_weights={source.key}"
        place, origin = path or weights_folder() / source.names[0], f"{source.url}; {source.licence}"
        files.append((name, option, origin, source.megabytes, place, path is not None))
    # as huggingface_hub finds it, without importing it for a list
    cache = Path(environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(environ.get("HF_HUB_CACHE", cache / "hub"))
    for name, (model, licence, megabytes, use) in TEXT_MODELS.items():
        place = cache / f"models--{model.replace('/', '--')}"
        origin = f"https://huggingface.co/{model}; {licence}"
        files.append((name, use, origin, megabytes, place, any(place.glob("snapshots/*/*model*"))))
    for name, option, origin, megabytes, place, there in files:
        print(f"{name:<10} {'there' if there else 'absent':<7} {megabytes:8.1f} MB  {option}")
        print(f"{'':19}{origin}\n{'':19}{place}")
    print(OFFICIAL)


def fetch(names: list[str]) -> None:
    """Download published weights into torch's folder of weights, or the Hugging Face cache, unless they are there.

    Args:
        names: Encoders or text models, as `avsp weights list` names them.
    """
    sources = published_sources()
    for name in names:
        if name in sources:
            print(sources[name].fetch())
        elif name == "clip":
            load_text_encoder(TEXT_MODELS[name][0])
            print(f"{TEXT_MODELS[name][0]} is in the cache")
        else:
            hint = "; `avsp caption` fetches it" if name in TEXT_MODELS else ""
            raise InputError(f"{name} is not fetched here{hint}: choose from {', '.join((*sources, 'clip'))}")


def check(names: list[str]) -> None:
    """Check that files are whole and fit: the hash in their names, and every tensor's name and shape.

    Args:
        names: Encoders, as `avsp weights list` names them, or paths of files in a layout of :func:`convert`.
    """
    sources = published_sources()
    for name in names:
        path = sources[name].find() if name in sources else Path(name)
        if path is None:
            raise InputError(f"{name} is not there: avsp weights fetch {name}")
        if hash_fits(path) is False:  # None: its name holds none
            raise InputError(
                f"{path} is damaged or another file: its SHA-256 does not begin as its name says"
            )
        # loading is the check: names alone would not show tensors of another shape
        kind = name if name in sources else recognise(path)
        print(f"{_load(kind, path)[1]}; hash {'as in its name' if hash_fits(path) else 'not in its name'}")


def convert(file: Path, out: Path) -> None:
    """Write the tensors of a published file that a model needs as safetensors, which hold no code.

    The layouts: an official DiffSal checkpoint, S3D of torchvision or kylemin, both SoundNet-8 files, torchvggish,
    MViTv2-S of torchvision or mmaction, R3D-18, Swin3D-T and Slow R50.

    Args:
        file: File in one of these layouts.
        out: New file; its name ends in .safetensors.
    """
    if out.suffix != ".safetensors":
        raise InputError(f"--out={out}: the name of a converted file ends in .safetensors")
    kind = recognise(file)
    state, report = _load(kind, file)
    out.parent.mkdir(parents=True, exist_ok=True)
    # safetensors refuses views
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(tensors, out, {"layout": kind, "converted from": file.name})
    print(f"{report}\n{out}: {kind}, {len(tensors)} tensors")


MARKS = (
    ("diffsal", ("visual_net.",)),
    ("mvitv2_s", ("backbone.patch_embed.projection.", "conv_proj.")),
    ("s3d", ("base.0.conv_s.", "features.0.0.0.")),
    ("swin3d_t", ("patch_embed.proj.",)),
    ("r3d_18", ("stem.0.",)),
    ("slow_r50", ("blocks.0.conv.",)),
    ("vggish", ("features.0.weight",)),
    ("soundnet8", ("soundnet8.", "audionet.", "conv1.", "convs.0.", "0.weight")),
)
"""Layouts by a beginning of a name that no other has."""


def recognise(path: Path) -> str:
    """Recognise the layout of a file by the names in it.

    Raises:
        InputError: If it is none of the known layouts.
    """
    state = read_state_dict(path)
    for kind, beginnings in MARKS:
        if any(name.startswith(beginnings) for name in state):
            return kind
    raise InputError(
        f"{path}: none of its {len(state)} names, such as {next(iter(state))}, belongs to a known layout: "
        f"{', '.join(kind for kind, _ in MARKS)}"
    )


def _load(kind: str, path: Path) -> tuple[StateDict, str]:
    """Load a file strictly into what it belongs to; return its tensors that are used, and a line of text."""
    if kind == "diffsal":
        modality = load_released(path).modality
        state = read_state_dict(path)  # under their own names, by which load_released knows them
        used = {n: tensor for n, tensor in state.items() if not reason_unused(n, with_audio=modality == "av")}
        return used, f"official DiffSal checkpoint, modality {modality}: {path}"
    encoder: Encoder = {**VIDEO_ENCODERS, **AUDIO_ENCODERS}[kind]()
    report = encoder.load(str(path))
    # the submodule alone: norms beside it are ours, in no published file
    return encoder.get_submodule(encoder.loaded_module).state_dict(), str(report)
