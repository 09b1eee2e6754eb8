import pytest
import torch
from torch import nn

from lightning_avsp.backbones.weights import (
    PartReport,
    interpolate_rows,
    load_strict,
    read_state_dict,
)
from lightning_avsp.errors import InputError


class Marker:
    """Stands for code hidden in a pickle."""


@pytest.mark.parametrize("nest", [None, "state_dict", "model_state"])
def test_reads_plain_and_nested_files_and_strips_the_prefix(tmp_path, nest):
    state = {"module.weight": torch.ones(2)}
    path = tmp_path / "w.pth"
    torch.save(state if nest is None else {nest: state, "epoch": 3}, path)
    assert list(read_state_dict(path)) == ["weight"]


def test_files_without_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file at"):
        read_state_dict(tmp_path / "absent.pth")
    garbage = tmp_path / "garbage.pth"
    garbage.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="garbage"):
        read_state_dict(garbage)
    empty = tmp_path / "empty.pth"
    torch.save({"epoch": 3}, empty)
    with pytest.raises(InputError, match="no tensors"):
        read_state_dict(empty)
    code = tmp_path / "code.pth"
    torch.save({"weight": Marker()}, code)
    with pytest.raises(InputError, match="which is code"):
        read_state_dict(code)


def test_loading_is_strict_and_names_every_problem():
    linear = nn.Linear(2, 3)
    before = linear.weight.clone()
    state = {"weight": torch.zeros(4, 2), "extra": torch.zeros(1)}
    with pytest.raises(InputError) as error:
        load_strict(linear, state, "head", "file.pth")
    message = str(error.value)
    for part in ("file.pth", "head", "1 missing: bias", "1 unexpected: extra", "weight (4, 2) for (3, 2)"):
        assert part in message
    assert torch.equal(linear.weight, before)


def test_loading_drops_and_leaves_out_named_tensors_only():
    linear = nn.Linear(2, 3)
    state = {"weight": torch.zeros(3, 2), "head.0": torch.zeros(1)}
    report = load_strict(linear, state, "part", "file", drop=("head.",), fresh=("bias",))
    assert report == PartReport("part", "file", 1, (), ("head.0",), ("bias",))
    assert torch.equal(linear.weight, torch.zeros(3, 2))


def test_rows_are_interpolated_linearly():
    table = torch.arange(5.0)[:, None].repeat(1, 2)
    longer = interpolate_rows(table, 9)
    assert longer.shape == (9, 2)
    # the middle row is distance zero and stays there, but for the rounding of its position
    torch.testing.assert_close(longer[4], table[2], rtol=8 * 1.2e-7, atol=0)
    assert (longer[:, 0].diff() >= 0).all()
    assert torch.equal(interpolate_rows(table, 5), table)


def test_report_reads_well():
    part = PartReport("video encoder", "kinetics400", 300, ("a",), ("head.weight",), frozen=True)
    text = "video encoder: kinetics400 (300 tensors loaded, 1 interpolated, 1 left out), frozen"
    assert (str(part), str(PartReport("Saliency-UNet", "random"))) == (text, "Saliency-UNet: random")
