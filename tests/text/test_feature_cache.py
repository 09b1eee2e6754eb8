"""Token features on disk: keyed by text and model, atomic, resumable."""

from pathlib import Path

import numpy as np
import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.text.feature_cache import FeatureCache, TextModel, text_key

MODEL = TextModel("clip", "a" * 64, 8, 77)


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    cache = FeatureCache(tmp_path / "features")
    cache.claim(MODEL)
    cache.write(["a dog", "a big dog"], [rows(4), rows(5, 1)])
    return cache


def read(cache: FeatureCache, text: str) -> np.ndarray:
    place = cache.places([text_key(text)])[text_key(text)]
    return np.asarray(cache.open_shard(place.shard)[place.start : place.start + place.rows], np.float32)


def test_rows_come_back_in_half_precision(cache: FeatureCache) -> None:
    np.testing.assert_allclose(read(cache, "a dog"), rows(4), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(read(cache, "a big dog"), rows(5, 1), rtol=1e-3, atol=1e-6)
    assert cache.places([text_key("a cat")]) == {}


def test_shards_add_up(cache: FeatureCache) -> None:
    cache.write(["a cat"], [rows(4, 2)])
    assert set(cache.places(map(text_key, ["a cat", "a dog", "x"]))) == {text_key("a cat"), text_key("a dog")}
    np.testing.assert_allclose(read(cache, "a cat"), rows(4, 2), rtol=1e-3, atol=1e-6)


def test_another_model_is_noticed_and_both_are_named(cache: FeatureCache) -> None:
    cache.claim(TextModel("/local/copy", "a" * 64, 8, 77))  # the same weights under another name
    with pytest.raises(
        InputError, match=r"clip \(8 channels, fingerprint aaaaaaaaaaaa\).*fingerprint bbbbbbb"
    ):
        cache.claim(TextModel("clip", "b" * 64, 8, 77))
    assert cache.model() == MODEL


def test_an_unfinished_shard_does_not_count(cache: FeatureCache) -> None:
    index = next((cache.folder / "shards").glob("*.json"))
    index.unlink()
    assert cache.places([text_key("a dog")]) == {}
    cache.write(["a dog", "a big dog"], [rows(4), rows(5, 1)])
    assert len(cache.places([text_key("a dog")])) == 1
    assert not list((cache.folder / "shards").glob(".*"))


def test_damage_is_named(cache: FeatureCache) -> None:
    shard = next((cache.folder / "shards").glob("*.npy"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-50])
    with pytest.raises(InputError, match=shard.name):
        cache.open_shard(shard.stem)
    np.save(shard, np.zeros((3, 8), np.float16))
    with pytest.raises(InputError, match="its index says 9 rows"):
        cache.open_shard(shard.stem)
    shard.with_suffix(".json").write_text("{}")
    with pytest.raises(InputError, match="no index"):
        cache.places([text_key("a dog")])


def test_a_broken_or_foreign_description_is_refused(cache: FeatureCache) -> None:
    path = cache.folder / "model.json"
    path.write_text('{"version": 99}')
    with pytest.raises(InputError, match="version 99"):
        cache.model()
    path.write_text("[]")
    with pytest.raises(InputError, match="does not describe"):
        cache.model()


def test_numbers_that_half_precision_cannot_hold_are_refused(cache: FeatureCache) -> None:
    with (
        np.errstate(over="ignore"),
        pytest.raises(InputError, match="half precision"),
    ):
        cache.write(["x"], [np.full((3, 8), 1e6, np.float32)])
