import pytest
import torch
from papers.shared import SCALES, full_size

from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.profiling.counting import count_as_papers

pytestmark = pytest.mark.full_size


def build(**options):
    with torch.device("meta"):
        return DiffSal(**options).eval()


@pytest.mark.parametrize(
    ("options", "millions", "giga"),
    [({}, 76.57, 187.31), ({"modality": "v"}, 70.54, 161.06), ({"attention": "standard"}, 76.43, None)],
    ids=str,
)
def test_paper_variant_is_within_five_percent_of_the_published_budget(options, millions, giga):
    network = build(**options)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)
    if giga is None:
        return
    cost = count_as_papers(network, *full_size(224, 384))
    assert cost.params / 1e6 == pytest.approx(millions, rel=0.05)
    assert cost.macs / 1e9 == pytest.approx(giga, rel=0.05)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 76_112_193),
        ({"modality": "v"}, 70_076_833),
        ({"modality": "a"}, 41_852_865),
        ({"attention": "standard"}, 76_020_033),
        ({"attention": "convolution"}, 79_139_073),
        ({"interaction": "none"}, 70_076_833),
        ({"interaction": "bilinear"}, 77_681_793),
        ({"num_stages": 1}, 64_248_033),
        ({"num_stages": 2}, 72_280_929),
        ({"num_stages": 3}, 75_025_569),
        ({"video_encoder": "s3d"}, 50_969_345),
        ({"video_encoder": "r3d_18"}, 75_531_297),
        ({"video_encoder": "slow_r50"}, 75_566_241),
        ({"video_encoder": "swin3d_t"}, 69_693_159),
    ],
    ids=str,
)
def test_full_size_networks_have_the_size_the_card_states(options, parameters):
    assert sum(p.numel() for p in build(**options).parameters()) == parameters


def test_full_size_network_runs_at_224_by_384_on_the_meta_device():
    network = build()
    noisy, t, video, audio = full_size(224, 384)
    with torch.device("meta"):
        condition = network.encode(video, audio)
        out = network.denoise(noisy, t, condition)
    assert out.shape == (1, 1, 224, 384)
    assert [tuple(f.shape[1:]) for f in condition.video] == SCALES
    assert condition.audio.shape == (1, 512, 9, 7, 12)
