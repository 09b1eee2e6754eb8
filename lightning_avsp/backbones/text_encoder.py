"""CLIP's text encoder: token features of captions.

TAVDiff (section III-B) takes the token sequence of CLIP's text encoder, not its pooled vector: the last hidden states
of [start, words, end]. The encoder is frozen, so its features are computed once per distinct text and kept on disk
(:mod:`lightning_avsp.data.captions.features`); training and testing never run it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lightning_avsp.errors import InputError, MissingDependencyError

DEFAULT_TEXT_MODEL = "openai/clip-vit-base-patch32"
"""The paper says CLIP; this is its smallest published text encoder: 512 channels, 12 layers, 77 positions."""

_FILES = (
    "config.json, model.safetensors (or pytorch_model.bin), tokenizer.json (or vocab.json and merges.txt)"
)


@dataclass(frozen=True)
class TextModel:
    """Identity of the model of token features: two models are the same if and only if their fingerprints are."""

    name: str
    """Public name, or path, of the model."""
    fingerprint: str
    """Hash of weights, configuration and vocabulary (:func:`fingerprint`)."""
    width: int
    """Channels of a row."""
    longest: int
    """Rows of the longest text; longer ones are cut by the model's tokenizer."""

    def __str__(self) -> str:
        return f"{self.name} ({self.width} channels, fingerprint {self.fingerprint[:12]})"


def require_transformers() -> Any:
    """Import the transformers package.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingDependencyError(
            "captions and their features need the transformers package: install it with "
            "`pip install 'lightning-avsp[text]'`"
        ) from error
    return transformers


@dataclass
class TextEncoder:
    """A CLIP text encoder with its tokenizer."""

    model: TextModel
    """Its identity."""
    network: nn.Module
    """transformers' ``CLIPTextModel``."""
    tokenizer: Any
    """transformers' tokenizer."""
    device: str = "cpu"
    """Device of the network."""

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Encode texts to their rows [start, words, end], float32 (rows, C); longer texts are cut."""
        if not texts:
            return []
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.model.longest, return_tensors="pt"
        )
        mask = tokens["attention_mask"].bool()
        hidden = self.network(
            input_ids=tokens["input_ids"].to(self.device),
            attention_mask=tokens["attention_mask"].to(self.device),
        ).last_hidden_state  # (B, N, C)
        hidden = hidden.float().cpu()
        # padding is cut off: its rows depend on the batch
        return [rows[kept].numpy() for rows, kept in zip(hidden, mask, strict=True)]

    def count_cut(self, texts: Sequence[str]) -> int:
        """Count texts longer than the encoder reads."""
        lengths = [len(ids) for ids in self.tokenizer(list(texts))["input_ids"]] if texts else []
        return sum(length > self.model.longest for length in lengths)


def load_text_encoder(name: str = DEFAULT_TEXT_MODEL, device: str = "cpu") -> TextEncoder:
    """Load a text encoder by name.

    Args:
        name: A model of the Hugging Face hub, a local folder with its files, or ``tiny-random`` (or
            ``tiny-random-512`` for another width): a small random one that needs no download
            (:mod:`lightning_avsp.backbones.tiny_text`).
        device: Device to run it on.

    Raises:
        InputError: If its files are not there and cannot be downloaded, or do not hold all weights; the message says
            which files to fetch and where to put them.
        MissingDependencyError: If transformers is not installed.
    """
    transformers = require_transformers()
    if name.startswith("tiny-random"):
        from lightning_avsp.backbones.tiny_text import build_tiny_clip

        network, tokenizer = build_tiny_clip(name)
    else:
        with loading(name, "--text_model", _FILES):
            network, info = transformers.CLIPTextModel.from_pretrained(name, output_loading_info=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        missing = sorted(info["missing_keys"])
        if missing:  # transformers would go on with random numbers in their place
            raise InputError(
                f"{name} lacks {len(missing)} weights of CLIP's text encoder, e.g. {missing[0]}: fetch its files "
                "again, or give another --text_model"
            )
    # features are stored once: the precision of the file must not decide
    network = network.float().eval().requires_grad_(False).to(device)
    config: Any = network.config
    model = TextModel(
        name=name,
        fingerprint=text_fingerprint(network, tokenizer),
        width=int(config.hidden_size),
        longest=int(config.max_position_embeddings),
    )
    return TextEncoder(model, network, tokenizer, device)


def split_tokens(name: str, text: str) -> list[str]:
    """Split a text into the tokens of a text model, start and end token left out, as they are read aloud.

    Raises:
        InputError: If its tokenizer is not there and cannot be downloaded.
        MissingDependencyError: If transformers is not installed.
    """
    transformers = require_transformers()
    if name.startswith("tiny-random"):
        from lightning_avsp.backbones.tiny_text import build_word_tokenizer

        tokenizer = build_word_tokenizer()
    else:
        with loading(name, "--captions", "tokenizer.json (or vocab.json and merges.txt)"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    ids = tokenizer(text)["input_ids"][1:-1]
    # CLIP's mark of a word's end
    return [str(token).removesuffix("</w>") for token in tokenizer.convert_ids_to_tokens(ids)]


@contextmanager
def loading(name: str, option: str, files: str) -> Iterator[None]:
    """Turn errors of loading a published model into one message with the files to fetch.

    Args:
        name: The model: a folder, or a name on the Hugging Face hub.
        option: The option by which a local folder can be given.
        files: Names of the files that it consists of.

    Raises:
        InputError: If the files are absent or damaged; says which to fetch and where to put them.
    """
    try:
        yield
    # transformers raises OSError for absent and damaged files alike, and others for broken content
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if Path(name).is_dir():
            raise InputError(f"{name} cannot be loaded ({reason}); the folder must hold {files}") from error
        from huggingface_hub.constants import HF_HUB_CACHE

        raise InputError(
            f"{name} is neither a folder nor in the cache {HF_HUB_CACHE}, and could not be downloaded ({reason}). On a "
            f"machine with network, fetch {files} from https://huggingface.co/{name}; put them into a folder and give "
            f"it with {option} FOLDER, or copy that machine's cache folder models--{name.replace('/', '--')} into "
            f"{HF_HUB_CACHE}"
        ) from error


def text_fingerprint(network: nn.Module, tokenizer: Any) -> str:
    """Hash weights, shape and vocabulary of a text encoder, which decide its output.

    The same for every version of transformers: version 5 dropped the prefix ``text_model.`` of names, so it is removed
    here, and buffers, which differ between versions, are left out.
    """
    config: Any = network.config
    digest = sha256()
    for field in ("hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act", "layer_norm_eps"):
        digest.update(f"{field}={getattr(config, field)};".encode())
    named = {name.removeprefix("text_model."): value for name, value in network.named_parameters()}
    for name in sorted(named):
        value = named[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    for word, number in sorted(tokenizer.get_vocab().items()):
        digest.update(f"{word}\t{number}\n".encode())
    return digest.hexdigest()
