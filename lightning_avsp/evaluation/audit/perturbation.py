"""Dependence of a model on audio or text: the same test videos with own, mismatched and missing input.

The one answer to "does this network use audio?", for the command, the demo and benchmarks::

    found = audit_modality(load_model(checkpoint), AuditData(root))
    found.verdict().finding  # "uses audio"
    found.report().record  # everything, for JSON
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, NamedTuple, cast

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_avsp.data.collate import collate
from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.data.dataset import EvaluationFrames
from lightning_avsp.data.entries import VideoKey
from lightning_avsp.data.reader import ClipReader, Sample
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.data import AuditData, scored_frames, video_groups
from lightning_avsp.evaluation.audit.report import (
    AuditReport,
    MapChange,
    check_finite,
    common_notes,
    difference,
    mean_difference,
    mean_value,
)
from lightning_avsp.evaluation.formatting import number
from lightning_avsp.evaluation.statistics import Interval
from lightning_avsp.metrics import SaliencyMetrics, ScoreTable
from lightning_avsp.structures import DiffusionNetwork, SaliencyBatch
from lightning_avsp.tasks.loading import LoadedModel
from lightning_avsp.tasks.prediction import Encoded, frame_keys, move_batch, used_modalities

Modality = Literal["audio", "text"]
OWN, MISMATCHED, WITHOUT = "own", "mismatched", "none"
LEAST = 0.01
"""Smallest difference in CC that counts as use of a modality."""


class Perturbation(NamedTuple):
    """One input that videos are predicted with: its name in JSON and its title in tables."""

    name: str
    title: str
    options: Mapping[str, Any] | None
    """Options of the data module's test; None to leave the input out."""


def perturbations(modality: Modality, shift: float) -> tuple[Perturbation, ...]:
    """Return the inputs of an audit, the own one first; a shift of 0 leaves the shifted ones out."""
    if modality == "text":
        return (
            Perturbation(OWN, "own caption", {}),
            # an empty caption, and no text at all, are different inputs to an encoder
            Perturbation("empty", "empty caption", {"text": "none"}),
            Perturbation(MISMATCHED, "another video's caption", {"text": "other_video"}),
            Perturbation(WITHOUT, "no text input", None),
        )
    shifted = (
        Perturbation("late", f"own audio, {shift:g} s late", {"audio_shift": shift}),
        Perturbation("early", f"own audio, {shift:g} s early", {"audio_shift": -shift}),
    )
    return (
        Perturbation(OWN, "own audio", {}),
        Perturbation("silent", "silence", {"audio": "silent"}),
        *(shifted if shift else ()),
        Perturbation(MISMATCHED, "another video's audio", {"audio": "other_video"}),
        Perturbation(WITHOUT, "no audio input", None),
    )


PerturbedBatch = tuple[SaliencyBatch, dict[str, Tensor]]


class PerturbedFrames(Dataset[tuple[Sample, dict[str, Tensor]]]):
    """Test frames that are decoded once, each with the audio or text of every perturbation by name.

    Args:
        modality: Input that is perturbed.
        frames: The frames with their own input.
        readers: A reader for each other input, by name.
    """

    def __init__(
        self, modality: Modality, frames: EvaluationFrames, readers: Mapping[str, ClipReader]
    ) -> None:
        self.modality, self.frames, self.readers = modality, frames, readers
        for reader in readers.values():
            reader.waves = frames.reader.waves  # each file is decoded and resampled once

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[Sample, dict[str, Tensor]]:
        """Read one frame with all its inputs."""
        sample = self.frames[index]
        entry, clip = self.frames.clip(index)
        inputs = {OWN: sample[self.modality]}
        for name, reader in self.readers.items():
            if self.modality == "audio":
                # the frames are decoded once, whatever the number of inputs
                inputs[name], _ = reader.read_audio(entry, clip)
            else:
                assert reader.text is not None
                inputs[name], _ = reader.text.tokens(entry.key, clip.target)
        return sample, inputs

    @staticmethod
    def collate(samples: Sequence[tuple[Sample, dict[str, Tensor]]]) -> PerturbedBatch:
        """Stack samples to a batch and each input to (B, ...)."""
        clips, inputs = zip(*samples, strict=True)
        return collate(clips), {name: torch.stack([one[name] for one in inputs]) for name in inputs[0]}


