"""One video: its sources are read as training reads them, file by file, and their errors collected.

Checked here is only what no reader looks for: numbers, blank maps, odd sizes, truncated images, and audio that does
not fit the frames.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from PIL import Image

from lightning_avsp.curation.check.report import Severity, VideoReport
from lightning_avsp.curation.importing.store import VideoPaths, read_record
from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.corpora import LAYOUTS
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.numbered_files import NUMBERED, PICTURES, NumberedFiles
from lightning_avsp.data.sources import (
    JsonFixations,
    MatFixations,
    NoFixations,
    PictureFixations,
    PictureFrames,
    PictureMaps,
    VideoFrames,
    VideoMaps,
)
from lightning_avsp.data.stavis import video_sources, wave_path
from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.media.audio_track import load_audio
from lightning_avsp.media.images import image_size, read_image
from lightning_avsp.media.random_access import (
    EVEN_REMEDY,
    OFF_CLOCK_SECONDS,
    VIDEO_SUFFIXES,
    check_seekable,
    decode_in_order,
    seconds_off_clock,
    video_info,
)

Depth = Literal["quick", "standard", "full"]
"""``quick``: names, empty files and headers. ``standard``: every map, fixation file and audio read, frames by header
and end marker, video files by their packets. ``full``: every frame decoded too."""

FEW_FRAMES, FEW_SHARE = 2, 0.01
"""So many missing frames at the end, or this share of them, are a warning; more are an error."""
SHORT_SECONDS, SHORT_FRAMES, SHORT_ERROR_SECONDS, SHORT_ERROR_SHARE = 0.1, 2, 1.0, 0.1
"""Audio may lack so much unnoticed, and so much (seconds, share) with a warning."""
LONG_SECONDS, LONG_SHARE = 1.0, 0.05
# rates of the published audio files: log-mel input uses the first, the waveform was built for the second
LOWEST_RATE, HIGHEST_RATE = 16_000, 22_050
SILENCE = 1e-4  # of full scale, -80 dB: one step of 8-bit audio is 7.8e-3
LOUD = 4.0  # lossy coders exceed full scale by a little, floats that were never scaled by far
MOST_FIXATED = 0.1  # a share of pixels that no number of observers fixates in a frame: this is a density
UNPACK = "restore it from the corpus' archive"

T = TypeVar("T")
Size = tuple[int, int]
Frames = PictureFrames | VideoFrames
Maps = PictureMaps | VideoMaps
Fixations = MatFixations | PictureFixations | JsonFixations
Source = Frames | Maps | Fixations


@dataclass
class VideoCheck(VideoReport):
    """Faults and numbers of one video, as they are found."""

    depth: Depth = "standard"

    def attempt(self, path: Path, read: Callable[..., T], *arguments: object) -> T | None:
        """Result of a reader, or None and a fault with the reader's error."""
        try:
            return read(*arguments)
        except AVSPError as error:
            self.add(path, str(error))
        except Exception as error:  # noqa: BLE001  # scipy and Pillow raise whatever the bytes of a file provoke
            self.add(path, f"cannot be read ({type(error).__name__}: {error}); {UNPACK}")
        return None

    def add_blank(self, source: Source, blank: list[int], total: int, message: str) -> None:
        """Add faults for blank maps or fixations, errors where all are blank."""
        severity: Severity = "error" if len(blank) == total else "warning"
        if isinstance(source, NumberedFiles):
            for number in blank:
                self.add(source.path(number), message, severity)
        elif blank:
            text = f"{len(blank)} of {total} frames: {message}; the first is frame {blank[0]}"
            self.add(source.path, text, severity)


