"""Whole corpora: lists, then every video in parallel processes, then remarks across them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, islice
from pathlib import Path

from lightning_avsp.curation.check.report import CheckReport, CorpusReport, Fault
from lightning_avsp.curation.check.video import Depth, VideoCheck, check_video
from lightning_avsp.data.catalogue import Corpus, Part, find_corpus, known_corpora
from lightning_avsp.data.corpora import corpus_listing
from lightning_avsp.data.lists import ListedVideo, base_folders, list_path, parse_fold_list
from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.data.partition import refuse_shared, shared_films
from lightning_avsp.errors import AVSPError, CorpusNotFoundError, InputError
from lightning_avsp.parallel import Progress, run_jobs

PARTS: tuple[Part, ...] = ("train", "test")
FOLDERS = ("video_frames", "annotations", "videos", "video_audio")
"""Folders of the STAViS package's layout that hold one folder for each corpus."""

ALONE_FRAMES = 1000
"""So many frames are checked in this process."""


def check_corpora(
    root: Path,
    corpora: Sequence[str] = (),
    *,
    depth: Depth = "standard",
    workers: int = 1,
    progress: Progress | None = None,
) -> CheckReport:
    """Check corpora under one root.

    Args:
        root: Folder that holds ``video_frames``, ``video_audio``, ``annotations`` and ``fold_lists``.
        corpora: Names in the catalogue; empty for every corpus of which anything is there.
        depth: How closely files are read (:data:`~lightning_avsp.curation.check.video.Depth`).
        workers: Processes. More than one needs a script with an ``if __name__ == "__main__"`` guard.
        progress: Called after each video.

    Raises:
        CorpusNotFoundError: If the root does not exist, or nothing of the wanted corpora is in it.
        InputError: If a name is not in the catalogue.
    """
    if not root.is_dir():
        raise CorpusNotFoundError(
            f"no folder at {root}; give the root that holds video_frames and fold_lists"
        )
    known = known_corpora(root)
    wanted = [find_corpus(name, root) for name in corpora] or [c for c in known.values() if is_there(root, c)]
    if not wanted:
        raise CorpusNotFoundError(
            f"{root} holds nothing of {', '.join(known)}: neither a folder nor a fold list; give their root, or "
            f"make a generated corpus with `avsp data synth --root {root}`"
        )
    for corpus in wanted:
        if not is_there(root, corpus):
            looked = root / "video_frames" / corpus.folder
            raise CorpusNotFoundError(
                f"nothing of {corpus.name} under {root} (looked for {looked} and its fold lists); to obtain it: "
                f"{corpus.source}"
            )
    listings = [read_files(root, corpus) for corpus in wanted]
    jobs = [
        (corpus, *job) for corpus, listing in zip(wanted, listings, strict=True) for job in listing.present
    ]
    frames = [video.frames for _, video, _ in jobs]
    if all(frames) and sum(frames) <= ALONE_FRAMES:
        workers = 1  # done before another process has started
    found = iter(
        run_jobs(
            partial(check_video, root, depth),
            jobs,
            workers,
            progress=progress,
            name=lambda job: f"{job[0].name}/{job[1].name}",
        )
    )
    reports = [
        report_corpus(corpus, listing, list(islice(found, len(listing.present))))
        for corpus, listing in zip(wanted, listings, strict=True)
    ]
    owners = defaultdict(list)
    for report in reports:
        for name in report.names:
            owners[name].append(report.corpus)
    shared = Counter(tuple(corpora) for corpora in owners.values() if len(corpora) > 1)
    facts = [
        f"{count} names are in {' and '.join(corpora)}: different videos, distinguished by corpus"
        for corpora, count in shared.items()
    ]
    return CheckReport(root, depth, tuple(reports), tuple(facts))


