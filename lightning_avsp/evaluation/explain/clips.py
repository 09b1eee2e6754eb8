"""Explanations of test clips, with their own audio and with that of another video."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.data import AuditData, scored_frames
from lightning_avsp.evaluation.audit.perturbation import MISMATCHED, OWN, PerturbedFrames, perturbations
from lightning_avsp.structures import Explanation, SaliencyBatch
from lightning_avsp.tasks.loading import LoadedModel


@dataclass(frozen=True)
class ExplainedClips:
    """A batch and the network's explanations by title of the audio that it was given."""

    batch: SaliencyBatch
    explanations: dict[str, list[Explanation]]


class Explainer:
    """Test frames of a corpus, and a network that explains its maps of them.

    Args:
        model: The model.
        data: The test videos.

    Raises:
        InputError: If the data cannot be read.
    """

    def __init__(self, model: LoadedModel, data: AuditData) -> None:
        self.model = model
        self.module = data.module(model)
        self.module.setup("test")
        own = scored_frames(self.module)
        inputs = {p.name: p for p in perturbations("audio", 0) if p.name in (OWN, MISMATCHED)}
        readers = {}
        if len(own.videos) > 1:  # a single video has no mismatched audio
            options = inputs[MISMATCHED].options or {}
            readers[MISMATCHED] = scored_frames(data.module(model, **options)).reader
        self.titles = {name: perturbation.title for name, perturbation in inputs.items()}
        self.frames = PerturbedFrames("audio", own, readers)

    def find(self, video: str | None, frame: int | None) -> int:
        """Find the index of a test frame by video and number; the middle of the first test video by default.

        Raises:
            InputError: If there is no such test video or frame.
        """
        frames = self.frames.frames
        names = [entry.video for entry in frames.videos]
        if video is not None and video not in names:
            raise InputError(f"{video!r} is no test video; these are: {', '.join(names[:8])}")
        entry = frames.videos[0 if video is None else names.index(video)]
        wanted = entry.n_frames // 2 + 1 if frame is None else frame
        for index in range(len(frames)):
            found, clip = frames.clip(index)
            if found.key == entry.key and clip.target == wanted:
                return index
        raise InputError(f"{entry.video} has no scored frame {wanted}; it has frames 1 to {entry.n_frames}")

    @torch.inference_mode()
    def explain(self, indices: list[int]) -> ExplainedClips:
        """Explain some test frames, with each audio."""
        batch, audio = PerturbedFrames.collate([self.frames[index] for index in indices])
        inputs = self.model.inputs(batch)
        saliency = batch["saliency"].to(self.model.device).float() / 255
        found = {}
        for name, waves in audio.items():
            given = inputs._replace(audio=waves.to(self.model.device))
            explanations = self.model.network.explain(*given, saliency)
            found[self.titles[name]] = [replace(e, values=e.values.float().cpu()) for e in explanations]
        return ExplainedClips(batch, found)
