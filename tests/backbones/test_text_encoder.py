"""CLIP's text encoder: rows, padding, fingerprints, resuming; all with small random networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_avsp.errors import InputError

pytest.importorskip("transformers")

from lightning_avsp.backbones.text_encoder import (
    TextEncoder,
    load_text_encoder,
    text_fingerprint,
)
from lightning_avsp.data.captions.features import TokenFeatures, cache_features, text_key

ROUNDING = 1e-4
"""Two layers of sums of up to 128 terms of size 4, in float32: 128 roundings of 6e-8, three times in a row, at most."""
TEXTS = ["the red disc sounds", "a blue disc is heard", "in silence the green disc moves fastest"]


@pytest.fixture(scope="module")
def tiny() -> TextEncoder:
    return load_text_encoder("tiny-random")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CLIP, pictures and text, as published folders hold it."""
    from transformers import CLIPConfig, CLIPModel

    from lightning_avsp.backbones.tiny_text import build_word_tokenizer

    tokenizer = build_word_tokenizer()
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    picture = {"image_size": 28, "patch_size": 14}
    network = CLIPModel(CLIPConfig(text_config=small | words, vision_config=small | picture))
    folder = tmp_path_factory.mktemp("clip")
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_rows_are_start_words_end(tiny: TextEncoder) -> None:
    rows = tiny.encode(TEXTS)
    assert [part.shape for part in rows] == [(6, 64), (7, 64), (9, 64)]
    assert all(part.dtype == np.float32 and (np.abs(part).sum(1) > 0).all() for part in rows)


def test_company_does_not_change_a_text(tiny: TextEncoder) -> None:
    for text, rows in zip(TEXTS, tiny.encode(TEXTS), strict=True):
        np.testing.assert_allclose(tiny.encode([text])[0], rows, rtol=0, atol=ROUNDING)


def test_words_can_be_told_apart_and_order_matters(tiny: TextEncoder) -> None:
    red, blue = tiny.encode(["the red disc sounds", "the blue disc sounds"])
    # causal: what comes before the difference
    np.testing.assert_allclose(red[:2], blue[:2], rtol=0, atol=ROUNDING)
    assert np.abs(red[2] - blue[2]).mean() > 0.5
    assert np.abs(red[-1] - blue[-1]).mean() > 0.01  # also at the end token


def test_long_texts_are_cut_with_their_end(tiny: TextEncoder) -> None:
    long = " ".join(["disc"] * 200)
    assert tiny.encode([long])[0].shape == (77, 64)
    assert tiny.count_cut([long, TEXTS[0]]) == 1


def test_tiny_random_is_the_same_everywhere_and_leaves_the_global_generator_alone(tiny: TextEncoder) -> None:
    before = torch.get_rng_state()
    again = load_text_encoder("tiny-random")
    assert torch.get_rng_state().equal(before)
    assert again.model == tiny.model
    np.testing.assert_array_equal(again.encode(TEXTS)[2], tiny.encode(TEXTS)[2])
    assert load_text_encoder("tiny-random-128").model.width == 128


@pytest.mark.parametrize("name", ["tiny-random-7", "tiny-random-0", "tiny-random-big"])
def test_impossible_widths_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        load_text_encoder(name)


def test_a_whole_clip_folder_gives_its_text_half(clip_folder: Path) -> None:
    from transformers import CLIPModel

    encoder = load_text_encoder(str(clip_folder))
    whole = CLIPModel.from_pretrained(clip_folder).eval()
    tokens = encoder.tokenizer(TEXTS[:1], return_tensors="pt")
    expected = whole.text_model(**{name: tokens[name] for name in ("input_ids", "attention_mask")})
    found, rows = encoder.encode(TEXTS[:1])[0], expected.last_hidden_state[0].detach().numpy()
    np.testing.assert_allclose(found, rows, rtol=0, atol=ROUNDING)


def test_weights_that_are_missing_are_not_made_up(clip_folder: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(clip_folder, tmp_path / "clip"))
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("token_embedding.weight"))
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 weights.*token_embedding"):
        load_text_encoder(str(folder))


def test_without_network_the_files_and_their_place_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError) as caught:
        load_text_encoder("nobody/no-such-clip")
    for part in ("nobody/no-such-clip", "model.safetensors", "--text_model", "models--nobody--no-such-clip"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=r"the folder must hold config\.json"):
        load_text_encoder(str(tmp_path))


def test_fingerprints_see_weights_and_words_but_not_prefixes(tiny: TextEncoder) -> None:
    from lightning_avsp.backbones.tiny_text import build_tiny_clip

    network, tokenizer = build_tiny_clip()
    assert text_fingerprint(network, tokenizer) == tiny.model.fingerprint
    wrapped = torch.nn.Module()  # as transformers 4 nests it
    wrapped.text_model = getattr(network, "text_model", network)
    wrapped.config = network.config
    assert text_fingerprint(wrapped, tokenizer) == tiny.model.fingerprint
    with torch.no_grad():
        next(network.parameters())[0, 0] += 1e-3
    assert text_fingerprint(network, tokenizer) != tiny.model.fingerprint
    network, tokenizer = build_tiny_clip()
    tokenizer.add_tokens(["zebra"])
    assert text_fingerprint(network, tokenizer) != tiny.model.fingerprint


def test_each_text_is_encoded_once(tiny: TextEncoder, tmp_path: Path) -> None:
    cache = TokenFeatures(tmp_path)
    assert cache_features(tiny, [*TEXTS, *TEXTS, "", "  "], cache) == 3
    assert cache_features(tiny, TEXTS, cache) == 0
    assert cache_features(tiny, [*TEXTS, "coloured discs move around"], cache) == 1


class Stopping(TextEncoder):
    """Is interrupted after two batches."""

    batches = 0

    def encode(self, texts: Any) -> list[np.ndarray]:
        self.batches += 1
        if self.batches > 2:
            raise KeyboardInterrupt
        return super().encode(texts)


def test_an_interrupt_loses_nothing_that_was_done(tiny: TextEncoder, tmp_path: Path) -> None:
    texts = [f"{word} disc" for word in ("a", "the", "red", "green", "blue", "fast", "silent")]
    cache = TokenFeatures(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache_features(Stopping(tiny.model, tiny.network, tiny.tokenizer), texts, cache, batch=2)
    assert len(cache.find(map(text_key, texts))) == 4
    assert cache_features(tiny, texts, cache, batch=2) == 3
    for text in texts:
        shard, start, count = cache.find([text_key(text)])[text_key(text)]
        stored = cache.open_shard(shard)[start : start + count]
        # stored in half precision, which has 11 bits
        np.testing.assert_allclose(stored, tiny.encode([text])[0], rtol=2**-11, atol=ROUNDING)
