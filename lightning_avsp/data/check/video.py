"""One video: pictures, maps and fixations by number, and its sound."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from lightning_avsp.data.check.faults import Severity
from lightning_avsp.data.check.films import inspect_film, inspect_points
from lightning_avsp.data.check.fixation_files import FixationState, inspect_fixations
from lightning_avsp.data.check.numbering import Numbering, film_numbering, scan
from lightning_avsp.data.check.pictures import Depth, PictureState, inspect_picture
from lightning_avsp.data.check.track import check_track
from lightning_avsp.data.check.video_files import (
    FilmFile,
    PointsFile,
    Thoroughness,
    VideoFiles,
    VideoFindings,
)
from lightning_avsp.data.numbered import NumberedFiles

#: A list may exceed the folders by this many frames, or this share, before that is an error.
FEW_FRAMES, FEW_SHARE = 2, 0.01

Kind = Literal["frames", "maps", "fixations"]


def check_video(files: VideoFiles, thoroughness: Thoroughness = "standard") -> VideoFindings:
    """Every fault of one video; goes on after each and raises for none of them."""
    findings = VideoFindings(files.corpus, files.video)
    folders: dict[Kind, Numbering] = {}
    counts: dict[Kind, int] = {}
    sources: dict[Kind, NumberedFiles | FilmFile | PointsFile | None] = {
        "frames": files.frames,
        "maps": files.maps,
        "fixations": files.fixations,
    }
    for kind, source in sources.items():
        if isinstance(source, NumberedFiles):
            folders[kind] = scan(source)
            counts[kind] = len(folders[kind].numbers)
        elif isinstance(source, FilmFile):
            counts[kind] = _check_film(source.path, kind, thoroughness, findings)
            if kind == "frames" and counts[kind]:
                folders[kind] = film_numbering(source.path, counts[kind])
    for folder in folders.values():
        for double in folder.doubles:
            findings.add("name_duplicate", double, "another file of the folder has the same number")
    if len(folders) == len(sources):
        listed = files.listed or max(folder.last for folder in folders.values())
        _check_numbers(listed, folders, findings)
    if isinstance(files.frames, NumberedFiles):
        _check_pictures(folders["frames"], "frame", thoroughness, findings)
    if "maps" in folders:
        _check_pictures(folders["maps"], "map", thoroughness, findings)
    if "fixations" in folders:
        _check_fixations(folders["fixations"], files.matrix, thoroughness, findings)
    elif isinstance(files.fixations, PointsFile):
        counts["fixations"] = _check_points(files.fixations.path, findings)
    if len(folders) < len(sources):
        _check_counts(files, counts, findings)
    available = max(counts.values(), default=0)
    if files.wave is not None:
        check_track(files, min(files.listed, available) or available or files.listed, thoroughness, findings)
    return findings


def _check_numbers(listed: int, folders: dict[Kind, Numbering], findings: VideoFindings) -> None:
    """Which number lacks what; folders without any file are reported as a whole."""
    frames, maps, fixations = folders["frames"], folders["maps"], folders["fixations"]
    absent = {kind for kind, folder in folders.items() if not folder.numbers}
    for kind in sorted(absent):
        folder = folders[kind].files.folder
        what = f"is empty of {kind}" if folders[kind].exists else "does not exist"
        findings.add(
            "folder_missing", folder, f"{what} (first looked for: {folders[kind].files.path(1).name})"
        )
    findings.frames = sum(number <= listed for number in frames.numbers)
    findings.maps = sum(number <= listed for number in maps.numbers)
    findings.fixations = sum(number <= listed for number in fixations.numbers)
    last = max(folder.last for folder in folders.values())
    if 0 < last < listed:
        detail = f"the list says {listed} frames, the folders end at {last}"
        findings.add("list_longer", frames.files.folder, detail, _by_amount(listed - last, listed))
    if "frames" in absent:
        return
    for number in range(1, last + 1):
        beyond = number > listed
        has = {kind: number in folder.numbers for kind, folder in folders.items()}
        if not has["frames"]:
            _report_no_frame(folders, number, has, beyond, findings)
            continue
        worse: Severity = "warning" if beyond else "error"
        if "maps" not in absent and not has["maps"]:
            detail = f"the picture of frame {number} is there, its map is not"
            findings.add("frame_without_map", maps.files.path(number), detail, worse)
        if "fixations" not in absent and not has["fixations"]:
            detail = f"the picture of frame {number} is there, its fixations are not"
            findings.add("fixmap_missing", fixations.files.path(number), detail, worse)
        findings.surplus += beyond and all(has.values())


def _by_amount(lost: int, listed: int) -> Severity:
    return "warning" if lost <= max(FEW_FRAMES, FEW_SHARE * listed) else "error"


def _report_no_frame(
    folders: dict[Kind, Numbering],
    number: int,
    has: dict[Kind, bool],
    beyond: bool,
    findings: VideoFindings,
) -> None:
    marked: tuple[tuple[Kind, str], ...] = (
        ("maps", "map_without_frame"),
        ("fixations", "fixmap_without_frame"),
    )
    held = [folders[kind].files.path(number) for kind, _ in marked if has[kind]]
    if not beyond:
        others = f"; {' and '.join(path.name for path in held)} without it" if held else ""
        findings.add(
            "frame_missing", folders["frames"].files.path(number), f"frame {number} has no picture{others}"
        )
        return
    for kind, fault in marked:
        if has[kind]:
            detail = f"frame {number} lies beyond the list and has no picture"
            findings.add(fault, folders[kind].files.path(number), detail)


def _check_pictures(
    folder: Numbering, what: Literal["frame", "map"], thoroughness: Thoroughness, findings: VideoFindings
) -> None:
    depths: dict[Thoroughness, Depth] = {"quick": "header", "standard": "ends", "full": "whole"}
    depth = "whole" if what == "map" and thoroughness == "standard" else depths[thoroughness]
    states: dict[Path, PictureState] = {}
    for number in sorted(folder.numbers):
        path = folder.files.path(number)
        state = inspect_picture(path, depth, want_blank=what == "map" and depth == "whole")
        states[path] = state
        if state.problem is not None:
            findings.add(f"{what}_{state.problem}", path, state.detail)
    usual = _report_odd_sizes({path: state.size for path, state in states.items()}, what, findings)
    if what == "frame":
        findings.size = usual
        return
    findings.map_size = usual
    blank = [path for path, state in states.items() if state.blank]
    severity: Severity = "error" if blank and len(blank) == len(states) else "warning"
    for path in blank:
        findings.add("map_blank", path, "every pixel is 0", severity)


def _report_odd_sizes(
    sizes: dict[Path, tuple[int, int] | None], what: Literal["frame", "map"], findings: VideoFindings
) -> tuple[int, int] | None:
    counts = Counter(size for size in sizes.values() if size is not None)
    if not counts:
        return None
    usual, many = counts.most_common(1)[0]
    for path, size in sizes.items():
        if size is not None and size != usual:
            detail = f"{_text(size)} pixels, {many} others of the video have {_text(usual)}"
            findings.add(f"{what}_size", path, detail)
    return usual


def _check_fixations(
    folder: Numbering, matrix: str, thoroughness: Thoroughness, findings: VideoFindings
) -> None:
    states: dict[Path, FixationState] = {}
    for number in sorted(folder.numbers):
        path = folder.files.path(number)
        state = inspect_fixations(path, thoroughness != "quick", matrix)
        states[path] = state
        if state.problem is not None:
            findings.add(f"fixmap_{state.problem}", path, state.detail)
        elif findings.map_size is not None and state.size is not None and state.size != findings.map_size:
            detail = f"{_text(state.size)}, the maps have {_text(findings.map_size)}"
            findings.add("fixmap_size", path, detail)
    blank = [path for path, state in states.items() if state.points == 0]
    severity: Severity = "error" if blank and len(blank) == len(states) else "warning"
    for path in blank:
        findings.add("fixmap_blank", path, "no fixated pixel", severity)


def _check_film(path: Path, kind: Kind, thoroughness: Thoroughness, findings: VideoFindings) -> int:
    """Frames of a film or of a saliency film; 0 where it cannot be read."""
    decode = thoroughness == "full"
    state = inspect_film(path, decode, want_blank=decode and kind == "maps")
    if state.problem:
        findings.add("film_unreadable", path, state.problem)
    if kind == "maps":
        findings.map_size = state.size
    else:
        findings.size = state.size
    if state.blank:
        severity: Severity = "error" if len(state.blank) == state.frames else "warning"
        detail = f"{len(state.blank)} of {state.frames} frames are black, the first is {state.blank[0]}"
        findings.add("map_blank", path, detail, severity)
    return state.frames


def _check_points(path: Path, findings: VideoFindings) -> int:
    """Frames that a file of points has; 0 where it cannot be read."""
    found = inspect_points(path)
    if found.problem:
        findings.add("fixmap_unreadable", path, found.problem)
    if findings.map_size is not None:
        height, width = findings.map_size
        for number, points in enumerate(found.lists, start=1):
            inside = (points >= 0).all(axis=1) & (points[:, 0] < height) & (points[:, 1] < width)
            if not inside.all():
                first = points[~inside][0].tolist()
                detail = (
                    f"frame {number}: {int((~inside).sum())} of {len(points)} fixations lie outside {height} x "
                    f"{width}, the first at {first} (row, column)"
                )
                findings.add("fixation_outside", path, detail)
    empty = [number for number, points in enumerate(found.lists, start=1) if not len(points)]
    if empty:
        severity: Severity = "error" if len(empty) == len(found.lists) else "warning"
        detail = f"{len(empty)} of {len(found.lists)} frames have no fixation, the first is {empty[0]}"
        findings.add("fixmap_blank", path, detail, severity)
    return len(found.lists)


def _check_counts(files: VideoFiles, counts: dict[Kind, int], findings: VideoFindings) -> None:
    """Numbers of frames where they cannot be compared one by one."""
    findings.frames, findings.maps = counts.get("frames", 0), counts.get("maps", 0)
    findings.fixations = counts.get("fixations", 0)
    readable = {kind: count for kind, count in counts.items() if count}
    if len(set(readable.values())) > 1:
        text = ", ".join(f"{count} {kind}" for kind, count in readable.items())
        lost, most = max(readable.values()) - min(readable.values()), max(readable.values())
        findings.add("counts_disagree", files.place, text, _by_amount(lost, most))


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
