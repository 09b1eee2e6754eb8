"""Captions of synthetic videos from their truth: in a given share of frames they name the object that decides.

An informative caption names the object that sounds or, with music or in silence, the fastest one. Any other
caption names only what is visible: the discs. So a model that reads is better on informative frames,
and no better on the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from lightning_avsp.data.captions.lines import Caption, caption_path, read_captions, write_captions
from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.manifest import read_conditions
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.synthetic.record import VideoRecord, read_video_record
from lightning_avsp.synthetic.spec import Condition

COLOUR_NAMES = ("red", "green", "blue")
"""Names of ``COLOURS``, in their order."""

INFORMATIVE: dict[Condition, tuple[str, ...]] = {
    "sound": (
        "the {colour} disc sounds",
        "a {colour} disc is heard",
        "the sound comes from the {colour} disc",
        "a clear tone from a {colour} disc",
    ),
    "music": (
        "music plays while the {colour} disc moves fastest",
        "the {colour} disc is the fastest, to music",
        "to music a {colour} disc moves past the others",
    ),
    "silent": (
        "in silence the {colour} disc moves fastest",
        "the {colour} disc is the fastest, without a sound",
        "a {colour} disc moves fast and silent",
    ),
}
"""Wordings of captions that name the object that decides."""

UNINFORMATIVE = (
    "{number} discs move on a plain background",
    "{discs} move about",
    "there are {discs}",
    "coloured discs move around",
)
"""Wordings of captions without that information."""

_NUMBERS = {2: "two", 3: "three"}
_MODEL = "synthetic truth"


@dataclass(frozen=True)
class SyntheticCaptions:
    """Result of :func:`write_synthetic_captions`."""

    path: Path
    """The file."""
    videos: int
    """Videos with captions."""
    captions: int
    """Captions in all."""
    informative: int
    """Captions that name the object that decides."""
    agreeing: int
    """Informative captions whose object is the one attended in that frame: observers change after 0.2 s."""


def caption_frames(
    record: VideoRecord, informative_share: float, generator: np.random.Generator
) -> list[tuple[str, bool, int]]:
    """Caption every frame of a video as (text, True if it is informative, object that decides)."""
    captions = []
    for sounding in record.sounding:
        # in music and silence observers follow the fastest
        decides = int(sounding) if sounding >= 0 else record.fastest
        informative = bool(generator.random() < informative_share)
        wordings = INFORMATIVE[record.condition] if informative else UNINFORMATIVE
        pattern = wordings[int(generator.integers(len(wordings)))]
        # shuffled: the order in which discs are named must tell nothing
        colours = [COLOUR_NAMES[kind] for kind in generator.permutation(record.kinds)]
        text = pattern.format(
            colour=COLOUR_NAMES[record.kinds[decides]],
            number=_NUMBERS[len(colours)],
            discs=" and ".join(f"a {colour} disc" for colour in colours),
        )
        captions.append((text, informative, decides))
    return captions


def write_synthetic_captions(
    root: Path, corpus: str, folder: Path, *, informative_share: float = 0.5, every: int = 1, seed: int = 0
) -> SyntheticCaptions:
    """Write the captions of a synthetic corpus from its truth.

    Each line also holds ``informative`` and ``informative_share``. The same arguments write the same file.

    Args:
        root: Root of the synthetic corpus.
        corpus: Its public name, e.g. ``AVAD``.
        folder: Folder of caption files.
        informative_share: Share of frames whose caption names the object that decides, 0 to 1.
        every: Caption one frame in so many, the middle one.
        seed: Seed of wordings and of which frames are informative.

    Raises:
        CorpusNotFoundError: If there is no such synthetic corpus below the root.
        InputError: If a number is out of range, or the file holds captions from elsewhere.
    """
    require_range(0, 1, informative_share=informative_share)
    require_range(1, every=every)
    require_range(0, seed=seed)
    entry = find_corpus(corpus, Path(root))
    path = caption_path(folder, entry.name)
    if path.is_file():
        # captions of a real model took hours
        others = {caption.model for caption in read_captions(path)} - {_MODEL}
        if others:
            raise InputError(
                f"{path} holds captions of {sorted(others)[0]}, which are not overwritten by synthetic ones; "
                "choose another --out"
            )
    captions: list[Caption] = []
    agreeing = 0
    conditions = read_conditions(root, entry.folder)
    for video in conditions:
        record = read_video_record(root, entry.folder, video)
        generator = np.random.default_rng([seed, crc32(f"{entry.folder}/{video}".encode())])
        described = caption_frames(record, informative_share, generator)
        chosen = range(len(described))[min(every // 2, len(described) - 1) :: every]
        for index in chosen:
            text, informative, decides = described[index]
            more = {"informative": informative, "informative_share": informative_share}
            captions.append(Caption(video, index + 1, text, _MODEL, None, more))
            # observers change after their latency: some informative captions are ahead of them
            agreeing += informative and decides == record.attended[index]
    write_captions(path, captions)
    informative_count = sum(bool(caption.more["informative"]) for caption in captions)
    return SyntheticCaptions(path, len(conditions), len(captions), informative_count, agreeing)
