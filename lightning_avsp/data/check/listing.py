"""Fold lists of a corpus, read without stopping at what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus, Part
from lightning_avsp.data.check.faults import Fault, fault
from lightning_avsp.data.lists import ListedVideo, list_path

PARTS: tuple[Part, ...] = ("train", "test")


@dataclass
class Listing:
    """What all lists of a corpus say."""

    videos: dict[str, ListedVideo] = field(default_factory=dict)
    """Every listed video once, as the first list gives it."""
    where: dict[str, str] = field(default_factory=dict)
    """``<list>:<line>`` that named it first."""
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(train, test) distinct videos of each split whose lists are both there."""
    faults: list[Fault] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Frames of all listed videos, by the lists."""
        return sum(video.frames for video in self.videos.values())


def read_listing(root: Path, corpus: Corpus, real: bool) -> Listing:
    """Read every fold list of a corpus.

    Args:
        root: Root of the package.
        corpus: Which corpus.
        real: Whether its numbers can be held against the published ones, which generated data have not.
    """
    listing = Listing()
    parts: dict[tuple[int, Part], set[str] | None] = {}
    read: dict[Path, set[str] | None] = {}
    for split in corpus.splits:
        for part in PARTS:
            path = list_path(root, corpus, part, split)
            if path not in read:  # DIEM has one pair of lists for all splits
                read[path] = _read_list(path, corpus, listing)
            parts[split, part] = read[path]
    _report_missing(root, corpus, parts, listing)
    tests: dict[Path, tuple[int, set[str]]] = {}
    seen: set[Path] = set()
    for split in corpus.splits:
        train, test = parts[split, "train"], parts[split, "test"]
        path = list_path(root, corpus, "test", split)
        if train is None or test is None:
            continue
        listing.counts[split] = (len(train), len(test))
        tests.setdefault(path, (split, test))
        if path not in seen:
            seen.add(path)
            _report_overlap(path, list_path(root, corpus, "train", split), corpus, train & test, listing)
            if real:
                compare_counts(path, corpus, split, listing)
    _state_partition([*tests.values()], listing)
    if real and listing.counts and corpus.videos and len(listing.counts) == len(corpus.splits):
        _compare_totals(root, corpus, listing)
    return listing


def _read_list(path: Path, corpus: Corpus, listing: Listing) -> set[str] | None:
    """Names of one list, or None where it is not there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        listing.faults.append(fault("list_line", corpus.name, "", path, f"cannot be read: {error}"))
        return set()
    names: dict[str, int] = {}
    lower: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        video = _parse(line)
        if video is None:
            detail = f"line {number}: expected '<name> <frames> <fps>', found {line!r}"
            listing.faults.append(fault("list_line", corpus.name, "", path, detail))
            continue
        earlier = lower.get(video.name.lower())
        if earlier is not None:
            detail = f"line {number}: {video.name!r} again, after {earlier!r} in line {names[earlier]}"
            listing.faults.append(fault("list_duplicate", corpus.name, video.name, path, detail))
            continue
        names[video.name], lower[video.name.lower()] = number, video.name
        _enter(video, f"{path.name}:{number}", path, corpus, listing)
    if not names:
        listing.faults.append(fault("list_line", corpus.name, "", path, "the list names no video"))
    return set(names)


def _parse(line: str) -> ListedVideo | None:
    fields = line.rsplit(maxsplit=2)
    try:
        name, frames, fps = fields[0].strip(), int(fields[1]), float(fields[2])
    except (IndexError, ValueError):
        return None
    safe = name not in ("", ".", "..") and "/" not in name and "\\" not in name
    return ListedVideo(name, frames, fps) if safe and frames >= 1 and 0 < fps < 1000 else None


def _enter(video: ListedVideo, where: str, path: Path, corpus: Corpus, listing: Listing) -> None:
    known = listing.videos.setdefault(video.name, video)
    listing.where.setdefault(video.name, where)
    # Published lists carry float noise in the rate.
    if known.frames != video.frames or abs(known.fps - video.fps) > 1e-3:
        detail = (
            f"{where} says {video.frames} frames at {video.fps:g}/s, {listing.where[video.name]} says "
            f"{known.frames} at {known.fps:g}/s"
        )
        listing.faults.append(fault("list_disagrees", corpus.name, video.name, path, detail))


def _report_missing(
    root: Path, corpus: Corpus, parts: dict[tuple[int, Part], set[str] | None], listing: Listing
) -> None:
    reported: set[Path] = set()
    for (split, part), names in parts.items():
        path = list_path(root, corpus, part, split)
        if names is None and path not in reported:
            reported.add(path)
            detail = f"no {part} list of split {split}: this split cannot be used"
            listing.faults.append(fault("list_missing", corpus.name, "", path, detail))


def _report_overlap(test: Path, train: Path, corpus: Corpus, both: set[str], listing: Listing) -> None:
    for name in sorted(both):
        detail = f"{name!r} is also in {train.name}"
        listing.faults.append(fault("split_overlap", corpus.name, name, test, detail))


def compare_counts(path: Path, corpus: Corpus, split: int, listing: Listing) -> None:
    """Note where the numbers of videos of a split are not the published ones."""
    for part, found in zip(PARTS, listing.counts[split], strict=True):
        published = corpus.published_count(part, split) if corpus.counts else found
        if published != found:
            detail = f"split {split}: {found} {part} videos, published {published}"
            listing.faults.append(fault("count_differs", corpus.name, "", path, detail))


def _compare_totals(root: Path, corpus: Corpus, listing: Listing) -> None:
    path = list_path(root, corpus, "train", corpus.splits[0]).parent
    for what, found, published in (
        ("distinct videos", len(listing.videos), corpus.videos),
        ("frames", listing.frames, corpus.frames),
    ):
        if published and found != published:
            detail = f"{found} {what} in all lists, published {published}"
            listing.faults.append(fault("count_differs", corpus.name, "", path, detail))


def _state_partition(tests: list[tuple[int, set[str]]], listing: Listing) -> None:
    """Facts on how clean a partition the test lists are; published ones are not always."""
    if len(tests) < 2:
        return
    for (first, one), (second, other) in combinations(tests, 2):
        both = sorted(one & other)
        if both:
            listing.facts.append(f"tested in splits {first} and {second}: {', '.join(both)}")
    tested = set().union(*(names for _, names in tests))
    never = sorted(set(listing.videos) - tested)
    if never:
        listing.facts.append(f"never tested: {', '.join(never)}")