def check_video(root: Path, depth: Depth, job: tuple[Corpus, ListedVideo, bool]) -> VideoCheck:
    """Collect all faults of one video; goes on after each and raises for none of them.

    Args:
        root: Root of the corpora.
        depth: Depth of the check.
        job: The corpus, the video, and True if its audio is silent by design, as that of some generated videos is.
    """
    corpus, listed, silent = job
    check = VideoCheck(corpus.name, listed.name, depth=depth)
    logger = logging.getLogger("lightning_avsp.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check.attempt(root / corpus.folder, _check_sources, root, corpus, listed, silent, check)
    finally:
        logger.setLevel(level)
    return check


def _check_sources(root: Path, corpus: Corpus, listed: ListedVideo, silent: bool, check: VideoCheck) -> None:
    if corpus.layout == "stavis":
        # not through the reader, which stops at the first gap: each missing file is to be named
        sources: dict[str, Source] = dict(
            zip(("frames", "maps", "fixations"), video_sources(root, corpus, listed.name), strict=True)
        )
        wave: Path | None = wave_path(root, corpus, listed.name)
        fps = listed.fps
    else:  # these readers look for their files, and refuse a video that has gaps
        (entry,) = LAYOUTS[corpus.layout][1](root, corpus, [listed], "silence")
        sources = {"frames": cast("Frames", entry.frames), "maps": cast("Maps", entry.maps)}
        if isinstance(entry.fixations, NoFixations):
            text = "no fixations: the video can train a model, but not score one"
            check.add(entry.fixations.tried, text, "warning")
        else:
            sources["fixations"] = cast("Fixations", entry.fixations)
        wave, fps = entry.wave, entry.fps
    frames, maps, fixations = sources["frames"], sources["maps"], sources.get("fixations")
    present = {kind: _find_numbers(source, check) for kind, source in sources.items()}
    _compare_numbers(sources, present, listed.frames, check)
    if isinstance(frames, PictureFrames):
        check.size = _check_frames(frames, present["frames"], check)
    _check_maps(cast("Maps", maps), present["maps"], check)
    if fixations is not None and (check.map_size is not None or check.depth == "quick"):
        _check_fixations(cast("Fixations", fixations), present["fixations"], check)
    if isinstance(frames, VideoFrames) and present["frames"] and fps:
        off = seconds_off_clock(video_info(frames.path), fps)
        if off > OFF_CLOCK_SECONDS:
            text = f"frames are up to {off:.2f} s off an even clock of {fps:g}/s, by which audio is read; {EVEN_REMEDY}"
            check.add(frames.path, text, "error" if corpus.layout == "stavis" else "warning")
    if corpus.has_sound:
        if isinstance(frames, VideoFrames) and not (wave and wave.is_file()):
            wave = frames.path
        assert wave is not None
        if corpus.own and _is_silent(root, corpus, listed.name, wave):
            text = "the video has no audio: train with --data.loading.missing_audio silence or skip"
            check.add(wave, text, "warning")
            return
        most = max(map(len, present.values()))
        _check_audio(wave, min(listed.frames or most, most or listed.frames), fps, silent, check)


def _is_silent(root: Path, corpus: Corpus, video: str, wave: Path) -> bool:
    """True for a video of one's own that never had audio, which is allowed."""
    if wave.is_file():
        return wave.suffix.lower() in VIDEO_SUFFIXES and video_info(wave).audio is None
    record = read_record(VideoPaths(root, corpus.folder, video), tolerant=True)
    return record is not None and record.get("audio") is None


def _find_numbers(source: Source, check: VideoCheck) -> set[int]:
    """Frames, from 1, that a source has a file or an image for."""
    if isinstance(source, NumberedFiles):
        found: set[int] = set()
        others: dict[int, Path] = {}
        match = NUMBERED.fullmatch(source.path(1).name)
        assert match is not None
        prefix, suffix = match["prefix"].lower(), match["suffix"].lower()
        suffixes = PICTURES if suffix in PICTURES else (suffix,)
        for path in source.folder.iterdir() if source.folder.is_dir() else ():
            match = NUMBERED.fullmatch(path.name)
            if match and match["prefix"].lower() == prefix and match["suffix"].lower() in suffixes:
                number = int(match["number"]) - source.first + 1
                if path.name == source.path(number).name:
                    found.add(number)
                else:
                    others[number] = path
        for number in sorted(found & set(others)):
            text = f"has the number of {source.path(number).name}, which is the one that is read; remove the other"
            check.add(others[number], text, "warning")
        return {number for number in found if number > 0}
    if isinstance(source, JsonFixations):
        return set(range(1, (check.attempt(source.path, source.count) or 0) + 1))
    assert isinstance(source, VideoFrames | VideoMaps)
    index = check.attempt(source.path, video_info, source.path)
    if index is None:
        return set()
    count, size = index.frames, (index.height, index.width)
    if isinstance(source, VideoMaps):
        check.map_size = size
    else:
        check.size = size
    try:
        check_seekable(index)
    except AVSPError as error:  # of use with a prepared cache
        check.add(source.path, str(error), "warning")
    if check.depth == "full":
        # headers and packets count frames that cannot be decoded
        count = check.attempt(source.path, lambda: sum(1 for _ in decode_in_order(source.path))) or 0
    return set(range(1, count + 1))


def _compare_numbers(
    sources: dict[str, Source], present: dict[str, set[int]], listed: int, check: VideoCheck
) -> None:
    """Faults of missing and surplus numbers; a source without any is one fault."""
    last = max((max(numbers) for numbers in present.values() if numbers), default=0)
    wanted = set(range(1, min(listed or last, last) + 1))
    check.frames, check.maps = len(present["frames"] & wanted), len(present["maps"] & wanted)
    check.fixations = len(present.get("fixations", set()) & wanted)
    if 0 < last < listed:
        text = f"{listed} frames are listed, the folders end at {last}; unpack the video again if many are missing"
        source = sources["frames"]
        path = source.folder if isinstance(source, NumberedFiles) else source.path
        check.add(path, text, _by_amount(listed - last, listed))
    complete = set.intersection(*present.values())
    check.surplus = len(complete - wanted)
    for kind, source in sources.items():
        missing = sorted(wanted - present[kind])
        if isinstance(source, NumberedFiles):
            if not present[kind]:
                state = f"no file such as {source.path(1).name}" if source.folder.is_dir() else "missing"
                check.add(source.folder, f"{state}: the video has no {kind}; unpack this part again")
                continue
            for number in missing:
                check.add(source.path(number), f"missing, so frame {number} cannot be used; {UNPACK}")
        elif missing and present[kind]:  # else its reader's error was collected
            text = f"{len(present[kind])} {kind} for {len(wanted)} frames of the video; {UNPACK} if many are missing"
            check.add(source.path, text, _by_amount(len(missing), len(wanted)))
        beyond = sorted(present[kind] - wanted - complete)
        if beyond and isinstance(source, NumberedFiles):
            text = f"{len(beyond)} {kind} beyond the {listed} listed frames are incomplete and never read"
            check.add(source.path(beyond[0]), text, "warning")


def _by_amount(missing: int, frames: int) -> Severity:
    return "warning" if missing <= max(FEW_FRAMES, FEW_SHARE * frames) else "error"


def _check_frames(files: PictureFrames, numbers: set[int], check: VideoCheck) -> Size | None:
    """Read the header of each frame, its end marker, or all of it."""
    sizes = {}
    for number in sorted(numbers):
        path = files.path(number)
        size = check.attempt(path, image_size, path)
        if size is not None:
            sizes[path] = size
            if check.depth != "quick":
                check.attempt(path, _check_whole, path, check.depth == "full")
    return _usual_size(sizes, check)


def _check_whole(path: Path, decode: bool) -> None:
    """Raise for an image file that is truncated or, if it is to be decoded, damaged."""
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        with Image.open(path) as image:
            image.verify()  # checksums: Pillow decodes a PNG without its last bytes and reports nothing
        if decode:
            read_image(path)
        return
    with path.open("rb") as file:
        # a download that broke off lacks the end marker: found without decoding
        file.seek(-2, 2)
        marked = file.read() == b"\xff\xd9"
    if decode or not marked:  # without the marker it is cut off, or something else follows: decoding decides
        read_image(path)


def _usual_size(sizes: dict[Path, Size], check: VideoCheck) -> Size | None:
    """Return the size of most images; the others are faults."""
    if not sizes:
        return None
    # most, not the first: the first file may be the odd one
    usual, many = Counter(sizes.values()).most_common(1)[0]
    for path, size in sizes.items():
        if size != usual:
            text = f"{size[0]} x {size[1]} pixels, {many} others of the video have {usual[0]} x {usual[1]}; {UNPACK}"
            check.add(path, text)
    return usual


def _check_maps(maps: Maps, numbers: set[int], check: VideoCheck) -> None:
    if isinstance(maps, VideoMaps):
        if check.depth == "full":
            found = check.attempt(maps.path, lambda: [bool(image.any()) for image in maps.in_order()]) or []
            blank = [number for number, seen in enumerate(found, start=1) if not seen]
            check.add_blank(maps, blank, len(found), "the map is blank; training skips it")
        return
    sizes, blank = {}, []
    for number in sorted(numbers):
        path = maps.path(number)
        if check.depth == "quick":
            size = check.attempt(path, maps.size, number)
        else:
            size, seen = check.attempt(path, _read_map, maps, number) or (None, True)
            if not seen:
                blank.append(number)
        if size is not None:
            sizes[path] = size
    check.map_size = _usual_size(sizes, check)
    text = (
        f"every pixel is 0: no gaze was recorded and training skips it, or the map is damaged: then {UNPACK}"
    )
    check.add_blank(maps, blank, len(numbers), text)


def _read_map(maps: PictureMaps, number: int) -> tuple[Size, bool]:
    """Size of a map, and True if any pixel is above 0."""
    pixels = maps.map(number).numpy()
    # Pillow decodes a PNG without its end and reports nothing
    if maps.path(number).suffix.lower() not in (".jpg", ".jpeg"):
        _check_whole(maps.path(number), decode=False)
    return (pixels.shape[0], pixels.shape[1]), bool(pixels.any())


def _check_fixations(fixations: Fixations, numbers: set[int], check: VideoCheck) -> None:
    """Read the fixations of each frame in the grid of the video's maps."""
    blank = []
    for number in sorted(numbers):
        path = fixations.path if isinstance(fixations, JsonFixations) else fixations.path(number)
        if check.depth == "quick":
            if path.stat().st_size == 0:
                check.add(path, f"empty (0 bytes); {UNPACK}")
        elif check.attempt(path, _count_fixations, fixations, number, path, check.map_size) == 0:
            blank.append(number)
    text = f"no fixation: no gaze was recorded and metrics leave the frame out, or damaged: then {UNPACK}"
    check.add_blank(fixations, blank, len(numbers), text)


def _count_fixations(fixations: Fixations, number: int, path: Path, size: Size) -> int:
    if isinstance(fixations, PictureFixations):
        _check_whole(path, decode=False)
    points = fixations.points(number, size)
    # repeats are legal in CrowdSAL, so distinct pixels count
    most = MOST_FIXATED * size[0] * size[1]
    if len(points) > most and (distinct := len(torch.unique(points, dim=0))) > most:
        raise InputError(
            f"{path}: {distinct} of {size[0] * size[1]} pixels are fixated in frame {number}, a density, not "
            f"fixations: {UNPACK}"
        )
    return len(points)


def _check_audio(wave: Path, frames: int, fps: float, silent_by_design: bool, check: VideoCheck) -> None:
    """Compare the audio of a video with its frames."""
    if not wave.is_file():
        check.add(
            wave, "no audio file; unpack it, or train with --data.loading.missing_audio silence or skip"
        )
        return
    in_video = wave.suffix.lower() in VIDEO_SUFFIXES
    found = check.attempt(wave, _measure_audio, wave, in_video, check.depth)
    if found is None:
        return
    seconds, check.rate, check.channels, peak = found
    wanted = frames / fps
    lacking = wanted - seconds
    text = f"{seconds:.2f} s of audio, {frames} frames at {fps:g}/s last {wanted:.2f} s"
    if lacking > max(SHORT_SECONDS, SHORT_FRAMES / fps):
        bad = lacking > SHORT_ERROR_SECONDS or lacking > SHORT_ERROR_SHARE * wanted
        check.add(wave, f"{text}; the rest is read as silence: {UNPACK}", "error" if bad else "warning")
    elif -lacking > max(LONG_SECONDS, LONG_SHARE * wanted):
        check.add(
            wave, f"{text}; compare the list's frame rate with the video's: they may drift apart", "warning"
        )
    # In video files 44.1 and 48 kHz are what one expects, and audio is resampled in any case.
    if not in_video and not LOWEST_RATE <= check.rate <= HIGHEST_RATE:
        text = (
            f"{check.rate} Hz, published audio has {LOWEST_RATE} to {HIGHEST_RATE}; it is resampled, but "
            "`alignment: released` sees fewer examples at high rates"
        )
        check.add(wave, text, "warning")
    if peak > LOUD:
        check.add(
            wave, f"its samples reach {peak:.3g}, full scale is 1; {UNPACK}, or write it as 16-bit integers"
        )
    if peak < SILENCE and not silent_by_design:
        check.add(wave, f"silent for all of its {seconds:.2f} s; {UNPACK} if the video has audio", "warning")


def _measure_audio(wave: Path, in_video: bool, depth: Depth) -> tuple[float, int, int, float]:
    """(seconds, rate, channels, peak) of audio; by its header alone, with a peak of 1, if ``quick``."""
    if depth != "quick":
        samples, rate = load_audio(wave)
        return samples.shape[1] / rate, rate, len(samples), float(samples.abs().max())
    if in_video:
        info = video_info(wave)
        if info.audio is None:
            raise InputError(f"{wave} has no audio track; set missing_audio: silence or skip")
        return info.seconds, info.audio.rate, info.audio.channels, 1.0
    import soundfile

    found = soundfile.info(wave)
    return found.frames / found.samplerate, int(found.samplerate), int(found.channels), 1.0
