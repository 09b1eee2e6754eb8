"""The clips that are explained, with their own sound and with that of another video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lightning_avsp.data import AVSaliencyDataModule
from lightning_avsp.data.captions.frames import Captions
from lightning_avsp.data.collate import collate
from lightning_avsp.data.dataset import EvaluationFrames
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.subject import AuditData, Subject
from lightning_avsp.structures import Explanation, SaliencyBatch

OWN, OTHER = "its own sound", "another video's sound"


@dataclass(frozen=True)
class Heard:
    """A batch and what a network shows of it, by the sound that it heard."""

    batch: SaliencyBatch
    explanations: dict[str, list[Explanation]]


class Explained:
    """Test frames of a corpus, and a network that explains itself on them.

    Args:
        subject: The model.
        data: Which test videos.
        captions: Captions, for networks that read.

    Raises:
        InputError: If the data cannot be read.
    """

    def __init__(self, subject: Subject, data: AuditData, captions: Captions | None = None) -> None:
        self.network = subject.model.network
        self.device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        self.module = data.module(subject.model, captions=captions)
        self.module.setup("test")
        other = data.module(subject.model, "other_video", captions=captions)
        self.frames, self.other = frames_of(self.module), frames_of(other)
        self.other.reader.waves = self.frames.reader.waves  # each file is decoded once, whoever plays it

    def find(self, video: str | None, frame: int | None) -> int:
        """Index of a test frame by video and number; the middle of the first test video by default.

        Raises:
            InputError: If there is no such test video or frame.
        """
        entries = self.frames.videos
        names = [entry.video for entry in entries]
        if video is not None and video not in names:
            raise InputError(f"{video!r} is no test video; these are: {', '.join(names[:8])}")
        entry = entries[0 if video is None else names.index(video)]
        wanted = entry.n_frames // 2 + 1 if frame is None else frame
        for index in range(len(self.frames)):
            found, clip = self.frames.clip(index)
            if found.key == entry.key and clip.target == wanted:
                return index
        raise InputError(f"{entry.video} has no scored frame {wanted}; it has frames 1 to {entry.n_frames}")

    @torch.inference_mode()
    def explain(self, indices: list[int]) -> Heard:
        """What the network shows of some test frames, with each sound."""
        batch = collate([self.frames[index] for index in indices])
        sounds = {OWN: batch["audio"]}
        if len(self.frames.videos) > 1:
            heard = [self.other.reader.read_audio(*self.frames.clip(index))[0] for index in indices]
            sounds[OTHER] = torch.stack(heard)
        video = self.network.normalize_video(batch["video"].to(self.device))
        saliency = batch["saliency"].to(self.device).float() / 255
        text = batch["text"].to(self.device) if "text" in batch else None
        return Heard(
            batch,
            {
                name: [on_cpu(e) for e in self.network.explain(video, sound.to(self.device), text, saliency)]
                for name, sound in sounds.items()
            },
        )


def frames_of(module: AVSaliencyDataModule) -> EvaluationFrames:
    """The test frames of a data module."""
    dataset = module.test_dataloader().dataset
    assert isinstance(dataset, EvaluationFrames)
    return dataset


def on_cpu(explanation: Explanation) -> Explanation:
    """The same in float32 on the CPU."""
    values: Tensor = explanation.values.float().cpu()
    return Explanation(explanation.name, explanation.title, values, explanation.labels)


def corpus_folder(path: Path | None, features: Path | None) -> Captions | None:
    """Captions from two options of a command; None where neither is given.

    Raises:
        InputError: If only one of them is given.
    """
    if path is None and features is None:
        return None
    if path is None or features is None:
        raise InputError(f"captions need both folders, got captions={path} and features={features}")
    return Captions(Path(path), Path(features))
