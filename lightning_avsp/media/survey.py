"""Completeness of a video file, from its index and packets, before any frame is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError

LONGEST_STILL = 3600
"""Seconds for which one frame may be shown; longer steps of the timestamps are damage."""
MOST_REORDERED = 16
"""Frames that may be stored after one and shown before it (H.264, table A-1)."""
#: Containers whose stated duration comes from their header, so that a shortfall means a missing tail.
STATED_DURATION = ("mov", "matroska", "avi", "flv", "asf")


@dataclass(frozen=True)
class Survey:
    """Result of one pass over the packets of a video, without decoding."""

    times: list[int | None]
    """Presentation times of the packets of the chosen video stream that are to be shown; nearly always its frames."""
    keys: list[int | None]
    """Those of the key frames among them."""
    last: int
    """Duration of the frame that is shown last, in the stream's unit of time; 0 if the file does not state it."""
    open_groups: bool
    """True if frames that follow a key frame in the file are shown before it."""
    damage: str | None
    """Damage of the file, e.g. ``it is cut off: ...``; None for a whole file."""


def survey(container: Any, stream: Any, path: Path) -> Survey:
    """Read all packets of an open video once, without decoding.

    Three signs of a cut are looked for: index entries or a Matroska segment that end beyond the end of the
    file, packets that the container marks as corrupt, and a last packet that ends well before the stated
    duration (half a second or two per cent, because durations are rounded).

    Args:
        container: An input container of PyAV, just opened; it is at its end afterwards.
        stream: The video stream whose packets are listed.
        path: The file, for its size.
    """
    from av.error import FFmpegError

    size = path.stat().st_size
    names = container.format.name.split(",")
    # the last byte that the sample tables of an mp4 refer to, or the end of a Matroska segment
    entries = (e.pos + e.size for s in container.streams for e in s.index_entries)
    indexed_end = max(entries, default=0) if "mov" in names else _matroska_end(path, names)
    if rest := "mpegts" in names and _transport_rest(path, size):
        damage: str | None = f"it is cut off: its last packet has {rest} of 188 bytes"
    elif indexed_end > size:
        # The packets are still counted: a reader that accepts the cut wants to know how many there are.
        damage = f"it is cut off: {size:,} of {indexed_end:,} bytes are there"
    else:
        damage = None
    times: list[int | None] = []
    keys: list[int | None] = []
    decoded: list[int] = []  # times in the order of the file
    hidden: list[int] = []  # those that an edit list does not show
    open_groups, last_end, packets = False, Fraction(0), 0
    latest, last = -math.inf, 0
    try:
        for packet in container.demux():
            if packet.size == 0:  # the flush packets that end a demux
                continue
            if packet.stream is stream and packet.is_corrupt:
                damage = damage or "it holds packets that its container marks as corrupt"
            packets += packet.stream is stream
            if packet.stream is stream and packet.pts is not None:
                (hidden if packet.is_discard else decoded).append(packet.pts)
            if packet.stream is stream and not packet.is_discard:
                if packet.pts is not None and packet.pts > latest:
                    latest, last = packet.pts, packet.duration or 0
                times.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
                elif keys and keys[-1] is not None and packet.pts is not None:
                    open_groups |= packet.pts < keys[-1]
            if packet.pts is not None:
                last_end = max(last_end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    except FFmpegError as error:
        damage = damage or f"reading stops in the middle ({error.strerror})"
    known = sorted(decoded)
    step = max((after - before for before, after in pairwise(known)), default=0)
    gap = step * Fraction(stream.time_base)
    if gap > LONGEST_STILL:
        raise InputError(
            f"{path}: the timestamps of its frames jump by {float(gap):,.0f} s, at most {LONGEST_STILL:,} are a still "
            "image: re-encode it"
        )
    if damage is None and _misplaces(decoded, known, hidden, step):
        damage = "its table of times does not fit its frames"
    stated_frames = stream.frames if {"mov", "avi"} & set(names) else 0
    # Sample tables count exactly; the header of an avi counts frames that were dropped too.
    if damage is None and stated_frames - packets > (0 if "mov" in names else max(2, stated_frames // 100)):
        damage = f"it is cut off: {packets} of {stated_frames} frames are there"
    if damage is None and container.duration and set(names) & set(STATED_DURATION):
        stated = Fraction(container.duration, 1_000_000)
        played = last_end - Fraction(container.start_time or 0, 1_000_000)
        if stated - played > max(Fraction(1, 2), stated / 50):
            damage = f"it is cut off: {float(played):.1f} of {float(stated):.1f} seconds are there"
    return Survey(times, keys, last, open_groups, damage)


def _misplaces(decoded: list[int], known: list[int], hidden: list[int], step: int) -> bool:
    """True if times are those of no codec: a frame after more than 16 later ones, or hidden far from those shown."""
    # an edit list hides frames next to those shown, at most two of the longest steps away
    places = {time: place for place, time in enumerate(known)}
    if any(places[time] - place > MOST_REORDERED for place, time in enumerate(decoded)):
        return True
    late = [time for time in hidden if known and time > known[-1]]
    early = [time for time in hidden if known and time < known[0]]
    return bool(late and min(late) - known[-1] > 2 * step) or bool(early and known[0] - max(early) > 2 * step)


def _transport_rest(path: Path, size: int) -> int:
    """Return the bytes behind the last whole packet of a transport stream; 0 where packets are not of 188 bytes."""
    with path.open("rb") as file:
        head = file.read(377)
    return size % 188 if head[::188] == b"GGG" else 0  # each packet begins with 0x47


def _matroska_end(path: Path, names: list[str]) -> int:
    """Return the byte at which the segment of a Matroska or WebM file ends; 0 if the file does not state it."""
    if "matroska" not in names:
        return 0
    with path.open("rb") as file:
        head = file.read(4096)
    position = 0
    # EBML header, then the segment (RFC 8794, 9559)
    for identifier in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        if head[position : position + 4] != identifier or len(head) < position + 12:
            return 0
        first = head[position + 4]
        length = 9 - first.bit_length()  # leading zero bits give the number of bytes of the size
        payload = int.from_bytes(head[position + 4 : position + 4 + length], "big") & ((1 << 7 * length) - 1)
        if payload == (1 << 7 * length) - 1:  # all ones: size unknown, as in a live recording
            return 0
        position += 4 + length + (payload if identifier[0] == 0x1A else 0)
    return position + payload
