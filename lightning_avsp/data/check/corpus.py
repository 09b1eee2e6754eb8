"""Checks whole corpora: lists, then every video in parallel processes, then what only shows side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus, find_corpus, known_corpora
from lightning_avsp.data.check.faults import Fault, fault
from lightning_avsp.data.check.layouts import other_files, read_other_listing, stavis_files
from lightning_avsp.data.check.listing import PARTS, Listing, read_listing
from lightning_avsp.data.check.pool import run_checks
from lightning_avsp.data.check.report import CheckReport, CorpusReport
from lightning_avsp.data.check.video_files import Thoroughness, VideoFiles, VideoFindings
from lightning_avsp.data.lists import list_path
from lightning_avsp.errors import CorpusNotFoundError

KINDS_OF_FOLDER = ("video_frames", "video_audio", "annotations", "videos")
"""Folders of the STAViS package's layout that hold one folder for each corpus."""

Progress = Callable[[str, int, int], None]
"""Called with the corpus' name, finished videos and all videos."""


def check_root(
    root: Path,
    corpora: Sequence[str] = (),
    *,
    thoroughness: Thoroughness = "standard",
    workers: int = 1,
    progress: Progress | None = None,
) -> CheckReport:
    """Check corpora under one root.

    Args:
        root: Folder that holds ``video_frames``, ``video_audio``, ``annotations`` and ``fold_lists``.
        corpora: Names in the catalogue; empty for every corpus of which anything is there.
        thoroughness: How closely files are read (:data:`~lightning_avsp.data.check.video_files.Thoroughness`).
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
    wanted = [find_corpus(name, root) for name in corpora] or [c for c in known.values() if traces(root, c)]
    if not wanted:
        raise CorpusNotFoundError(
            f"{root} holds nothing of {', '.join(known)}: neither a folder nor a fold list; give their root, or "
            f"make a generated corpus with `avsp data synth --root {root}`"
        )
    for corpus in wanted:
        if not traces(root, corpus):
            looked = root / "video_frames" / corpus.folder
            raise CorpusNotFoundError(
                f"nothing of {corpus.name} under {root} (looked for {looked} and its fold lists); to obtain it: "
                f"{corpus.source}"
            )
    reports = [check_corpus(root, corpus, thoroughness, workers, progress) for corpus in wanted]
    return CheckReport(root, thoroughness, tuple(reports), tuple(_shared_names(reports)))


def traces(root: Path, corpus: Corpus) -> bool:
    """Whether anything of a corpus is under a root: one of its folders, or one of its lists."""
    if corpus.layout != "stavis":
        from lightning_avsp.data.dhf1k import base_folders

        return bool(base_folders(root, corpus))
    folders = (root / kind / corpus.folder for kind in KINDS_OF_FOLDER)
    lists = (list_path(root, corpus, part, split) for split in corpus.splits for part in PARTS)
    return any(path.is_dir() for path in folders) or any(path.is_file() for path in lists)


def check_corpus(
    root: Path,
    corpus: Corpus,
    thoroughness: Thoroughness = "standard",
    workers: int = 1,
    progress: Progress | None = None,
) -> CorpusReport:
    """Check one corpus."""
    generated, silent = _generated(root, corpus)
    real = not generated and not corpus.own
    if corpus.layout == "stavis":
        listing = read_listing(root, corpus, real)
        present, faults = _stavis_videos(root, corpus, listing, silent)
        faults += _unlisted(root, corpus, listing)
    else:
        listing = read_other_listing(root, corpus, real)
        present, faults = other_files(root, corpus, list(listing.videos.values()), silent)
    found = run_checks(
        present,
        thoroughness,
        workers,
        None if progress is None else lambda done, total: progress(corpus.name, done, total),
    )
    faults = [*listing.faults, *faults, *(item for findings in found for item in findings.faults)]
    return _summarise(corpus, listing, found, [*faults, *_odd_rates(corpus, found)], generated)


def _stavis_videos(
    root: Path, corpus: Corpus, listing: Listing, silent: set[str]
) -> tuple[list[VideoFiles], list[Fault]]:
    """Files of the listed videos of which anything is there, and a fault for each of the others."""
    present: list[VideoFiles] = []
    faults: list[Fault] = []
    for video in listing.videos.values():
        files = stavis_files(root, corpus, video, silent=video.name in silent)
        annotation = root / "annotations" / corpus.folder / video.name
        if files.place.exists() or annotation.is_dir():
            present.append(files)
        else:
            detail = f"{listing.where[video.name]} names it; neither its frames nor its annotations exist"
            faults.append(fault("video_absent", corpus.name, video.name, files.place, detail))
    return present, faults


def _generated(root: Path, corpus: Corpus) -> tuple[bool, set[str]]:
    """Whether a corpus is SYNTHETIC, and which of its videos were made without sound."""
    from lightning_avsp.synthetic.record import read_manifest

    entry = read_manifest(root)["corpora"].get(corpus.folder)
    if entry is None:
        return False, set()
    return True, {name for name, video in entry["videos"].items() if video["condition"] == "silent"}


def _odd_rates(corpus: Corpus, found: Sequence[VideoFindings]) -> list[Fault]:
    """A note for each usual rate that most of the corpus does not have."""
    rates = Counter(findings.rate for findings in found if findings.rate)
    if len(rates) < 2:
        return []
    most, many = rates.most_common(1)[0]
    known = {f.path for findings in found for f in findings.faults if f.kind == "sound_rate"}
    return [
        fault(
            "sound_rate",
            corpus.name,
            findings.video,
            findings.wave,
            f"{findings.rate} Hz, {many} of {len(found)} videos have {most}",
            "note",
        )
        for findings in found
        if findings.wave is not None and findings.rate not in (0, most) and findings.wave not in known
    ]


def _unlisted(root: Path, corpus: Corpus, listing: Listing) -> list[Fault]:
    faults = {}
    for kind in ("annotations", "video_frames"):
        folder = root / kind / corpus.folder
        names = (
            (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
            if folder.is_dir()
            else ()
        )
        for path in names:
            if path.name not in listing.videos:
                faults[path.name] = fault("video_unlisted", corpus.name, path.name, path, "in no fold list")
    return list(faults.values())


def _shared_names(reports: Sequence[CorpusReport]) -> list[str]:
    """Facts on names that several corpora use, e.g. clip1 of Coutrot1 and Coutrot2."""
    owners: dict[str, list[str]] = {}
    for report in reports:
        for name in report.names:
            owners.setdefault(name, []).append(report.corpus)
    shared: dict[tuple[str, ...], list[str]] = {}
    for name, corpora in owners.items():
        if len(corpora) > 1:
            shared.setdefault(tuple(corpora), []).append(name)
    return [
        f"{len(names)} names are in {' and '.join(corpora)} (e.g. {names[0]}): different videos, told apart by corpus"
        for corpora, names in shared.items()
    ]


def _summarise(
    corpus: Corpus,
    listing: Listing,
    found: Sequence[VideoFindings],
    faults: list[Fault],
    generated: bool,
) -> CorpusReport:
    return CorpusReport(
        corpus=corpus.name,
        generated=generated,
        names=tuple(listing.videos),
        listed_frames=listing.frames,
        published_videos=corpus.videos,
        published_frames=corpus.frames or 0,
        counts=dict(listing.counts),
        published_counts={split: corpus.counts[i] for i, split in enumerate(corpus.splits) if corpus.counts},
        videos=len(found),
        frames=sum(findings.frames for findings in found),
        maps=sum(findings.maps for findings in found),
        fixations=sum(findings.fixations for findings in found),
        surplus=sum(findings.surplus for findings in found),
        sizes=dict(Counter(findings.size for findings in found if findings.size is not None)),
        map_sizes=dict(Counter(findings.map_size for findings in found if findings.map_size is not None)),
        rates=dict(Counter(findings.rate for findings in found if findings.rate)),
        channels=dict(Counter(findings.channels for findings in found if findings.channels)),
        facts=tuple(listing.facts),
        faults=tuple(sorted(faults, key=lambda item: item.order)),
    )
