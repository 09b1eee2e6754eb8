"""A small random BLIP-2 in a folder, as a user would have downloaded it: built from its configuration classes."""

from __future__ import annotations

from pathlib import Path

import torch

WORDS = [
    *("a", "red", "green", "blue", "disc", "sounds", "moves", "on", "plain", "question", "answer", "please"),
]


def save_tiny_blip2(folder: Path) -> None:
    """Write configuration, weights and processor of a BLIP-2 with 28-pixel pictures and a dozen words."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unknown>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 1)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="</s>", eos_token="</s>", unk_token="<unknown>"
    )
    size = {"height": 28, "width": 28}
    processor = transformers.Blip2Processor(
        transformers.BlipImageProcessor(size=size), tokenizer, num_query_tokens=4
    )
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Blip2Config(
        vision_config={**small, "image_size": 28, "patch_size": 14},
        qformer_config={**small, "encoder_hidden_size": 16, "vocab_size": 30},
        text_config={
            "model_type": "opt",
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "ffn_dim": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "word_embed_proj_dim": 16,
            "max_position_embeddings": 256,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 1,
        },
        num_query_tokens=4,
        image_token_index=image_token,
    )
    torch.manual_seed(1)
    network = transformers.Blip2ForConditionalGeneration(config)
    with torch.no_grad():  # pictures must matter, and a random network repeats itself with small weights
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(20)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
