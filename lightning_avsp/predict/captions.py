"""Captions of a video to predict, as the token features that its network was trained with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from lightning_avsp.data.captions.frames import nearest, pad_tokens
from lightning_avsp.errors import InputError
from lightning_avsp.tasks.loading import LoadedModel


class VideoCaptions:
    """Token features of the captions of one video.

    Args:
        texts: Captions by number of their frame, from 1; a frame without one gets the nearest.
        model: Defines text model and number of rows.
        text_model: Folder or name of the text model, if not that of the training; must have the same fingerprint.
        device: Device of the text model.

    Raises:
        InputError: If there is no caption, or the text model is not that of the training.
    """

    def __init__(
        self, texts: dict[int, str], model: LoadedModel, text_model: str | None = None, device: str = "cpu"
    ) -> None:
        from lightning_avsp.backbones.text_encoder import DEFAULT_TEXT_MODEL, load_text_encoder

        texts = {frame: text for frame, text in texts.items() if text.strip()}
        if not texts:
            raise InputError("the captions hold no words: give a text, or --captions none")
        if model.spec.text is None:
            raise InputError(
                "the checkpoint does not name the text model of its training: train it with captions"
            )
        self.spec = model.spec.text
        if text_model is None and not (
            self.spec.model == DEFAULT_TEXT_MODEL or self.spec.model.startswith("tiny-random")
        ):  # a name in a file must not decide what is downloaded or opened
            raise InputError(
                f"the checkpoint was trained with the text model {self.spec.model}: give --text_model"
            )
        encoder = load_text_encoder(text_model or self.spec.model, device)
        if encoder.model.fingerprint != self.spec.fingerprint:
            raise InputError(
                f"the text model is {encoder.model}, but the checkpoint was trained with features of {self.spec.model} "
                f"(fingerprint {self.spec.fingerprint[:12]}): give that model's folder with --text_model"
            )
        distinct = sorted(set(texts.values()))
        # half precision, as stored features
        rows = [features.astype(np.float16) for features in encoder.encode(distinct)]
        padded = {
            text: pad_tokens(found, self.spec.tokens) for text, found in zip(distinct, rows, strict=True)
        }
        self.texts = dict(sorted(texts.items()))
        self._numbers = np.array(list(self.texts))
        self._tokens = [padded[text] for text in self.texts.values()]

    def tokens(self, frame: int) -> Tensor:
        """Return the token features (N, C) of the caption of a frame, from 1."""
        return self._tokens[int(nearest(self._numbers, np.array([frame]))[0])]


def find_video_captions(
    model: LoadedModel,
    video: Path,
    caption: str | None = None,
    captions: str | None = None,
    text_model: str | None = None,
    device: str = "cpu",
) -> VideoCaptions | None:
    """Find the captions of a video to predict.

    Args:
        model: The model.
        video: The video.
        caption: One caption for the whole video.
        captions: Table of captions by frame (.csv, .jsonl, .parquet with video, frame and text), or ``none``.
        text_model: See :class:`VideoCaptions`.
        device: Device of the text model.

    Returns:
        None for a network that reads no text, and for ``none``.

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
        return None
    if captions == "none":
        return None
    if caption is not None:
        return VideoCaptions({1: caption}, model, text_model, device)
    if captions is None:
        raise InputError(
            f"this {name} reads text: give --caption TEXT or --captions FILE, or --captions none to go without"
        )
    found = read_table(Path(captions))
    several = len({line.video for line in found}) > 1
    texts = {line.frame: line.text for line in found if not several or line.video == video.stem}
    if not texts:
        raise InputError(f"{captions} has captions of several videos, but none of {video.stem!r}")
    return VideoCaptions(texts, model, text_model, device)
