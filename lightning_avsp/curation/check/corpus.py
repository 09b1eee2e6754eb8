"""Whole corpora: lists, then every video in parallel processes, then remarks across them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

from lightning_avsp.curation.check.report import CheckReport, CorpusReport
from lightning_avsp.curation.check.video import Depth, check_video
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

ALONE_FRAMES = 1000  # so few frames are checked before another process has imported torch


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
    jobs = [(corpus, *job) for corpus, (_, present) in zip(wanted, listings, strict=True) for job in present]
    frames = [video.frames for _, video, _ in jobs]
    if all(frames) and sum(frames) <= ALONE_FRAMES:
        workers = 1  # done before another process has started
    found = run_jobs(
        partial(check_video, root, depth),
        jobs,
        workers,
        progress=progress,
        name=lambda job: f"{job[0].name}/{job[1].name}",
    )
    reports = [report for report, _ in listings]
    of_corpus = {report.corpus: report for report in reports}
    for video in found:
        of_corpus[video.corpus].add_video(video)
    for report in reports:
        report.faults.sort(key=lambda fault: fault.order)
    owners = defaultdict(list)
    for report in reports:
        for name in report.names:
            owners[name].append(report.corpus)
    # Coutrot's two corpora both have a clip1: a fact, no fault
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


def read_files(root: Path, corpus: Corpus) -> tuple[CorpusReport, list[tuple[ListedVideo, bool]]]:
    """Read the lists of a corpus, and find the listed videos of which anything is on disk.

    Returns:
        The report as far as lists go; videos that are there, and True where silence is meant.
    """
    entry = read_manifest(root)["corpora"].get(corpus.folder)
    conditions = {} if entry is None else {name: v["condition"] for name, v in entry["videos"].items()}
    published = dict(zip(corpus.splits, corpus.counts, strict=False))
    report = CorpusReport(corpus.name, corpus.videos, corpus.frames or 0, published, entry is not None)
    videos = read_lists(root, corpus, report)
    report.names, report.listed_frames = list(videos), sum(video.frames for video in videos.values())
    present = list(videos.values())
    if corpus.layout == "stavis":
        folders = [root / kind / corpus.folder for kind in FOLDERS[:2]]
        names = {p.name for folder in folders if folder.is_dir() for p in folder.iterdir() if p.is_dir()}
        copies = {path.stem for path in (root / "videos" / corpus.folder).glob("*")}
        # a video of which nothing is there is one fault, not one for each of its files
        present = [video for video in present if video.name in names | copies]
        for name in videos.keys() - {video.name for video in present}:
            text = f"listed, but neither frames nor annotations exist; unpack {corpus.name} again or remove the line"
            report.add(root / "video_frames" / corpus.folder / name, text, video=name)
        unlisted = sorted(name for name in names - videos.keys() if not name.startswith("."))
        if unlisted:
            report.facts.append(f"in no fold list, never read: {', '.join(unlisted)}")
    # shots were never counted, generated and own corpora never published
    if not report.generated and not corpus.own and not corpus.shots:
        _compare_published(root, corpus, report)
    return report, [(video, conditions.get(video.name) == "silent") for video in present]


def _compare_published(root: Path, corpus: Corpus, report: CorpusReport) -> None:
    """Compare numbers of lists with the published ones, which generated and own corpora do not have."""
    seen: set[Path] = set()  # DIEM has one pair of lists for all splits
    for split, counts in report.counts.items():
        path = _list_file(root, corpus, "test", split)
        if path in seen:
            continue
        seen.add(path)
        for part, count, published in zip(
            PARTS, counts, report.published_counts.get(split, counts), strict=True
        ):
            if count != published:
                text = f"split {split}: {count} {part} videos, published {published}; unpack the lists again"
                report.add(path, text, "warning")
    if corpus.layout == "stavis" and len(report.counts) == len(corpus.splits):
        for kind, count, expected in (
            ("distinct videos", len(report.names), corpus.videos),
            ("frames", report.listed_frames, corpus.frames),
        ):
            if expected and count != expected:
                text = f"{count} {kind} in all lists, published {expected}; unpack the lists again"
                report.add(_list_file(root, corpus, "test", 1).parent, text, "warning")


def read_lists(root: Path, corpus: Corpus, report: CorpusReport) -> dict[str, ListedVideo]:
    """Read every list of a corpus, and go on after what is wrong with it.

    Returns:
        Every listed video once, as the first list has it.
    """
    videos: dict[str, ListedVideo] = {}
    read: dict[tuple[Path, Part], list[ListedVideo] | None] = {}  # DIEM has one pair of lists for all splits
    tests: dict[int, set[str]] = {}
    shared: set[str] = set()
    for split in corpus.splits:
        paths = [_list_file(root, corpus, part, split) for part in PARTS]
        new = [key for key in zip(paths, PARTS, strict=True) if key not in read]
        for path, part in new:
            read[path, part] = _read_part(root, corpus, part, split, report)
            for video in read[path, part] or ():
                # readers take the smallest number, so a list that disagrees loses frames silently
                known = videos.setdefault(video.name, video)
                # Published lists carry float noise in the rate.
                if known.frames != video.frames or abs(known.fps - video.fps) > 1e-3:
                    text = (
                        f"{video.name!r} has {video.frames} frames at {video.fps:g}/s, in an earlier list "
                        f"{known.frames} at {known.fps:g}/s; use the lists of one package"
                    )
                    report.add(path, text, "warning")
        train, test = (read[key] for key in zip(paths, PARTS, strict=True))
        if train is None or test is None:
            continue
        report.counts[split] = (len(train), len(test))
        # DIEM's one pair of lists would be compared three times
        if new:
            tests[split] = {video.name for video in test}
            keys = [[(corpus.name, video.name) for video in part] for part in (train, test)]
            shared |= {film.partition("/")[2] for film in shared_films(*keys)}
            try:
                refuse_shared(*keys)
            except InputError as error:
                report.add(paths[1], str(error))
    if shared:
        report.facts.append(f"films of which a split trains and tests parts: {', '.join(sorted(shared))}")
    # Published test lists are not always a clean partition.
    for (first, one), (second, other) in combinations(tests.items(), 2):
        if one & other:
            report.facts.append(f"tested in splits {first} and {second}: {', '.join(sorted(one & other))}")
    never = sorted(videos.keys() - set().union(*tests.values()))
    # with one split, every training video is never tested
    if len(tests) > 1 and never:
        report.facts.append(f"never tested: {', '.join(never)}")
    return videos


def _list_file(root: Path, corpus: Corpus, part: Part, split: int) -> Path:
    """The list of a part, or the folder of a corpus whose reader finds its videos by itself."""
    return list_path(root, corpus, part, split) if corpus.layout == "stavis" else root / corpus.folder


def _read_part(
    root: Path, corpus: Corpus, part: Part, split: int, report: CorpusReport
) -> list[ListedVideo] | None:
    """Videos of a part, as far as its list can be read; None where nothing can."""
    path = _list_file(root, corpus, part, split)
    errors: list[InputError] = []
    try:
        if corpus.layout == "stavis":
            return parse_fold_list(path, errors)
        return corpus_listing(root, corpus, part, split)
    except (AVSPError, OSError, UnicodeDecodeError) as error:
        report.add(path, f"{error}; split {split} cannot be used")
        return None
    finally:
        for each in errors:
            report.add(path, str(each))
