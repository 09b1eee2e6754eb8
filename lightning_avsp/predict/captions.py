"""Captions of a video to predict, as the token features that its network was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from lightning_avsp.backbones.text_encoder import DEFAULT_TEXT_MODEL, TextEncoder, load_text_encoder
from lightning_avsp.data.captions.features import nearest, pad_tokens
from lightning_avsp.errors import InputError
from lightning_avsp.tasks.loading import LoadedModel


class VideoCaptions:
    """Token features of the captions of one video.

    Args:
        texts: Captions by number of their frame, from 1; a frame without one gets the nearest.
        encoder: Text model of the training.
        tokens: Rows of a caption's features.

    Raises:
        InputError: If there is no caption.
    """

    def __init__(self, texts: dict[int, str], encoder: TextEncoder, tokens: int) -> None:
        texts = {frame: text for frame, text in texts.items() if text.strip()}
        if not texts:
            raise InputError("the captions hold no words: give a text, or --captions none")
        # a caption of many frames is encoded once
        distinct = sorted(set(texts.values()))
        # half precision, as stored features
        rows = [features.astype(np.float16) for features in encoder.encode(distinct)]
        padded = {text: pad_tokens(found, tokens) for text, found in zip(distinct, rows, strict=True)}
        self.texts = dict(sorted(texts.items()))
        self._numbers = np.array(list(self.texts))
        self._tokens = [padded[text] for text in self.texts.values()]

    def tokens(self, frame: int) -> Tensor:
        """Return the token features (N, C) of the caption of a frame, from 1."""
        return self._tokens[int(nearest(self._numbers, np.array([frame]))[0])]


def find_video_captions(
    model: LoadedModel,
    videos: Sequence[Path],
    caption: str | None = None,
    captions: str | None = None,
    text_model: str | None = None,
) -> list[VideoCaptions] | list[None]:
    """Find the captions of videos to predict.

    Args:
        model: The model, on the device where its text model shall run.
        videos: The videos.
        caption: One caption for all of them.
        captions: Table of captions by frame (.csv, .jsonl, .parquet with video, frame and text), or ``none``.
        text_model: Folder or name of the text model, if not that of the training; must have the same fingerprint.

    Returns:
        None for each video if the network reads no text, and for ``none``.

    Raises:
        InputError: If a network that reads text gets no captions, one that does not gets some, or these are not usable.
    """
    from lightning_avsp.data.captions.lines import read_table

    name = type(model.network).__name__
    if caption is not None and captions is not None:
        raise InputError("--caption and --captions are both given: one text for the whole video, or a table")
    if not model.network.uses_text:
        if caption is not None or captions not in (None, "none"):
            raise InputError(f"this {name} reads no text: leave --caption and --captions out")
        return [None] * len(videos)
    if captions == "none":
        return [None] * len(videos)
    if caption is not None:
        encoder, tokens = _load_encoder(model, text_model)
        return [VideoCaptions({1: caption}, encoder, tokens)] * len(videos)
    if captions is None:
        raise InputError(
            f"this {name} reads text: give --caption TEXT or --captions FILE, or --captions none to go without"
        )
    found = read_table(Path(captions))
    # with one video and one name in the table, names need not agree
    several = max(len({line.video for line in found}), len(videos)) > 1
    texts = [
        {line.frame: line.text for line in found if not several or line.video == video.stem}
        for video in videos
    ]
    # all videos before the text model is loaded
    lacking = [video.stem for video, own in zip(videos, texts, strict=True) if not own]
    if lacking:
        raise InputError(f"{captions} has captions of several videos, but none of {lacking[0]!r}")
    encoder, tokens = _load_encoder(model, text_model)
    return [VideoCaptions(own, encoder, tokens) for own in texts]


def _load_encoder(model: LoadedModel, text_model: str | None) -> tuple[TextEncoder, int]:
    """Load the text model of a training; returns the rows of a caption's features too."""
    if model.spec.text is None:
        raise InputError(
            "the checkpoint does not name the text model of its training: train it with captions"
        )
    spec = model.spec.text
    if text_model is None and not (spec.model == DEFAULT_TEXT_MODEL or spec.model.startswith("tiny-random")):
        # a name in a file must not decide what is downloaded or opened
        raise InputError(f"the checkpoint was trained with the text model {spec.model}: give --text_model")
    encoder = load_text_encoder(text_model or spec.model, str(model.device))
    if encoder.model.fingerprint != spec.fingerprint:
        raise InputError(
            f"the text model is {encoder.model}, but the checkpoint was trained with features of {spec.model} "
            f"(fingerprint {spec.fingerprint[:12]}): give that model's folder with --text_model"
        )
    return encoder, spec.tokens
