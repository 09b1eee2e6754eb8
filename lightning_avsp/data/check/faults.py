"""What can be wrong with a corpus: each kind of fault with how it is found, how bad it is and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
"""``error``: the suite stops there, or scores would be wrong. ``warning``: usable, but look at it. ``note``: a fact."""


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault."""

    name: str
    severity: Severity
    """How bad it is unless the single fault says otherwise."""
    found: str
    """How it is found, for the documentation."""
    advice: str
    """What to do about it."""


_UNPACK = "restore the file from the corpus' archive"

_ALL = (
    FaultKind("list_missing", "error", "a published fold list is not there", "unpack fold_lists again"),
    FaultKind(
        "list_line",
        "error",
        "a line is not `<name> <frames> <fps>` with positive numbers, or the list has no line",
        "correct the line or unpack fold_lists again",
    ),
    FaultKind(
        "list_duplicate",
        "error",
        "a list names a video twice, also if only upper and lower case differ",
        "remove one of the lines",
    ),
    FaultKind(
        "list_disagrees",
        "warning",
        "two lists give one video different numbers of frames or frame rates",
        "use the lists of one package",
    ),
    FaultKind(
        "split_overlap",
        "error",
        "a video is in the training and in the test list of one split",
        "replace both lists by the published ones: a model would be tested on what it was trained on",
    ),
    FaultKind(
        "count_differs",
        "warning",
        "number of listed videos, or sum of their frames, against the published numbers (real corpora only)",
        "unpack fold_lists again, or report results as those of a part of the corpus",
    ),
    FaultKind(
        "video_absent",
        "error",
        "a list names a video of which no folder exists",
        "unpack the corpus again or remove the line",
    ),
    FaultKind(
        "video_unlisted",
        "note",
        "a folder of frames or annotations that no list names",
        "nothing; it is never read",
    ),
    FaultKind(
        "folder_missing",
        "error",
        "a listed video has no folder of frames, of maps or of fixations (or no file in it)",
        "unpack this part of the corpus again",
    ),
    FaultKind(
        "list_longer",
        "warning",
        "the list says more frames than any folder holds; an error if more than 2 frames and 1 % are missing",
        "nothing if few: the frames that are there are used; else unpack the video again",
    ),
    FaultKind(
        "counts_disagree",
        "warning",
        "film, saliency film and lists of points have different numbers of frames; an error if by more than 2 frames "
        "and 1 %",
        "nothing if few: the smallest number is used; else unpack the video again",
    ),
    FaultKind(
        "name_duplicate",
        "warning",
        "two files of one folder have one number, e.g. img_00001.jpg and img_1.jpg, or names differ in case alone",
        "remove the one that does not belong; the name of the layout is the one that is read",
    ),
    FaultKind("frame_missing", "error", "a number without a picture, up to the list's", _UNPACK),
    FaultKind("frame_zero_byte", "error", "a picture of 0 bytes", _UNPACK),
    FaultKind(
        "frame_truncated",
        "error",
        "header, dimensions and end marker of each picture; strict decoding where the marker is not the last thing in "
        "the file, and with --full of every picture",
        _UNPACK,
    ),
    FaultKind("frame_size", "error", "a picture of another size than most of its video", _UNPACK),
    FaultKind(
        "frame_without_map",
        "error",
        "a picture whose map is missing; a warning beyond the listed frames",
        "restore the map; without it the frame cannot be used",
    ),
    FaultKind(
        "map_without_frame",
        "warning",
        "a map beyond the last listed frame that has no picture (published: AVAD's V11_News4)",
        "nothing; it is never read",
    ),
    FaultKind("map_zero_byte", "error", "a map of 0 bytes", _UNPACK),
    FaultKind("map_truncated", "error", "strict decoding of every map", _UNPACK),
    FaultKind("map_size", "error", "a map of another size than most of its video", _UNPACK),
    FaultKind(
        "map_blank",
        "warning",
        "every pixel is 0; an error if all maps of a video are blank",
        "nothing if nobody was recorded in this frame: training passes over it; else restore the map",
    ),
    FaultKind("fixmap_missing", "error", "a picture whose fixations are missing", _UNPACK),
    FaultKind(
        "fixmap_without_frame",
        "warning",
        "fixations beyond the last listed frame that have no picture",
        "nothing; they are never read",
    ),
    FaultKind("fixmap_zero_byte", "error", "a file of fixations of 0 bytes", _UNPACK),
    FaultKind("fixmap_unreadable", "error", "reading every file of fixations", _UNPACK),
    FaultKind(
        "fixmap_key",
        "error",
        "the matrix `eyeMap` is not in the file; those that are there are named",
        "restore the file, or save the matrix as eyeMap",
    ),
    FaultKind(
        "fixmap_size",
        "error",
        "fixations in a grid of another size than the video's maps",
        "restore both from one package; metrics compare them pixel by pixel",
    ),
    FaultKind(
        "fixmap_blank",
        "warning",
        "no fixated pixel; an error if a video has none at all",
        "nothing if nobody was recorded in this frame: NSS and AUC leave it out; else restore the file",
    ),
    FaultKind(
        "fixation_outside",
        "error",
        "listed fixations outside the picture (layouts that list points)",
        "restore the file; points outside cannot be scored",
    ),
    FaultKind(
        "sound_missing",
        "error",
        "no sound file where the corpus has sound",
        "unpack the sound, or train with --data.missing_audio silence or skip",
    ),
    FaultKind("sound_unreadable", "error", "opening the sound; 0 bytes or no samples", _UNPACK),
    FaultKind(
        "sound_short",
        "warning",
        "duration against frames / fps, short by more than 0.1 s and 2 frames; an error if by more than 1 s or 10 %",
        "restore the file; what it lacks is read as silence",
    ),
    FaultKind(
        "sound_long",
        "warning",
        "longer than frames / fps by more than 1 s and 5 %",
        "compare the list's frame rate with the film's: sound and picture may drift apart",
    ),
    FaultKind(
        "sound_rate",
        "warning",
        "above 22050 or below 16000 Hz; a note if it only differs from most of its corpus",
        "nothing for aligned sound, which is resampled; alignment: released hears fewer examples at high rates",
    ),
    FaultKind(
        "sound_silent",
        "warning",
        "no sample above 1e-4 of full scale",
        "restore the file if the film has sound; else say so where results are reported",
    ),
    FaultKind(
        "film_unreadable",
        "error",
        "opening the film and reading all its packets, with --full decoding every frame",
        "copy or download the film again",
    ),
    FaultKind(
        "video_unreadable",
        "error",
        "the corpus' own reader refuses the video",
        "as its message says",
    ),
)

KINDS: dict[str, FaultKind] = {kind.name: kind for kind in _ALL}
"""Every kind of fault by its name."""

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    kind: str
    """A key of :data:`KINDS`."""
    corpus: str
    video: str
    """Name of the video; empty for a fault of lists."""
    path: Path
    """The file or folder concerned, whether it exists or not."""
    detail: str
    """What was found, with both values where two disagree."""
    severity: Severity = "error"

    @property
    def advice(self) -> str:
        """What to do."""
        return KINDS[self.kind].advice

    @property
    def order(self) -> tuple[int, str, str, str]:
        """Sort key: the worst first, then by corpus and path."""
        return _RANK[self.severity], self.corpus, self.kind, str(self.path)

    def as_json(self) -> dict[str, Any]:
        """Every field, and the advice."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "corpus": self.corpus,
            "video": self.video,
            "path": str(self.path),
            "detail": self.detail,
            "advice": self.advice,
        }


def fault(
    kind: str, corpus: str, video: str, path: Path, detail: str, severity: Severity | None = None
) -> Fault:
    """A fault with its kind's severity unless another is given."""
    return Fault(kind, corpus, video, path, detail, severity or KINDS[kind].severity)
