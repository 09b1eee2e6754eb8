from __future__ import annotations

from types import SimpleNamespace

import pytest

from lightning_avsp.callbacks.record import count_batches


@pytest.mark.parametrize(
    ("max_steps", "accumulate", "epoch", "expected"),
    [(-1, 1, 0, 957), (300, 1, 0, 300), (300, 2, 0, 600), (1000, 1, 1, 43), (2000, 1, 1, 957)],
)
def test_a_bar_ends_where_the_training_ends(
    max_steps: int, accumulate: int, epoch: int, expected: int
) -> None:
    trainer = SimpleNamespace(
        num_training_batches=957, max_steps=max_steps, accumulate_grad_batches=accumulate, current_epoch=epoch
    )
    assert count_batches(trainer) == expected
