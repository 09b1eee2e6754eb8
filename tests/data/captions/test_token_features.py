"""Token features on disk: keyed by text and model, atomic, resumable."""

from pathlib import Path

import numpy as np
import pytest

from lightning_avsp.backbones.text_encoder import TextModel
from lightning_avsp.data.captions.features import TokenFeatures, text_key
from lightning_avsp.errors import InputError

MODEL = TextModel("clip", "a" * 64, 8, 77)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> TokenFeatures:
    cache = TokenFeatures(tmp_path / "features")
    cache.claim(MODEL)
    cache.write(["a dog", "a big dog"], [rows(4), rows(5, 1)])
    return cache


def read(cache: TokenFeatures, text: str) -> np.ndarray:
    place = cache.find([text_key(text)])[text_key(text)]
    return np.asarray(cache.open_shard(place.shard)[place.start : place.start + place.rows], np.float32)


def test_rows_come_back_in_half_precision(cache: TokenFeatures) -> None:
    np.testing.assert_array_equal(read(cache, "a dog"), rows(4).astype(np.float16))
    np.testing.assert_array_equal(read(cache, "a big dog"), rows(5, 1).astype(np.float16))
    assert cache.find([text_key("a cat")]) == {}


def test_shards_add_up(cache: TokenFeatures) -> None:
    cache.write(["a cat"], [rows(4, 2)])
    assert set(cache.find(map(text_key, ["a cat", "a dog", "x"]))) == {text_key("a cat"), text_key("a dog")}
    np.testing.assert_array_equal(read(cache, "a cat"), rows(4, 2).astype(np.float16))


def test_another_model_is_noticed_and_both_are_named(cache: TokenFeatures) -> None:
    cache.claim(TextModel("/local/copy", "a" * 64, 8, 77))  # the same weights under another name
    with pytest.raises(
        InputError, match=r"clip \(8 channels, fingerprint aaaaaaaaaaaa\).*fingerprint bbbbbbb"
    ):
        cache.claim(TextModel("clip", "b" * 64, 8, 77))
    assert cache.model() == MODEL


def test_a_truncated_shard_is_named_and_an_unfinished_one_does_not_count(cache: TokenFeatures) -> None:
    shard = next((cache.folder / "shards").glob("*.tokens"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-50])
    with pytest.raises(InputError, match=shard.name):
        cache.open_shard(shard.stem)
    with pytest.raises(InputError, match=shard.name):
        cache.find([text_key("a dog")])
    shard.rename(shard.with_name(f".{shard.name}.x.part"))  # what a killed run leaves
    assert cache.find([text_key("a dog")]) == {}


def test_a_broken_or_foreign_description_is_refused(cache: TokenFeatures) -> None:
    path = cache.folder / "model.json"
    path.write_text('{"version": 99}')
    with pytest.raises(InputError, match="version 99"):
        cache.model()
    path.write_text("[]")
    with pytest.raises(InputError, match="no text model"):
        cache.model()


def test_numbers_that_half_precision_cannot_hold_are_refused(cache: TokenFeatures) -> None:
    with (
        np.errstate(over="ignore"),
        pytest.raises(InputError, match="half precision"),
    ):
        cache.write(["x"], [np.full((3, 8), 1e6, np.float32)])
