"""Rows of the paper's ablation tables as options of the network."""

from __future__ import annotations

from typing import Any

Options = dict[str, Any]


def ablations() -> dict[str, Options]:
    """Options of every row of Tables III, IV and V of AVRSP, by name; rows that are one configuration share a name."""
    rows: dict[str, Options] = {}
    for audio in (False, True):
        sense = "av" if audio else "v"
        for ms in (False, True):
            for mrg in (False, True):
                rows[f"III-{sense}-ms{int(ms)}-mrg{int(mrg)}"] = {"audio": audio, "ms": ms, "mrg": mrg}
        # 3 pairs are the last row of Table III; 0 pairs build what its first row builds, by another option
        for pairs in (0, 1, 2, 4):
            rows[f"IV-{sense}-{pairs}"] = {"audio": audio, "ms_mrg_pairs": pairs}
    # RAVF is the last row of Table III with sound, the visual baseline the one without
    for fusion in ("none", "add", "mul", "concat", "bilinear", "mbt"):
        rows[f"V-{fusion}"] = {"fusion": fusion}
    return rows
