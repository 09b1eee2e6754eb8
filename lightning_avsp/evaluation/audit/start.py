"""Refusal of initial weights that have seen videos which the new run is tested on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.leaks import follow_origin
from lightning_avsp.evaluation.audit.runs import video_keys


def seen_test_videos(
    option: str,
    checkpoint: str,
    run: Path,
    test: Iterable[tuple[str, str]],
    synthetic: Iterable[str] = (),
    allow: bool = False,
) -> list[str]:
    """List what the initial weights have seen of a run's test videos, one line each.

    Args:
        option: Option that named the checkpoint: ``init_from`` or ``ckpt_path``.
        checkpoint: Its path.
        run: Folder of the new run.
        test: (corpus, video) of everything that the new run is tested on.
        synthetic: Generated corpora among them.
        allow: Return the findings instead of refusing them.

    Raises:
        InputError: If the checkpoint, or one that it started from, was fitted to or chosen by one of the videos.
    """
    wanted = video_keys([list(key) for key in test], frozenset(synthetic))
    exposures, unknown = follow_origin(option, checkpoint, run, set())
    lines = [f"unknown: {gap}" for gap in unknown]
    for exposure in exposures:
        seen = sorted(exposure.videos & wanted)
        if not seen:
            continue
        some = ", ".join(f"{corpus}/{video}" for corpus, video in seen[:3])
        found = f"{len(seen)} of {len(wanted)} test videos were seen by {exposure.how}: {some}"
        if not allow:
            raise InputError(
                f"{found}; each split is a model of its own: start from a checkpoint of the same split, "
                "or give --allow_seen_test_videos=true, and the results will be marked as leaked"
            )
        lines.append(f"LEAK: {found}")
    return lines