def is_there(root: Path, corpus: Corpus) -> bool:
    """True if anything of a corpus is under a root: one of its folders, or one of its lists."""
    if corpus.layout != "stavis":
        return bool(base_folders(root, corpus))
    lists = (list_path(root, corpus, part, split) for split in corpus.splits for part in PARTS)
    return any((root / kind / corpus.folder).is_dir() for kind in FOLDERS) or any(p.is_file() for p in lists)


def read_files(root: Path, corpus: Corpus) -> Listing:
    """Read the lists of a corpus, and find the listed videos of which anything is on disk."""
    entry = read_manifest(root)["corpora"].get(corpus.folder)
    conditions = {} if entry is None else {name: v["condition"] for name, v in entry["videos"].items()}
    listing = read_listing(root, corpus, compare=entry is None and not corpus.own)
    listing.generated = entry is not None
    present = list(listing.videos.values())
    if corpus.layout == "stavis":
        folders = [root / kind / corpus.folder for kind in FOLDERS[:2]]
        names = {p.name for folder in folders if folder.is_dir() for p in folder.iterdir() if p.is_dir()}
        copies = {path.stem for path in (root / "videos" / corpus.folder).glob("*")}
        present = [video for video in present if video.name in names | copies]
        for name in listing.videos.keys() - {video.name for video in present}:
            text = f"listed, but neither frames nor annotations exist; unpack {corpus.name} again or remove the line"
            path = root / "video_frames" / corpus.folder / name
            listing.faults.append(Fault(path, text, "error", corpus.name, name))
        unlisted = sorted(name for name in names - listing.videos.keys() if not name.startswith("."))
        if unlisted:
            listing.facts.append(f"in no fold list, never read: {', '.join(unlisted)}")
    listing.present = [(video, conditions.get(video.name) == "silent") for video in present]
    return listing


def report_corpus(corpus: Corpus, listing: Listing, found: Sequence[VideoCheck]) -> CorpusReport:
    """Add the faults and numbers of a corpus' videos up."""
    return CorpusReport(
        corpus=corpus.name,
        generated=listing.generated,
        names=tuple(listing.videos),
        listed_frames=listing.frames,
        published_videos=corpus.videos,
        published_frames=corpus.frames or 0,
        counts=listing.counts,
        published_counts=dict(zip(corpus.splits, corpus.counts, strict=False)),
        videos=len(found),
        frames=sum(video.frames for video in found),
        maps=sum(video.maps for video in found),
        fixations=sum(video.fixations for video in found),
        surplus=sum(video.surplus for video in found),
        sizes=dict(Counter("{}x{}".format(*video.size) for video in found if video.size)),
        map_sizes=dict(Counter("{}x{}".format(*video.map_size) for video in found if video.map_size)),
        rates=dict(Counter(video.rate for video in found if video.rate)),
        channels=dict(Counter(video.channels for video in found if video.channels)),
        facts=tuple(listing.facts),
        faults=tuple(
            sorted(
                [*listing.faults, *(f for video in found for f in video.faults)],
                key=lambda fault: fault.order,
            )
        ),
    )