def perturbed_loader(
    model: LoadedModel, data: AuditData, modality: Modality, inputs: Sequence[Perturbation]
) -> tuple[AVSaliencyDataModule, DataLoader[PerturbedBatch]]:
    """Build the dataloader of the test frames with every input, and the data module behind it.

    Raises:
        InputError: If there is only one test video, which has no mismatched input.
    """
    # the data module's own perturbations: an audit and a perturbed test agree
    modules = {p.name: data.module(model, **p.options) for p in inputs if p.options is not None}
    own = modules.pop(OWN)
    own.setup("test")
    readers = {name: scored_frames(module).reader for name, module in modules.items()}
    frames = PerturbedFrames(modality, scored_frames(own), readers)
    return own, DataLoader(
        cast(Any, frames), data.batch, num_workers=data.num_workers, collate_fn=PerturbedFrames.collate
    )


@dataclass(frozen=True)
class Setting:
    """One way of sampling a map."""

    name: str
    """Name in tables."""
    steps: int | None = None
    """Denoising steps; None for the model's own number."""
    samples: int = 1
    """Samples that are averaged."""
    commits: bool = False
    """True if an uncertain model selects one of several objects: one sample over several steps."""


def settings_of(model: LoadedModel, samples: int, encoded: Encoded) -> tuple[Setting, ...]:
    """Return one step, the model's own steps, and the mean over several samples, as far as they differ."""
    if model.sampling is None or isinstance(encoded, Tensor):
        return (Setting("one pass"),)
    assert isinstance(model.network, DiffusionNetwork)
    # steps that were asked for hold for every clip
    adaptive = model.steps is None and model.network.denoising_steps(encoded) is not None
    settings = [Setting("1 step", 1)]
    if adaptive or model.sampling.steps > 1:
        own = "own steps" if adaptive else f"{model.sampling.steps} steps"
        settings.append(Setting(own, commits=True))
    # the mean is the model's expectation, which no single sample is
    if samples > 1:
        settings.append(Setting(f"mean of {samples} samples", samples=samples))
    return tuple(settings)


def maps_by_setting(
    model: LoadedModel, encoded: Encoded, batch: SaliencyBatch, settings: Sequence[Setting]
) -> dict[str, Tensor]:
    """Sample the maps (B, 1, H, W) of each setting; a single sample is the first of those that are averaged."""
    maps: dict[str, Tensor] = {}
    for steps in dict.fromkeys(setting.steps for setting in settings):
        here = [setting for setting in settings if setting.steps == steps]
        count = max(setting.samples for setting in here)
        samples = model.sample(encoded, batch, steps=steps, samples=count, average=False)  # (B, n, 1, H, W)
        maps |= {s.name: samples[:, : s.samples].mean(dim=1).clamp(0, 1) for s in here}
    return maps


class Verdict(NamedTuple):
    """A finding and the reason for it."""

    finding: str
    """``uses audio``, ``does not use audio`` or ``undecided``; likewise for text."""
    reason: str


