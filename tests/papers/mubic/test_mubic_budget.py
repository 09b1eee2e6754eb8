import math
from functools import cache

import pytest
import torch
from papers.mubic.mubic_rows import DENOISERS, SWITCHES
from papers.shared import SCALES, full_size

from lightning_avsp.papers.mubic import MUBiC, MUBiCRegression
from lightning_avsp.profiling.counting import count_as_papers, count_flops

pytestmark = pytest.mark.full_size


def build(**options):
    with torch.device("meta"):
        return MUBiC(**options).eval()


def size(network):
    return sum(p.numel() for p in network.parameters())


@cache
def operations(row):
    """Operations of a clip, and multiplications and additions as the papers count them."""
    network = build(**DENOISERS[row])
    with torch.device("meta"):
        clip = full_size(112, 192)
        return count_flops(network, *clip), count_as_papers(network, *clip).macs


@pytest.mark.parametrize(
    ("row", "parameters", "printed"),
    [
        ("full", 79_424_965, 79.60),
        ("w/o BECA", 75_408_085, 75.60),
        ("w/o skip", 78_640_161, 78.80),
        ("w/o gates", 76_782_049, 77.00),
        ("visual only", 59_249_917, None),
    ],
)
def test_sizes_are_the_cards_and_near_the_printed_ones_and_every_part_costs_operations(
    row, parameters, printed
):
    assert size(build(**DENOISERS[row])) == parameters
    if printed is not None:  # table 4.3, parameters in millions
        assert parameters / 1e6 == pytest.approx(printed, rel=0.02)
        assert (79_424_965 - parameters) / 1e6 == pytest.approx(79.60 - printed, abs=0.1)
    # the thesis does not define how it counts, so only the sign of its differences is asked for
    if row != "full":
        assert all(own < full for own, full in zip(operations(row), operations("full"), strict=True))


@pytest.mark.parametrize("row", [*DENOISERS, *SWITCHES])
def test_every_row_runs_at_full_size(row):
    network = build(**(DENOISERS | SWITCHES)[row])
    noisy, t, video, audio = full_size(112, 192)
    with torch.device("meta"), torch.no_grad():
        condition = network.encode(video, audio)
        out = network.denoise(noisy, t, condition)
    assert out.shape == (1, 1, 112, 192)
    assert [tuple(f.shape[1:]) for f in condition.video] == SCALES


def test_the_row_without_diffusion_decoder_and_other_map_sizes_run_at_full_size():
    _, t, video, audio = full_size(112, 192)
    with torch.device("meta"):
        regression = MUBiCRegression(map_size=(112, 192)).eval()
        assert regression(video, audio).shape == (1, 1, 112, 192)
        network = build()
        condition = network.encode(video, audio)
        for height, width in ((224, 384), (224, 224)):
            out = network.denoise(torch.empty(1, 1, height, width), t, condition)
            assert out.shape == (1, 1, height, width)
    assert size(regression) == 64_291_493


def test_keys_are_144_at_every_scale():
    """16, 8, 4, 2 leave 3x6 of 56x96, 28x48, 14x24 and 7x12 (X5)."""
    network = build()
    for block, (height, width) in zip(
        network.trunk.blocks, [(56, 96), (28, 48), (14, 24), (7, 12)], strict=True
    ):
        channels = block.visual_attention.key.in_features
        with torch.device("meta"):
            keys = block.visual_attention.compress(torch.empty(1, channels, 8, height, width))
        assert keys.shape == (1, 144, channels)
        assert math.ceil(channels / block.visual_attention.heads) == 96
