"""Saliency-oriented image-text response, SITR (Section III-C): where in the frame the caption points.

Every word attends to the visual features; one word's map is chosen and weights the features. In training the
ground truth chooses (the map that overlaps it most), at test time a rule does (X1, X2 in the model card).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.errors import InputError, require_choice, require_range
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.papers.tavdiff.condition import TokenRoles
from lightning_avsp.structures import Explanation

SITRTokens = Literal["words", "all"]
"""Tokens whose maps may be chosen: the words, or start and end token too."""
TrainSelect = Literal["gt", "infer_rule", "mixed"]
"""Choice in training: the ground truth, the rule of test time, or each for a share of the clips (X2)."""
InferSelect = Literal["entropy", "sigmoid_sum", "logit_max", "eot", "random"]
"""Choice of a map without ground truth (X1)."""
SITROutput = Literal["modulated", "map_times_v", "map_only"]
"""Use of the chosen map on the visual features (X3)."""


@dataclass(frozen=True)
class Responses:
    """Every token's response over the visual positions."""

    maps: Tensor
    """Softmax over positions, mean over the heads: (B, N, T h w), each row sums to 1."""
    scores: Tensor
    """Score of each token under the rule of test time: (B, N)."""
    candidates: Tensor
    """Tokens that may be chosen: bool (B, N)."""
    present: Tensor
    """True if there is a token to choose: bool (B,)."""


def spread(saliency: Tensor, grid: torch.Size) -> Tensor:
    """Bring ground truth (B, 1, H, W) to the visual positions (B, T h w), the same in every time step."""
    # area: no fixated cell may be skipped
    small = F.interpolate(saliency.float(), size=(grid[1], grid[2]), mode="area")  # (B, 1, h, w)
    return small.expand(-1, grid[0], -1, -1).flatten(1)