@dataclass
class PerturbationAudit:
    """Scores and movement of the maps by input and setting."""

    modality: Modality
    inputs: tuple[Perturbation, ...]
    metrics: tuple[str, ...]
    least: float = LEAST
    """Smallest gain in CC that counts as use."""
    settings: tuple[Setting, ...] = ()
    groups: dict[str, list[VideoKey]] = field(default_factory=dict)
    """Videos that are reported together; the first group is all of them."""
    synthetic: list[str] = field(default_factory=list)
    """Generated corpora."""
    frames: int = 0
    """Frames predicted with each input."""
    encodes: bool = True
    """False if the network has no features of this modality."""
    refused: dict[str, str] = field(default_factory=dict)
    """Inputs that the network cannot work with, and its error message."""
    tables: dict[tuple[str, str], ScoreTable] = field(default_factory=dict)
    """Scores by (input, setting)."""
    changes: dict[str, MapChange] = field(default_factory=dict)
    """Movement of the maps by input, over all settings."""

    @property
    def exactly_zero(self) -> bool:
        """True if no input moved any pixel of any map."""
        return all(change.largest == 0 for change in self.changes.values())

    def change(self, name: str, setting: str, metric: str, group: str) -> tuple[Interval, int]:
        """Return metric with an input minus metric with the own one: mean over videos, interval, number of videos."""
        own = self.tables[OWN, setting]
        return mean_difference(self.tables[name, setting], own, metric, self.groups[group])

    def value(self, name: str, setting: str, metric: str, group: str) -> float:
        """Return the mean over videos of the mean over frames."""
        return mean_value(self.tables[name, setting], metric, self.groups[group])

    def verdict(self, group: str = "all videos") -> Verdict:
        """Decide by the gain in CC of the own input over that of other videos.

        The model uses the modality if, at every setting that does not commit to one of several objects (one step, and
        the mean of samples), the whole 95 % interval of that gain lies above 0 and its mean is at least ``least``. It
        does not if at all of them the interval lies inside -least to least, or no pixel of any map moved. Anything
        else is undecided.
        """
        yes, no = f"uses {self.modality}", f"does not use {self.modality}"
        if self.changes[MISMATCHED].largest == 0:
            return Verdict(no, f"another video's {self.modality} moves no pixel of any map: exactly 0")
        gains: dict[str, Interval] = {}
        for setting in self.settings:
            # one sample over several steps picks one of several objects, and overstates the effect
            if not setting.commits:
                change, _ = self.change(MISMATCHED, setting.name, "cc", group)
                # the gain of the own input is the loss with another's
                gains[setting.name] = Interval(-change.mean, -change.high, -change.low)
        text = "; ".join(f"CC {difference(gain)} at {name}" for name, gain in gains.items())
        reason = f"gain of own {self.modality} over another video's: {text}"
        if all(gain.low > 0 and gain.mean >= self.least for gain in gains.values()):
            return Verdict(yes, reason)
        if all(-self.least < gain.low and gain.high < self.least for gain in gains.values()):
            return Verdict(no, f"{reason}, all within {self.least:g} of 0")
        return Verdict("undecided", reason)

    def report(self) -> AuditReport:
        """Format the tables, notes, verdicts and record."""
        modality = self.modality
        verdicts = {group: self.verdict(group) for group in self.groups}
        overall, *others = verdicts.items()
        rows: list[dict[str, Any]] = []
        tables: dict[str, pd.DataFrame] = {}
        for group, videos in self.groups.items():
            cells: dict[str, dict[str, dict[str, str]]] = {metric: {} for metric in self.metrics}
            for given, setting in product(self.inputs, self.settings):
                row: dict[str, Any] = {"group": group, "input": given.name, "setting": setting.name}
                for metric in self.metrics:
                    value = self.value(given.name, setting.name, metric, group)
                    change, count = self.change(given.name, setting.name, metric, group)
                    row[metric] = {"value": value, "change": vars(change) | {"videos": count}}
                    moved = "" if given.name == OWN else difference(change)
                    column = cells[metric].setdefault(f"{setting.name}{' (*)' * setting.commits}", {})
                    column[given.title] = f"{number(value)} {moved:>24}"
                rows.append(row)
            largest = {p.title: self.changes[p.name].largest for p in self.inputs if p.name != OWN}
            last = {title: f"{change:.2g}" if change else "exactly 0" for title, change in largest.items()}
            for metric, columns in cells.items():
                frame = pd.DataFrame({**columns, "largest change of a pixel": last}).fillna("")
                title = f"{metric}, {group} ({len(videos)}): value, and change against the own {modality}"
                tables[title] = frame.reindex([p.title for p in self.inputs])
        notes = common_notes(self.frames, len(self.groups[overall[0]]), self.synthetic)
        if any(setting.commits for setting in self.settings):
            notes.append(
                "(*) one sample over several steps commits to one object where a model is uncertain, which overstates "
                f"the effect of {modality}: the verdict is based on the other columns"
            )
        if not self.encodes:
            notes.append(f"the network has no {modality} encoder: its maps do not depend on {modality}")
        if self.exactly_zero:
            notes.append("no input moved any pixel of any map: all differences are exactly 0")
        for text in self.refused.values():
            notes.append(f"no {modality} input: not possible with this network ({text})")
        notes.append(
            f"rule: 'uses {modality}' if the own {modality} gains at least {self.least:g} CC over another video's and "
            f"the interval of that gain lies above 0; 'does not use {modality}' if the interval lies within "
            f"{self.least:g} of 0, or nothing moves; at every setting without (*)"
        )
        record = {
            "modality": modality,
            "synthetic": self.synthetic,
            "frames": self.frames,
            "encodes": self.encodes,
            "exactly_0": self.exactly_zero,
            "refused": self.refused,
            "inputs": {perturbation.name: perturbation.title for perturbation in self.inputs},
            "settings": [vars(setting) for setting in self.settings],
            "pixel_changes": {
                name: {"largest": moved.largest, "mean": moved.mean} for name, moved in self.changes.items()
            },
            "least": self.least,
            "verdicts": {group: found._asdict() for group, found in verdicts.items()},
            "groups": {group: ["/".join(key) for key in keys] for group, keys in self.groups.items()},
            "rows": rows,
            "videos": [
                {"input": name, "setting": setting, **row}
                for (name, setting), table in self.tables.items()
                for row in table.video_records()
            ],
        }
        sentences = [f"{found.finding}, in {group} ({found.reason})" for group, found in others]
        return AuditReport(record, tables, notes, [*sentences, "{} ({})".format(*overall[1])])


