"""Explanation of SITR on a clip: each word's map, the chosen one, agreement of rule and ground truth (Figure 6)."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_avsp.papers.tavdiff.sitr import SITR, spread
from lightning_avsp.structures import Explanation


def explain_sitr(sitr: SITR, features: Tensor, text: Tensor, saliency: Tensor | None) -> list[Explanation]:
    """Show the maps of all tokens that may be chosen, of the chosen ones, and the choices as numbers.

    Args:
        sitr: The module.
        features: Visual features f_v (B, C, T, h, w).
        text: Token features (B, N, text_width); row 0 is the start token, so row i is the i-th token of the caption.
        saliency: Ground truth (B, 1, H, W), or None.

    Returns:
        Maps (B, T, h, w) with mean 1, zero where a clip has no such token; numbers (B, K).
    """
    responses = sitr.respond(features, text)
    grid = features.shape[2:]
    maps = responses.maps * responses.maps.shape[-1]
    maps = (maps * responses.candidates[..., None]).unflatten(2, grid)  # (B, N, T, h, w)
    clips = torch.arange(len(maps), device=maps.device)
    by_rule = sitr.choose(responses, None, grid)
    unit = "(attention, mean 1)"
    rows = [row for row in range(maps.shape[1]) if bool(responses.candidates[:, row].any())]
    found = [
        Explanation(
            f"sitr_token{row:02d}", f"map of token {row} of the caption {unit}", maps[:, row], token=row
        )
        for row in rows
    ]
    products = None if saliency is None else maps * spread(saliency, grid).unflatten(1, grid)[:, None]
    if products is not None:
        found += [
            Explanation(
                f"sitr_token{row:02d}_truth",
                f"map of token {row} of the caption, times the ground truth",
                products[:, row],
                token=row,
            )
            for row in rows
        ]
    found.append(Explanation("sitr_chosen", f"the map that SITR's rule chooses {unit}", maps[clips, by_rule]))
    numbers, labels = [by_rule.float()], ["token chosen by the rule"]
    if products is not None:
        by_truth = sitr.choose(responses, saliency, grid)
        title = f"the map that the ground truth chooses {unit}"
        found.append(Explanation("sitr_chosen_by_truth", title, maps[clips, by_truth]))
        numbers += [by_truth.float(), (by_rule == by_truth).float()]
        labels += ["token chosen by the ground truth", "both choose the same (1: yes)"]
    values = torch.stack(numbers, dim=1)
    values = torch.where(responses.present[:, None], values, torch.nan)
    found.append(Explanation("sitr_choice", "tokens that SITR chooses", values, tuple(labels)))
    if products is not None:
        sums = products[:, rows].flatten(2).mean(dim=2)
        sums = torch.where(responses.candidates[:, rows], sums, torch.nan)
        title = "mean of each token's map times the ground truth: the largest is chosen in training"
        found.append(Explanation("sitr_overlap", title, sums, tuple(f"token {row}" for row in rows)))
    return found
