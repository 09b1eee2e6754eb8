"""Test frames that an audit or an explanation predicts, their captions, and groups of videos reported apart."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_avsp.data.captions.features import Captions
from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.dataset import EvaluationFrames
from lightning_avsp.data.entries import MissingAudio, VideoKey
from lightning_avsp.data.manifest import read_conditions
from lightning_avsp.data.options import EvaluationOptions, LoadingOptions
from lightning_avsp.errors import InputError
from lightning_avsp.tasks.loading import LoadedModel

log = logging.getLogger(__name__)

CONDITION_TITLES = {"sound": "sound decides", "music": "unrelated music", "silent": "silent"}
"""Titles of the conditions that decide where the observers of a synthetic video look."""


@dataclass(frozen=True)
class AuditData:
    """Test frames to predict."""

    root: Path
    """Folder with the corpora."""
    corpora: tuple[str, ...] = ("AVAD",)
    """Public names."""
    split: int = 1
    """Published split, 1 to 3."""
    every: int = 5
    """Every k-th frame of each test video."""
    batch: int = 8
    """Clips per forward pass."""
    num_workers: int = 0
    """Dataloader workers."""
    missing_audio: MissingAudio = "error"
    """Treatment of videos without an audio file."""
    limit_videos: int | None = None
    """At most so many test videos, the first listed; for trials."""
    captions: Captions | None = None
    """Captions, for networks that read text."""

    def module(self, model: LoadedModel, **test_options: Any) -> AVSaliencyDataModule:
        """Build a data module that feeds a model as in training.

        Args:
            model: Defines sizes, clips and audio.
            test_options: Options of tests that perturb them, e.g. ``audio="silent"``.
        """
        spec = model.spec
        return AVSaliencyDataModule(
            root=self.root,
            corpora=list(self.corpora),
            split=self.split,
            size=spec.size,
            map_size=spec.map_size,
            clip=spec.clip,
            audio=spec.audio,
            batch_size=self.batch,
            num_workers=self.num_workers,
            captions=self.captions,
            test=EvaluationOptions(every=self.every, **test_options),
            loading=LoadingOptions(missing_audio=self.missing_audio, limit_videos=self.limit_videos),
        )


def scored_frames(module: AVSaliencyDataModule) -> EvaluationFrames:
    """Return the dataset of a data module's test frames."""
    # through the data module, so that an audit reads exactly what a test reads
    frames = module.test_dataloader().dataset
    assert isinstance(frames, EvaluationFrames)
    return frames


def find_corpus_captions(
    model: LoadedModel, root: Path, captions: str | None = None, features: Path | None = None
) -> Captions | None:
    """Find the captions that a model reads in an audit.

    Args:
        model: The model, whose training data's captions are the default.
        root: Folder with the corpora, below which captions lie that the training did not place elsewhere.
        captions: Folder with caption files, or ``none``.
        features: Folder with their token features; ``features`` inside the captions' folder by default.

    Returns:
        Captions whose features must be of the text model of the training; None for a network that reads no text, and
        for ``none``.

    Raises:
        InputError: If the network reads no text but captions are given, or if it does and there are none.
    """
    name = type(model.network).__name__
    if not model.network.uses_text:
        if captions not in (None, "none"):
            raise InputError(f"this {name} reads no text, but --captions {captions} is given: leave it out")
        return None
    if captions == "none":
        # said, since a result without captions looks like any other
        log.warning("this %s reads text, but is given no captions (--captions none)", name)
        return None
    stored = dict(model.captions or {})
    folder = Path(captions or stored.get("folder") or root / "captions")
    # never a guess: captions of another model or prompt would be audited as the training's
    if captions is None and not (stored and folder.is_dir()):
        known = f"those of its training, {folder}, are not there" if stored else "its checkpoint names none"
        raise InputError(
            f"this {name} reads captions, and {known}: give --captions FOLDER, or --captions none to go without"
        )
    # features of other captions are not those of the training
    if features is None and captions is None:
        features = stored.get("features")
    options = {key: stored[key] for key in ("missing", "tokens") if key in stored}
    text = model.spec.text
    found = Captions(folder, features, **options).below(root)
    # the network's own text model, whatever features lie there
    return found if text is None else replace(found, tokens=text.tokens, model=text.fingerprint)


def video_groups(data: AVSaliencyDataModule, videos: Iterable[VideoKey]) -> dict[str, list[VideoKey]]:
    """Group videos: all, each corpus if there are several, and each condition of synthetic corpora."""
    everything = sorted(set(videos))
    groups = {"all videos": everything}
    if len(data.corpora) > 1:
        # an average over corpora can hide that a model uses audio in one of them alone
        groups |= {name: [key for key in everything if key[0] == name] for name in data.corpora}
    for corpus in data.synthetic:
        # where sound decides a model must listen, with music or in silence it must not
        conditions = read_conditions(data.root, find_corpus(corpus, data.root).folder)
        for condition, title in CONDITION_TITLES.items():
            found = [key for key in everything if key[0] == corpus and conditions.get(key[1]) == condition]
            if found:
                groups[f"{corpus} (SYNTHETIC), {title}"] = found
    return groups