@torch.inference_mode()
def audit_modality(
    model: LoadedModel,
    data: AuditData,
    modality: Modality = "audio",
    *,
    samples: int = 4,
    shift: float = 0.32,
    metrics: Sequence[str] = ("cc", "nss"),
    least: float = LEAST,
    progress: Callable[[int, int], None] | None = None,
) -> PerturbationAudit:
    """Predict test videos with each input and score them; each clip is encoded once with each input.

    Noise is the same with every input, so all that differs between two maps comes from the input.

    Args:
        model: The model.
        data: The videos.
        modality: Input that is perturbed.
        samples: Samples that are averaged at one setting.
        shift: Seconds that audio is shifted by, both ways; 0 leaves that out.
        metrics: Metrics to compute, ``cc`` among them, which the verdict is based on.
        least: Smallest gain in CC that counts as use.
        progress: Called with frames done and frames in all.

    Raises:
        InputError: If a setting is out of range, the network reads no text, or the data cannot be read.
    """
    if "cc" not in metrics:
        raise InputError(
            f"the verdict is based on cc, which is not among the metrics {list(metrics)}: add it"
        )
    if samples < 1 or not 0 <= shift < float("inf"):
        raise InputError(
            f"needs at least 1 sample and a shift of 0 or more seconds, got {samples} and {shift}"
        )
    name = type(model.network).__name__
    if modality == "text" and not model.network.uses_text:
        raise InputError(f"this {name} reads no text: there is nothing to audit")
    if modality == "text" and data.captions is None:
        raise InputError(f"the text audit of this {name} needs captions: give --captions FOLDER")
    if model.sampling is not None:
        samples = max(samples, model.sampling.samples)  # never fewer than the model averages in its test
    audit = PerturbationAudit(modality, perturbations(modality, shift), tuple(metrics), least)
    module, loader = perturbed_loader(model, data, modality, audit.inputs)
    scores: dict[tuple[str, str], SaliencyMetrics] = defaultdict(lambda: SaliencyMetrics(metrics))
    for loaded, variants in loader:
        batch = move_batch(loaded, model.device)
        inputs = model.inputs(batch)
        own: dict[str, Tensor] = {}
        for perturbation in audit.inputs:
            key = perturbation.name
            # no input at all, not zeros: networks may have another path for it
            given = None if key == WITHOUT else variants[key].to(model.device)
            perturbed = inputs._replace(**{modality: given})
            try:
                encoded = model.encode(perturbed)
            except InputError as error:
                if key != WITHOUT:  # every other input must work: only a missing one may be refused
                    raise
                audit.refused[key] = str(error)
                continue
            if key == OWN:
                audit.settings = audit.settings or settings_of(model, samples, encoded)
                audit.encodes = modality[0] in used_modalities(model.network, perturbed, encoded)
            # the noise is seeded by the clip: alike for every input
            maps = maps_by_setting(model, encoded, batch, audit.settings)
            own = own or maps  # the own input comes first
            for setting, predicted in maps.items():
                check_finite(predicted, batch, perturbation.title)
                scores[key, setting].update(
                    predicted[:, 0], batch["ground_truth"], batch["fixations"], frame_keys(batch)
                )
                if key != OWN:
                    audit.changes.setdefault(key, MapChange()).add(predicted, own[setting])
        audit.frames += len(batch["corpus"])
        if progress is not None:
            progress(audit.frames, len(cast(PerturbedFrames, loader.dataset)))
    audit.inputs = tuple(p for p in audit.inputs if p.name not in audit.refused)
    audit.tables = {pair: metric.table() for pair, metric in scores.items()}
    audit.groups = video_groups(module, module.videos("test"))
    audit.synthetic = module.synthetic
    return audit
