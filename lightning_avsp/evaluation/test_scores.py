"""A test's maps scored by every published protocol that applies to their corpora, without predicting them again."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from numpy import nanmean
from torch import Tensor

from lightning_avsp.data.catalogue import CATALOGUE
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.scoring import add_frames
from lightning_avsp.metrics import SaliencyMetrics
from lightning_avsp.run_folder import RunFolder, write_json
from lightning_avsp.tasks.prediction import frame_keys

TEST_RESULT = "test_protocols.json"
"""Name of the file in a run's results."""


def protocols_of(corpus: str) -> tuple[str, ...]:
    """List the published protocols beside ``plain`` by which a corpus is scored; none for one's own."""
    entry = CATALOGUE.get(corpus)
    layouts = {"stavis": ("stavis", "vinet"), "crowdsal": ("ntire26",)}
    return () if entry is None else layouts.get(entry.layout, ("dhf1k",))


def published_protocol(corpus: str) -> str:
    """Return the protocol by which papers score a corpus; ``plain`` for one's own."""
    return next(iter(protocols_of(corpus)), "plain")


class ProtocolScores(Callback):
    """Writer of ``results/test_protocols.json``: averages and videos by protocol, from the maps that the test predicts.

    ``avsp evaluate`` adds the shuffled AUCs.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.metrics: dict[str, SaliencyMetrics] = {}

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare metrics of the protocols of all corpora under test, the same on every process."""
        data: Any = getattr(trainer, "datamodule", None)
        names = dict.fromkeys(
            name for corpus in getattr(data, "tested_corpora", ()) for name in protocols_of(corpus)
        )
        self.metrics = {
            name: SaliencyMetrics(
                # shuffled AUCs need fixations of other frames, which a test does not read
                tuple(metric for metric in protocol.metrics if metric != "auc_shuffled"),
                policy=protocol.policy,
                repeats=protocol.repeats,
            )
            for name, protocol in ((name, find_protocol(name)) for name in names)
        }

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score the maps (B, 1, H, W) that the test step returned."""
        if not isinstance(outputs, Tensor):
            return
        keys = frame_keys(batch)
        for name, metrics in self.metrics.items():
            protocol = find_protocol(name)
            chosen = [
                index
                for index, (corpus, _, frame) in enumerate(keys)
                if name in protocols_of(corpus) and frame >= protocol.first_frame
            ]
            values = [outputs[:, 0], batch["ground_truth"], batch["fixations"]]
            maps, truth, points = ([of[index] for index in chosen] for of in values)
            add_frames(metrics, protocol, [keys[index] for index in chosen], maps, truth, points)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the scores of all processes and write them."""
        found: dict[str, dict[str, Any]] = {}
        data: Any = getattr(trainer, "datamodule", None)
        subset = {entry.key: entry.subset for entry in data.entries("test")} if self.metrics else {}
        for name, metrics in self.metrics.items():
            averages, table = metrics.compute(), metrics.table()  # both gather: every process takes part
            rows = table.video_records()
            found[name] = {"averages": averages, "videos": rows}
            if parts := {subset[row["corpus"], row["video"]] for row in rows} - {""}:
                found[name]["subsets"] = {
                    part: {
                        metric: nanmean(
                            [row[metric] for row in rows if subset[row["corpus"], row["video"]] == part]
                        )
                        for metric in metrics.names
                    }
                    for part in sorted(parts)
                }
            metrics.reset()
        if found and trainer.is_global_zero:
            write_json(self.run.results / TEST_RESULT, found)
