"""SITR against a plain computation, its choices, and its rivals."""

import pytest
import torch
from rounding import assert_close

from lightning_avsp.errors import InputError
from lightning_avsp.papers.tavdiff.condition import RepeatedText, TokenRoles, VisualOnly
from lightning_avsp.papers.tavdiff.sitr import SITR


@pytest.fixture
def features():
    return torch.randn(3, 10, 2, 3, 4)


TERMS = 100
"""Operations in a row, at most: sums of 24 terms, two or three after one another, and a layer norm; SITR is float32."""


def build(**options):
    return SITR(24, 10, 16, heads=2, **options)


def test_rows_of_a_caption(captions):
    rows = TokenRoles.of(captions)
    assert rows.words.tolist() == [
        [False, True, True, False, False, False, False, False],
        [False, True, True, True, True, False, False, False],
        [False] * 8,
    ]
    assert rows.end.tolist() == [3, 5, 0]
    assert rows.present.tolist() == [True, True, False]
    assert rows.tokens.sum(1).tolist() == [4, 6, 0]
    assert rows.with_end().sum(1).tolist() == [3, 5, 0]
    assert torch.equal(rows.end_features(captions)[0], captions[0, 3])
    assert not rows.end_features(captions)[2].any()


def test_start_and_end_alone_are_no_caption():
    text = torch.randn(1, 4, 24)
    text[0, 2:] = 0
    rows = TokenRoles.of(text)
    assert not rows.present.any()
    assert not rows.tokens.any()


def test_responses_follow_equation_1(features, captions):
    sitr = build(infer_select="sigmoid_sum")
    responses = sitr.respond(features, captions)
    assert responses.maps.shape == (3, 8, 24)
    # X1: the sum of every softmax map is 1, so it cannot choose
    assert_close(responses.maps.sum(-1), torch.ones(3, 8), TERMS)
    tokens = features.flatten(2).transpose(1, 2)
    query, key = sitr.query(captions), sitr.key(tokens)
    expected_map, expected_score, total = 0, 0, 0
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        logits = query[1, 2, part] @ key[1, :, part].T / 8**0.5
        expected_map = expected_map + logits.softmax(-1) / 2
        expected_score = expected_score + logits.sigmoid().sum() / 2
        total = total + logits
    assert_close(responses.maps[1, 2], expected_map, TERMS)
    assert_close(responses.scores[1, 2], expected_score, TERMS)
    sitr.infer_select = "logit_max"
    assert_close(sitr.respond(features, captions).scores[1, 2], total.max() / 2, TERMS)


def test_rule_depends_on_nothing_that_training_cannot_shape(features, captions):
    """The keys' bias shifts all scores of a word alike: softmax, and so every loss, does not see it (X1)."""
    sitr, shifted = build(), build()
    shifted.load_state_dict(sitr.state_dict())
    with torch.no_grad():
        shifted.key.bias.add_(3 * torch.randn(16))
    grid = features.shape[2:]
    before, after = sitr.respond(features, captions), shifted.respond(features, captions)
    assert_close(after.scores, before.scores, 10 * TERMS)
    assert torch.equal(sitr.choose(before, None, grid), shifted.choose(after, None, grid))
    sitr.infer_select = shifted.infer_select = "sigmoid_sum"
    assert not torch.allclose(
        shifted.respond(features, captions).scores, sitr.respond(features, captions).scores, atol=0.1
    )


def test_product_with_the_ground_truth_acts_in_training_alone(features, captions):
    """Section III-C to the letter (X27): what the ground truth leaves empty is weighted by nothing."""
    sitr = build(gt_product=True, output="map_times_v").train()
    saliency = torch.zeros(3, 1, 6, 8)
    saliency[..., :4] = 1
    out = sitr(features, captions, saliency)
    assert not out[:2, ..., 2:].any()
    assert out[:2, ..., :2].abs().min() > 0
    assert out[2].abs().min() > 0  # no caption, no map, no product
    plain = build(output="map_times_v").eval()
    plain.load_state_dict(sitr.state_dict())
    assert torch.equal(sitr.eval()(features, captions), plain(features, captions))
    with pytest.raises(InputError, match="set sitr_train_select=gt"):
        build(gt_product=True, train_select="infer_rule")