@dataclass
class Listing:
    """Contents of all lists of a corpus."""

    videos: dict[str, ListedVideo] = field(default_factory=dict)
    """Every listed video once, as the first list has it."""
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(train, test) videos of each split whose lists can be read."""
    faults: list[Fault] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    generated: bool = False
    """True if the corpus is SYNTHETIC."""
    present: list[tuple[ListedVideo, bool]] = field(default_factory=list)
    """Videos of which anything is on disk, and True where silence is meant."""

    @property
    def frames(self) -> int:
        """Frames of all listed videos, by the lists."""
        return sum(video.frames for video in self.videos.values())


def read_listing(root: Path, corpus: Corpus, compare: bool) -> Listing:
    """Read every list of a corpus, and go on after what is wrong with it.

    Args:
        root: Root of the packages.
        corpus: Corpus to read.
        compare: Compare numbers with the published ones, which generated corpora do not have.
    """
    listing = Listing()
    read: dict[tuple[Path, Part], list[ListedVideo] | None] = {}  # DIEM has one pair of lists for all splits
    tests: dict[Path, tuple[int, set[str]]] = {}
    shared: set[str] = set()

    def add(path: Path, message: str, warning: bool = False) -> None:
        listing.faults.append(Fault(path, message, "warning" if warning else "error", corpus.name))

    for split in corpus.splits:
        paths = [_list_file(root, corpus, part, split) for part in PARTS]
        new = [key for key in zip(paths, PARTS, strict=True) if key not in read]
        for path, part in new:
            read[path, part] = _read_part(root, corpus, part, split, add)
            for video in read[path, part] or ():
                known = listing.videos.setdefault(video.name, video)
                # Published lists carry float noise in the rate.
                if known.frames != video.frames or abs(known.fps - video.fps) > 1e-3:
                    text = (
                        f"{video.name!r} has {video.frames} frames at {video.fps:g}/s, in an earlier list "
                        f"{known.frames} at {known.fps:g}/s; use the lists of one package"
                    )
                    add(path, text, warning=True)
        train, test = (read[key] for key in zip(paths, PARTS, strict=True))
        if train is None or test is None:
            continue
        listing.counts[split] = (len(train), len(test))
        if not new:
            continue
        tests[paths[1]] = (split, {video.name for video in test})
        films = shared_films(*([(corpus.name, video.name) for video in part] for part in (train, test)))
        shared |= {film.partition("/")[2] for film in films}
        try:
            refuse_shared(*([(corpus.name, video.name) for video in part] for part in (train, test)))
        except InputError as error:
            add(paths[1], str(error))
        for part, count in (
            zip(PARTS, listing.counts[split], strict=True) if compare and not corpus.shots else ()
        ):
            if corpus.counts and corpus.published_count(part, split) != count:
                published = corpus.published_count(part, split)
                text = f"split {split}: {count} {part} videos, published {published}; unpack the lists again"
                add(paths[1], text, warning=True)
    if (
        compare
        and not corpus.shots
        and corpus.layout == "stavis"
        and len(listing.counts) == len(corpus.splits)
    ):
        for kind, count, expected in (
            ("distinct videos", len(listing.videos), corpus.videos),
            ("frames", listing.frames, corpus.frames),
        ):
            if expected and count != expected:
                text = f"{count} {kind} in all lists, published {expected}; unpack the lists again"
                add(paths[0].parent, text, warning=True)
    if shared:
        listing.facts.append(f"films of which a split trains and tests parts: {', '.join(sorted(shared))}")
    # Published test lists are not always a clean partition.
    for (first, one), (second, other) in combinations(tests.values(), 2):
        if one & other:
            listing.facts.append(f"tested in splits {first} and {second}: {', '.join(sorted(one & other))}")
    never = sorted(listing.videos.keys() - set().union(*(names for _, names in tests.values())))
    if len(tests) > 1 and never:
        listing.facts.append(f"never tested: {', '.join(never)}")
    return listing


def _list_file(root: Path, corpus: Corpus, part: Part, split: int) -> Path:
    """The list of a part, or the folder of a corpus whose reader finds its videos by itself."""
    return list_path(root, corpus, part, split) if corpus.layout == "stavis" else root / corpus.folder


def _read_part(
    root: Path, corpus: Corpus, part: Part, split: int, add: Callable[[Path, str], None]
) -> list[ListedVideo] | None:
    """Videos of a part, as far as its list can be read; None where nothing can."""
    path = _list_file(root, corpus, part, split)
    errors: list[InputError] = []
    try:
        if corpus.layout == "stavis":
            return parse_fold_list(path, errors)
        return corpus_listing(root, corpus, part, split)
    except (AVSPError, OSError, UnicodeDecodeError) as error:
        add(path, f"{error}; split {split} cannot be used")
        return None
    finally:
        for each in errors:
            add(path, str(each))
