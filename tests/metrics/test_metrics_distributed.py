"""Two processes with uneven shares and repeated frames give what one process gives, to the last digit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from lightning_avsp.metrics import SaliencyMetrics

FRAMES = 11


def frames() -> tuple[Tensor, list[Tensor], list[Tensor], list[tuple[str, str, int]]]:
    generator = torch.Generator().manual_seed(5)
    predictions = torch.rand(FRAMES, 8, 10, generator=generator)
    truth = [
        (torch.rand(12 + index % 3, 15, generator=generator) * 255).to(torch.uint8) for index in range(FRAMES)
    ]
    # some have none
    points = [torch.randint(0, 12, (index % 4, 2), generator=generator) for index in range(FRAMES)]
    keys = [("AVAD" if index < 6 else "SumMe", f"V{index % 3}", index) for index in range(FRAMES)]
    return predictions, truth, points, keys


def score(metrics: SaliencyMetrics, indices: list[int]) -> None:
    predictions, truth, points, keys = frames()
    for index in indices:
        metrics.update(predictions[index, None], [truth[index]], [points[index]], [keys[index]])


def share(rank: int, folder: str) -> None:
    """Rank 0 has eight frames, rank 1 five, of which two are repetitions; then rank 1 has none at all."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        metrics = SaliencyMetrics(prefix="val/")
        score(metrics, [10, 0, 2, 4, 5, 6, 7, 8] if rank == 0 else [1, 3, 9, 0, 10])
        uneven = metrics.compute()
        rows = metrics.table().frame_records()
        metrics.reset()
        score(metrics, list(range(FRAMES)) if rank == 0 else [])
        imported = [name for name in ("lightning", "torchmetrics") if name in sys.modules]
        answers = {"uneven": uneven, "rows": rows, "one_sided": metrics.compute(), "imported": imported}
        Path(folder, f"{rank}.json").write_text(json.dumps(answers))
    finally:
        dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    mp.spawn(share, args=(str(tmp_path),), nprocs=2)
    alone = SaliencyMetrics(prefix="val/")
    score(alone, list(range(FRAMES)))
    expected = json.loads(json.dumps({"results": alone.compute(), "rows": alone.table().frame_records()}))
    for rank in (0, 1):
        answers = json.loads((tmp_path / f"{rank}.json").read_text())
        assert json.dumps(answers["uneven"]) == json.dumps(expected["results"])  # NaN equals NaN in text
        assert json.dumps(answers["one_sided"]) == json.dumps(expected["results"])
        assert json.dumps(answers["rows"]) == json.dumps(expected["rows"])
        assert answers["uneven"]["val/frames"] == FRAMES
        assert not answers["imported"]  # slow to import, and not needed for this