def test_ground_truth_chooses_the_map_that_overlaps_it_most(features, captions):
    sitr = build().train()
    responses = sitr.respond(features, captions)
    grid = features.shape[2:]
    for row in (1, 2):  # whichever word's own map is the ground truth, that word is chosen
        maps = responses.maps[0, row].detach().view(2, 3, 4)
        peak = maps.sum(0) == maps.sum(0).max()
        saliency = peak.float()[None, None].expand(3, 1, 3, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
        overlap = (responses.maps[0, 1:3] * peak.float().flatten().repeat(2)).sum(-1)
        chosen = sitr.choose(responses, saliency, grid)
        assert chosen[0] == 1 + overlap.argmax()
        value = sitr.norm(sitr.value(features.flatten(2).transpose(1, 2)[0]))
        expected = (1 + 24 * responses.maps[0, chosen[0]])[:, None] / 2 * value
        out = sitr(features, captions, saliency)
        assert_close(out[0].flatten(1).T, expected, TERMS)


@pytest.mark.parametrize("rule", ["sigmoid_sum", "logit_max", "entropy", "eot", "random"])
def test_rules_choose_a_candidate_by_the_clip_alone(features, captions, rule):
    sitr = build(infer_select=rule).eval()
    responses = sitr.respond(features, captions)
    chosen = sitr.choose(responses, None, features.shape[2:])
    rows = TokenRoles.of(captions)
    for clip in (0, 1):
        assert responses.candidates[clip, chosen[clip]]
        alone = sitr.respond(features[clip : clip + 1], captions[clip : clip + 1])
        assert sitr.choose(alone, None, features.shape[2:])[0] == chosen[clip]
    if rule == "eot":
        assert chosen[:2].tolist() == rows.end[:2].tolist()
    else:
        assert not responses.candidates[:, 0].any()  # the start token is no word
    logits_flat = responses.maps[1]
    entropy = -(logits_flat * logits_flat.log()).sum(-1)
    if rule == "entropy":
        assert chosen[1] == 1 + entropy[1:5].argmin()


def test_training_needs_the_ground_truth_and_evaluation_does_not(features, captions):
    sitr = build().train()
    with pytest.raises(InputError, match="sitr_train_select=infer_rule"):
        sitr(features, captions)
    assert sitr.eval()(features, captions).shape == (3, 16, 2, 3, 4)
    assert not build(train_select="infer_rule").reads_target
    build(train_select="infer_rule").train()(features, captions)


def test_mixed_choice_takes_the_ground_truth_for_its_share(features, captions):
    text = captions[:2].repeat(200, 1, 1)
    clips = features[:2].repeat(200, 1, 1, 1, 1)
    saliency = torch.rand(400, 1, 6, 8)
    sitr = build(train_select="mixed", gt_share=0.25).train()
    responses = sitr.respond(clips, text)
    grid = clips.shape[2:]
    by_rule, by_truth = sitr.choose(responses, None, grid), sitr.choose(responses, saliency, grid)
    differ = by_rule != by_truth
    chosen = sitr._choose_in_training(responses, saliency, grid)
    assert ((chosen == by_rule) | (chosen == by_truth)).all()
    share = (chosen == by_truth)[differ].float().mean()
    assert 0.1 < share < 0.4


@pytest.mark.parametrize("output", ["modulated", "map_times_v", "map_only"])
def test_without_a_caption_the_response_is_even(features, captions, output):
    sitr = build(output=output).eval()
    without = sitr(features, None)
    assert_close(sitr(features, captions)[2], without[2], TERMS)
    assert not torch.allclose(sitr(features, captions)[0], without[0], atol=1e-3)
    if output != "map_only":
        plain = VisualOnly(10, 16)
        plain.load_state_dict(
            {k: v for k, v in sitr.state_dict().items() if k.split(".")[0] in ("value", "norm")}
        )
        assert_close(without, plain(features, None), TERMS)


def test_rivals_follow_their_names(features, captions):
    for kind in ("repeat_add", "repeat_average", "concat"):
        rival = RepeatedText(kind, 24, 10, 16).eval()
        out = rival(features, captions)
        tokens = rival.norm(rival.value(features.flatten(2).transpose(1, 2)))
        word = rival.text(captions[1, 5])  # the end token of the second caption
        expected = {
            "repeat_add": lambda v, w=word: v + w,
            "repeat_average": lambda v, w=word: (v + w) / 2,
            "concat": lambda v, w=word, r=rival: r.join(torch.cat([v, w.expand_as(v)], dim=-1)),
        }[kind](tokens[1])
        assert_close(out[1].flatten(1).T, expected, TERMS)
        assert_close(out[2], rival(features, None)[2], TERMS)  # no caption and no text are the same


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match="sitr_infer_select=best is unknown"):
        build(infer_select="best")
    with pytest.raises(InputError, match=r"sitr_gt_share=1\.5 is out of range"):
        build(gt_share=1.5)
