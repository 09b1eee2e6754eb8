"""Captions of clips and their token features: rows, substitutes for missing ones, mismatched ones, files."""

from __future__ import annotations

import logging
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_avsp.backbones.text_encoder import TextModel
from lightning_avsp.data.captions.features import (
    CaptionedFrames,
    Captions,
    TokenFeatures,
    text_key,
)
from lightning_avsp.data.captions.lines import Caption, write_captions
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.options import EvaluationOptions
from lightning_avsp.errors import InputError

MODEL = TextModel("toy", "0123456789abcdef", 4, 77)
V1, V2 = ("AVAD", "V1_Sound"), ("AVAD", "V2_Music")


def rows_of(text: str) -> np.ndarray:
    """Rows that tell a text: one per word and two more, all of one number."""
    return np.full((len(text.split()) + 2, 4), 1 + sum(map(ord, text)) % 97, np.float32)


def prepare(folder: Path, captions: list[Caption]) -> Captions:
    write_captions(folder / "AVAD.jsonl", captions)
    cache = TokenFeatures(folder / "features")
    cache.claim(MODEL)
    texts = sorted({caption.text for caption in captions if caption.text})
    cache.write(texts, [rows_of(text) for text in texts])
    return Captions(folder, folder / "features", tokens=8)


@pytest.fixture
def captions(tmp_path: Path) -> Captions:
    lines = [(V1, 3, "a dog"), (V1, 9, "a small cat"), (V1, 5, ""), (V2, 1, "birds")]
    return prepare(tmp_path, [Caption(key[1], frame, text, "m") for key, frame, text in lines])


def assert_is(found: tuple[torch.Tensor, bool], text: str) -> None:
    rows, there = found
    expected = rows_of(text)
    assert there
    assert rows.shape == (8, 4)
    assert rows.dtype == torch.float32
    np.testing.assert_array_equal(rows[: len(expected)], expected)
    assert not rows[len(expected) :].any()


@pytest.mark.parametrize(
    ("frame", "text"),
    [(1, "a dog"), (3, "a dog"), (5, "a dog"), (6, "a dog"), (7, "a small cat"), (500, "a small cat")],
)
def test_the_nearest_caption_stands_in_and_of_two_the_earlier(
    captions: Captions, frame: int, text: str
) -> None:
    assert_is(captions.open(["AVAD"]).tokens(V1, frame), text)


def test_without_stand_in(captions: Captions) -> None:
    source = replace(captions, missing="empty").open(["AVAD"])
    assert_is(source.tokens(V1, 9), "a small cat")
    for frame in (1, 5):  # no line; a line of no words
        rows, there = source.tokens(V1, frame)
        assert not there
        assert not rows.any()
        assert rows.shape == (8, 4)


def test_missing_as_an_error(captions: Captions) -> None:
    source = replace(captions, missing="error").open(["AVAD"])
    assert_is(source.tokens(V1, 3), "a dog")
    for key, frame in ((V1, 4), (V1, 5), (("AVAD", "V7"), 1)):
        with pytest.raises(InputError, match=f"frame {frame} of {'/'.join(key)} has no caption"):
            source.tokens(key, frame)
    with pytest.raises(InputError, match="frame 1 of AVAD/V1_Sound"):
        source.log_coverage({V1: 9})
    source.log_coverage({V2: 1})


