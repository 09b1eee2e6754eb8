"""Prepared files in the place of a corpus' own ones."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from lightning_avsp.data.cache.file import SUFFIXES, VERSION, read_index
from lightning_avsp.data.cache.fingerprint import fingerprint
from lightning_avsp.data.cache.sources import CachedFixations, CachedFrames, CachedMaps
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.errors import InputError

log = logging.getLogger(__name__)


def prepared_stem(cache: Path, key: VideoKey, size: tuple[int, int]) -> Path:
    """Path of a video's prepared files, without suffix: ``<cache>/<H>x<W>/<corpus>/<video>``."""
    return cache / f"{size[0]}x{size[1]}" / quote(key[0], safe="") / quote(key[1], safe="")


def with_suffix(stem: Path, suffix: str) -> Path:
    """The stem with a suffix; video names may hold dots, so nothing is replaced."""
    return stem.with_name(stem.name + suffix)


def attach_cache(entries: Sequence[VideoEntry], cache: Path, size: tuple[int, int]) -> list[VideoEntry]:
    """Replace pictures, maps, fixations and sound of videos by their prepared files, where these are up to date.

    Videos without one are left as they are; how many and why is logged as a warning with what to do.

    Args:
        entries: Videos as a corpus reader gives them.
        cache: What ``avsp data prepare --out`` wrote.
        size: (height, width) of frames that will be read.

    Returns:
        As many entries, in the same order.

    Raises:
        InputError: If there is no prepared cache, or none at this size; the message names those that there are.
    """
    wanted = f"{size[0]}x{size[1]}"
    if not (cache / wanted).is_dir():
        sizes = sorted(path.name for path in cache.glob("*x*") if path.is_dir()) if cache.is_dir() else []
        found = f"holds {', '.join(sizes)}, not {wanted}" if sizes else "holds no prepared videos"
        raise InputError(
            f"{cache} {found}; make it with `avsp data prepare ROOT --size {wanted} --out {cache}`, or leave out "
            "data.cache"
        )
    attached, formats, missed = [], Counter[str](), Counter[str]()
    for entry in entries:
        found_entry, what = _attach(entry, cache, size)
        attached.append(found_entry)
        (missed if found_entry is entry else formats)[what] += 1
    if formats:
        kinds = ", ".join(f"{count} {kind}" for kind, count in formats.items())
        log.info("cache %s: %d of %d videos (%s)", cache / wanted, formats.total(), len(entries), kinds)
    if missed:
        log.warning(
            "cache %s: %d of %d videos are read from the corpus instead (%s); bring it up to date with "
            "`avsp data prepare ROOT --size %s --out %s`",
            cache / wanted,
            missed.total(),
            len(entries),
            ", ".join(f"{count} {why}" for why, count in missed.items()),
            wanted,
            cache,
        )
    return attached


def fresh_index(path: Path, mark: str) -> dict | str:
    """Index of a prepared file that is up to date, or why it is not.

    Args:
        path: Prepared file.
        mark: :func:`~lightning_avsp.data.cache.fingerprint.fingerprint` of its video.
    """
    index = read_index(path)
    if index is None:
        return "damaged" if path.exists() else "not prepared"
    if index.get("version") != VERSION:
        return f"of format version {index.get('version')}, not {VERSION}"
    return index if index.get("fingerprint") == mark else "changed since they were prepared"


def _attach(entry: VideoEntry, cache: Path, size: tuple[int, int]) -> tuple[VideoEntry, str]:
    stem = prepared_stem(cache, entry.key, size)
    why, mark = "not prepared", None
    for suffix in SUFFIXES:
        path = with_suffix(stem, suffix)
        if not path.exists():
            continue
        mark = mark or fingerprint(entry)
        index = fresh_index(path, mark)
        if isinstance(index, str):
            why = index
            continue
        built = index["built"]
        return replace(
            entry,
            n_frames=index["n_frames"],
            frames=CachedFrames(path, built, size),
            maps=CachedMaps(path, built),
            fixations=CachedFixations(path, built) if "fixations" in index["sections"] else entry.fixations,
            wave=None if entry.wave is None else path,
        ), index["format"]
    return entry, why
