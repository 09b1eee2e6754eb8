"""Fold lists: text files that name the videos of one part of a split, with their frames and frame rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus, Part
from lightning_avsp.data.text_files import check_name, read_text
from lightning_avsp.errors import CorpusNotFoundError, InputError

LISTS_FOLDER = "fold_lists"


@dataclass(frozen=True)
class ListedVideo:
    """One line of a fold list."""

    name: str
    """Name of the video's folders; unique inside one corpus only, and checked, as it becomes part of paths."""
    frames: int
    """Number of frames according to the list; 0 where a corpus comes without one."""
    fps: float
    """Frames per second; the lists carry float noise such as 29.999999999999996."""

    def __post_init__(self) -> None:
        """Check the name."""
        check_name(self.name)


def parse_fold_list(path: Path, errors: list[InputError] | None = None) -> list[ListedVideo]:
    """Read the videos of a fold list, in its order.

    A line is ``<name> <frames> <fps>``.

    Args:
        path: The list.
        errors: Collects the errors of single lines, which are then passed over; None raises the first.

    Raises:
        CorpusNotFoundError: If the list does not exist.
        InputError: If it is not UTF-8, a line cannot be read, a video is named twice, or the list is empty.
    """
    if not path.is_file():
        raise CorpusNotFoundError(
            f"no fold list at {path}; unpack the corpus' fold_lists there, or make a synthetic corpus with "
            "`avsp data synth --root DIR`"
        )
    videos: dict[str, ListedVideo] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        # blank lines occur in published lists; anything else that does not fit is an error, because a video lost here
        # would be missing from every score without a word
        if not line.strip():
            continue
        try:
            video = _parse_line(line)
            if video.name in videos:
                raise InputError(f"{video.name!r} is listed twice; remove one of the lines")
        except InputError as cause:
            error = InputError(f"{path}:{number}: {cause}")
            if errors is None:
                raise error from cause
            errors.append(error)
        else:
            videos[video.name] = video
    if not videos:
        raise InputError(f"{path} lists no video; replace it by the published list")
    return list(videos.values())


def _parse_line(line: str) -> ListedVideo:
    fields = line.rsplit(maxsplit=2)  # from the right: a name may hold spaces
    try:
        name, frames, fps = fields[0].strip(), int(fields[1]), float(fields[2])
    except (IndexError, ValueError) as error:
        raise InputError(f"expected '<name> <frames> <fps>', found {line!r}") from error
    # NaN fails both comparisons
    if frames < 1 or not 0 < fps < 1000:
        raise InputError(f"frames must be positive and fps between 0 and 1000, found {line!r}")
    return ListedVideo(name, frames, fps)


def list_path(root: Path, corpus: Corpus, part: Part, split: int) -> Path:
    """Return the path of the list of one part of a split under the package's root."""
    return root / LISTS_FOLDER / corpus.list_name(part, split)


def require_root(root: Path, corpus: Corpus) -> None:
    """Refuse a root that is not there.

    Raises:
        CorpusNotFoundError: If it is no folder; the message says how to obtain the corpus.
    """
    if not root.is_dir():
        raise CorpusNotFoundError(
            f"no folder at {root} (the root of {corpus.name}); to obtain it: {corpus.source}; or try "
            f"everything on generated data first: `avsp data synth --root {root} --corpus {corpus.folder}`"
        )


def base_folders(root: Path, corpus: Corpus) -> list[Path]:
    """Return folders that may contain a corpus: those below the root with one of its names, or the root itself."""
    below = [root / name for name in corpus.names if (root / name).is_dir()]
    return below or ([root] if root.resolve().name in corpus.names else [])


def find_below(root: Path, corpus: Corpus, names: Sequence[str]) -> Path:
    """Find the first of some files or folders of a corpus, in any folder that may contain it.

    Raises:
        CorpusNotFoundError: If there is none; the message has all paths.
    """
    require_root(root, corpus)
    paths = [base / name for base in base_folders(root, corpus) or [root / corpus.folder] for name in names]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        raise CorpusNotFoundError(
            f"{corpus.name}: nothing at {' or '.join(map(str, paths))}; to obtain it: {corpus.source}"
        )
    return found


def listed_videos(root: Path, corpus: Corpus, part: Part, split: int) -> list[ListedVideo]:
    """List the videos that the package names for one part of a split (:func:`parse_fold_list`)."""
    require_root(root, corpus)
    return parse_fold_list(list_path(root, corpus, part, split))
