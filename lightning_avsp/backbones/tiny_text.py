"""A small random CLIP text encoder that reads the words of synthetic captions: for tests and synthetic experiments.

The same numbers on every machine and with every version of transformers: weights are drawn here, not by the library.
It has learned nothing, but its rows tell words apart, so a network can learn what they mean.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import nn

from lightning_avsp.errors import InputError

DEFAULT_WIDTH = 64
"""Channels of ``tiny-random``."""
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
"""First entries of the vocabulary, in the order of their numbers."""
_WORDS = (
    "a about and are around background blue clear coloured comes disc discs fast fastest from green heard in is move "
    "moves music on others past plain plays red silence silent sound sounds the there three to tone two while without"
)
VOCABULARY = tuple(_WORDS.split())
"""Words of the captions that ``avsp caption --synthetic`` writes."""
_SEED = 20


def build_tiny_clip(name: str = "tiny-random") -> tuple[nn.Module, Any]:
    """Build a ``CLIPTextModel`` of 2 layers and a word-level tokenizer.

    ``tiny-random``, or ``tiny-random-WIDTH`` for another multiple of 16 channels.

    Raises:
        InputError: If the name is another.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    match = re.fullmatch(r"tiny-random(?:-(\d+))?", name)
    width = int(match[1] or DEFAULT_WIDTH) if match else 0
    if width < 16 or width % 16:
        raise InputError(
            f"no text model is called {name!r}; choose tiny-random ({DEFAULT_WIDTH} channels), tiny-random-WIDTH with "
            "a multiple of 16, or a CLIP model"
        )
    tokenizer = build_word_tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        pad_token_id=SPECIAL.index("<pad>"),
        bos_token_id=SPECIAL.index("<start>"),
        eos_token_id=SPECIAL.index("<end>"),
    )
    with torch.random.fork_rng(devices=[]):  # the library draws weights that are replaced
        network = CLIPTextModel(config)
    _draw_weights(network)  # the library's own initialisation changes between versions
    return network, tokenizer


def build_word_tokenizer() -> Any:
    """Build a tokenizer of whole lower-case words: those of synthetic captions; any other is ``<unknown>``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    numbers = {word: number for number, word in enumerate((*SPECIAL, *VOCABULARY))}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unknown>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation("removed"), pre_tokenizers.WhitespaceSplit()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[(word, numbers[word]) for word in ("<start>", "<end>")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<start>",
        eos_token="<end>",
        unk_token="<unknown>",
        model_max_length=77,
    )


def _draw_weights(network: nn.Module) -> None:
    """Draw words one apart from the other, positions a little, layers that mix without drowning them."""
    generator = torch.Generator().manual_seed(_SEED)
    named = {name.removeprefix("text_model."): value for name, value in network.named_parameters()}
    with torch.no_grad():
        # in one order whatever the version of transformers lists first
        for name in sorted(named):
            value = named[name]
            if name.endswith("bias"):
                value.zero_()
            elif "norm" in name:
                value.fill_(1.0)
            elif "position_embedding" in name:
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
            elif "token_embedding" in name:
                value.copy_(torch.randn(value.shape, generator=generator))
            else:
                # keeps the variance of what passes through
                scale = 1 / math.sqrt(value.shape[1])
                value.copy_(scale * torch.randn(value.shape, generator=generator))