class SITR(nn.Module):
    """Cross-attention from words to visual positions, and the choice of one word (Equation 1).

    Args:
        text_width: Width of the text token features.
        video_channels: Channels of the visual features.
        width: Width d of queries, keys, values and result.
        heads: Attention heads; divides ``width``.
        tokens: Tokens whose maps may be chosen.
        train_select: Choice in training.
        infer_select: Rule without ground truth: lowest entropy of the softmax map; largest sum of
            sigmoid(q k / sqrt(d_k)) over positions; largest single logit; the end token's map; or at random (the same
            for the same caption). The two on logits depend on a constant per word that no training shapes (X1).
        output: ``modulated``: the mean of LN(V) and N A LN(V), N the number of positions, A the chosen map;
            ``map_times_v``: N A LN(V); ``map_only``: the map alone, embedded.
        gt_share: With ``train_select=mixed``, share of the clips for which the ground truth chooses.
        gt_product: In training the chosen map is multiplied by the ground truth, as Section III-C says (X27).

    Raises:
        InputError: If an option is unknown, the share lies outside of 0..1, or the ground truth is to multiply but not
            to choose.
    """

    def __init__(
        self,
        text_width: int,
        video_channels: int,
        width: int,
        heads: int = 8,
        tokens: SITRTokens = "words",
        train_select: TrainSelect = "gt",
        infer_select: InferSelect = "entropy",
        output: SITROutput = "modulated",
        gt_share: float = 0.5,
        gt_product: bool = False,
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ("tokens", tokens, SITRTokens),
            ("train_select", train_select, TrainSelect),
            ("infer_select", infer_select, InferSelect),
            ("output", output, SITROutput),
        ):
            require_choice(f"sitr_{name}", value, get_args(choices))
        require_range(0, 1, sitr_gt_share=gt_share)
        if gt_product and train_select != "gt":
            raise InputError(
                f"sitr_gt_product=true multiplies the map that the ground truth has chosen, but sitr_train_select="
                f"{train_select}; set sitr_train_select=gt"
            )
        self.heads = heads
        self.tokens = tokens
        self.train_select = train_select
        self.infer_select = infer_select
        self.output = output
        self.gt_share = gt_share
        self.gt_product = gt_product
        self.query = nn.Linear(text_width, width)
        self.key = nn.Linear(video_channels, width)
        self.value = nn.Linear(1 if output == "map_only" else video_channels, width)
        self.norm = LayerNorm(width)

    @property
    def reads_target(self) -> bool:
        """True if training needs the ground truth."""
        return self.train_select != "infer_rule"

    def respond(self, features: Tensor, text: Tensor) -> Responses:
        """Compute every token's map, and its score under the rule of test time; arguments as of :meth:`forward`."""
        rows = TokenRoles.of(text)
        query = self._split(self.query(text))  # (B, heads, N, d_k)
        key = self._split(self.key(features.flatten(2).transpose(1, 2)))  # (B, heads, P, d_k)
        logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5  # (B, heads, N, P)
        logits = logits.float()  # a softmax over hundreds of positions is not for bfloat16
        maps = logits.softmax(dim=-1).mean(dim=1)  # (B, N, P)
        candidates = rows.tokens if self.tokens == "all" else rows.words
        if self.infer_select == "eot":
            candidates = rows.with_end() if self.tokens == "words" else candidates
        scores = self._scores(logits.detach(), maps.detach(), text, rows)
        return Responses(maps, scores, candidates, rows.present)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _scores(self, logits: Tensor, maps: Tensor, text: Tensor, rows: TokenRoles) -> Tensor:
        """Score tokens (B, N). The sum of a softmax map, as in the paper, is 1 for every word (X1)."""
        if self.infer_select == "sigmoid_sum":
            return logits.sigmoid().sum(dim=-1).mean(dim=1)
        if self.infer_select == "logit_max":
            return logits.mean(dim=1).amax(dim=-1)
        if self.infer_select == "entropy":
            return (maps * maps.clamp_min(1e-12).log()).sum(dim=-1)
        if self.infer_select == "eot":
            return F.one_hot(rows.end, text.shape[1]).float()
        # random, yet the same for a caption in whatever batch it comes: far digits of its features
        return (text.float().sum(dim=-1) * 1e4).frac().abs()

    def choose(self, responses: Responses, saliency: Tensor | None, grid: torch.Size) -> Tensor:
        """Choose rows of tokens, int64 (B,), by ground truth (B, 1, H, W) or, without, by the rule; grid: (T, h, w)."""
        scores = responses.scores
        if saliency is not None:
            # the choice itself has no gradient
            scores = (responses.maps.detach() * spread(saliency, grid)[:, None]).sum(dim=-1)
        return scores.masked_fill(~responses.candidates, -torch.inf).argmax(dim=1)

    def _choose_in_training(self, responses: Responses, saliency: Tensor | None, grid: torch.Size) -> Tensor:
        by_rule = self.choose(responses, None, grid)
        if not self.reads_target:
            return by_rule
        if saliency is None:
            raise InputError(
                f"sitr_train_select={self.train_select} chooses by the ground truth in training, but none was given; "
                "hand saliency to the network, or set sitr_train_select=infer_rule"
            )
        by_truth = self.choose(responses, saliency, grid)
        if self.train_select == "gt":
            return by_truth
        return torch.where(torch.rand(len(by_rule), device=by_rule.device) < self.gt_share, by_truth, by_rule)

    def forward(self, features: Tensor, text: Tensor | None, saliency: Tensor | None = None) -> Tensor:
        """Weight visual features by the chosen response, f_tv.

        Without a caption the response is the same everywhere; then ``modulated`` and ``map_times_v`` are the layer
        norm of V, which is what a network without text reads.

        Args:
            features: Visual features f_v (B, C, T, h, w).
            text: Token features (B, N, text_width), rows of zeros after the end token; None for no captions.
            saliency: Ground truth (B, 1, H, W) in [0, 1]; read in training only.

        Returns:
            (B, width, T, h, w).

        Raises:
            InputError: If the ground truth is to choose in training and is not given.
        """
        grid = features.shape[2:]
        tokens = features.flatten(2).transpose(1, 2)  # (B, P, C)
        if text is None:
            relevance = tokens.new_ones(tokens.shape[:2])
        else:
            responses = self.respond(features, text)
            choose = self._choose_in_training if self.training else self.choose
            chosen = choose(responses, saliency if self.training else None, grid)
            clips = torch.arange(len(chosen), device=chosen.device)
            # times the number of positions: the mean of the map is 1, whatever the grid
            relevance = responses.maps[clips, chosen] * tokens.shape[1]  # (B, P)
            if self.training and self.gt_product and saliency is not None:
                relevance = relevance * spread(saliency, grid)
            relevance = torch.where(responses.present[:, None], relevance, 1.0).to(tokens.dtype)
        weight = relevance[..., None]
        if self.output == "map_only":
            result = self.norm(self.value(weight))
        else:
            # the norm comes first: after it, a layer norm would undo a factor per position
            value = self.norm(self.value(tokens))  # (B, P, width)
            result = weight * value if self.output == "map_times_v" else (1 + weight) / 2 * value
        return result.transpose(1, 2).unflatten(2, grid)


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