@pytest.mark.parametrize("missing", ["nearest", "empty"])
def test_a_video_without_captions_is_logged_once(
    captions: Captions, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = replace(captions, missing=missing).open(["AVAD"])  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        for frame in (1, 2, 3):
            assert not source.tokens(("AVAD", "V7"), frame)[1]
    assert sum("AVAD/V7" in message for message in caplog.messages) == 1


def test_missing_captions_are_counted(captions: Captions, caplog: pytest.LogCaptureFixture) -> None:
    source = captions.open(["AVAD"])
    with caplog.at_level(logging.INFO):
        source.log_coverage({V1: 12, V2: 4, ("AVAD", "V7"): 10})
        assert "3 of 26 frames have a caption of their own, the others are at most 3 frames" in caplog.text
        assert "1 videos have none at all (AVAD/V7)" in caplog.text
        assert caplog.records[-1].levelno == logging.WARNING
        source.log_coverage({V1: 3})  # its caption of frame 9 is past the end
    assert "1 of 3 frames have a caption of their own, the others are at most 2" in caplog.text


def test_long_captions_keep_their_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    captions = prepare(tmp_path, [Caption(V1[1], 1, "one two three four", "m")])
    with caplog.at_level(logging.WARNING):
        rows, _ = replace(captions, tokens=4).open(["AVAD"]).tokens(V1, 1)
    assert rows.shape == (4, 4)
    assert rows.all()
    assert any("1 of 1 distinct captions have more than 4 tokens" in message for message in caplog.messages)


def test_what_cannot_be_opened_is_named(captions: Captions, tmp_path: Path) -> None:
    for changes, corpus, message in (
        ({}, "ETMD", r"no captions at .*ETMD\.jsonl"),
        ({"features": tmp_path / "none"}, "AVAD", r"no token features in .*none.*avsp caption"),
        ({"model": "clip"}, "AVAD", "features of toy .*asks for clip"),
        ({"model": "0123"}, "AVAD", "features of toy .*asks for 0123"),
        ({"model": "ffffffff"}, "AVAD", "features of toy .*asks for ffffffff"),
        ({"tokens": 2}, "AVAD", r"captions\.tokens=2 is out of range: give a number at least 3"),
    ):
        with pytest.raises(InputError, match=message):
            replace(captions, **changes).open([corpus])  # type: ignore[arg-type]
    for same in ("toy", "01234567"):
        assert replace(captions, model=same).open(["AVAD"]).model == MODEL
    path = captions.folder / "AVAD.jsonl"  # type: ignore[operator]
    path.write_text(path.read_text() + Caption(V1[1], 2, "a new one", "m").line())
    with pytest.raises(InputError, match=r"1 of 4 captions of AVAD have no features of toy.*'a new one'"):
        captions.open(["AVAD"])


def test_loader_processes_get_no_open_files(captions: Captions) -> None:
    source = captions.open(["AVAD"])
    source.tokens(V1, 3)
    copy = pickle.loads(pickle.dumps(source))
    assert isinstance(copy, CaptionedFrames)
    assert not copy._open
    assert_is(copy.tokens(V1, 3), "a dog")


# ---- through the data module


@pytest.fixture
def with_captions(corpus: Path, tmp_path: Path) -> Captions:
    """A caption of its own for every frame of the small corpus."""
    names = [folder.name for folder in (corpus / "video_frames" / "AVAD").iterdir()]
    return prepare(tmp_path, [Caption(n, k, f"{n} {k}", "m") for n in names for k in range(1, 26)])


def module(corpus: Path, captions: Captions | None, text: str = "true") -> AVSaliencyDataModule:
    data = AVSaliencyDataModule(
        corpus,
        size=(64, 128),
        num_workers=0,
        batch_size=4,
        test=EvaluationOptions(every=5, text=text),  # type: ignore[arg-type]
        captions=captions,
    )
    data.setup("test")
    return data


def test_each_clip_gets_the_caption_of_its_target(corpus: Path, with_captions: Captions) -> None:
    for batch in module(corpus, with_captions).test_dataloader():
        assert batch["has_text"].all()
        for video, frame, rows in zip(batch["video_id"], batch["frame"], batch["text"], strict=True):
            np.testing.assert_array_equal(rows[:4], rows_of(f"{video} {int(frame)}"))


@pytest.mark.parametrize("test_text", ["other_video", "none"])
def test_mismatched_text_changes_text_alone(corpus: Path, with_captions: Captions, test_text: str) -> None:
    true = list(module(corpus, with_captions).test_dataloader())
    wrong = list(module(corpus, with_captions, text=test_text).test_dataloader())
    assert len(true) == len(wrong) > 1
    for one, other in zip(true, wrong, strict=True):
        assert set(one) == set(other)
        assert other["has_text"].all() == (test_text == "other_video")
        assert one["text"].shape == other["text"].shape
        assert (one["text"] != other["text"]).flatten(1).any(1).all()  # every clip's text is another
        assert one["video_id"] == other["video_id"]
        for name in ("video", "audio", "has_audio", "saliency", "frame"):
            assert torch.equal(one[name], other[name]), name
    if test_text == "none":
        assert not any(batch["text"].any() for batch in wrong)


def test_training_clips_have_text_with_any_number_of_workers(corpus: Path, with_captions: Captions) -> None:
    texts = []
    for workers in (0, 1):
        data = AVSaliencyDataModule(
            corpus, size=(64, 128), num_workers=workers, batch_size=2, captions=with_captions
        )
        data.setup("fit")
        texts.append(torch.cat([batch["text"] for batch in data.train_dataloader()]))
    assert torch.equal(*texts)
    assert texts[0].any()


CLIP = TextModel("clip", "a" * 64, 8, 77)


def random_rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> TokenFeatures:
    cache = TokenFeatures(tmp_path / "features")
    cache.claim(CLIP)
    cache.write(["a dog", "a big dog"], [random_rows(4), random_rows(5, 1)])
    return cache


def read_rows(cache: TokenFeatures, text: str) -> np.ndarray:
    shard, start, count = cache.find([text_key(text)])[text_key(text)]
    return np.asarray(cache.open_shard(shard)[start : start + count], np.float32)


def test_rows_come_back_in_half_precision_and_shards_add_up(cache: TokenFeatures) -> None:
    cache.write(["a cat"], [random_rows(4, 2)])
    for text, expected in (
        ("a dog", random_rows(4)),
        ("a big dog", random_rows(5, 1)),
        ("a cat", random_rows(4, 2)),
    ):
        np.testing.assert_array_equal(read_rows(cache, text), expected.astype(np.float16))
    assert set(cache.find(map(text_key, ["a cat", "a dog", "x"]))) == {text_key("a cat"), text_key("a dog")}
    with np.errstate(over="ignore"), pytest.raises(InputError, match="half precision"):
        cache.write(["x"], [np.full((3, 8), 1e6, np.float32)])


def test_another_model_and_a_foreign_description_are_named(cache: TokenFeatures) -> None:
    cache.claim(TextModel("/local/copy", "a" * 64, 8, 77))  # the same weights under another name
    message = r"clip \(8 channels, fingerprint aaaaaaaaaaaa\).*fingerprint bbbbbbb"
    with pytest.raises(InputError, match=message):
        cache.claim(TextModel("clip", "b" * 64, 8, 77))
    assert cache.model() == CLIP
    for text, message in (('{"version": 99}', "version 99"), ("[]", "no text model of version 2")):
        (cache.folder / "model.json").write_text(text)
        with pytest.raises(InputError, match=message):
            cache.model()


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
