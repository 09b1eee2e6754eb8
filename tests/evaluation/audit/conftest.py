"""Networks whose behaviour is known beforehand, as loaded models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.data import AuditData
from lightning_avsp.input_spec import InputSpec
from lightning_avsp.media.audio import LogMel
from lightning_avsp.structures import ClipPolicy, Condition, DiffusionNetwork
from lightning_avsp.tasks.loading import LoadedModel

SIZE = (32, 64)
AUDIO = LogMel(size=(8, 12))

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``rule(noisy, t in 0..1, map)`` gives x0; all (B, 1, H, W) but t (B, 1, 1, 1)."""


class Fake(DiffusionNetwork):
    """Knows the target map of each clip by its sound or by its picture, and denoises by a rule.

    Args:
        keys: Sounds (N, ...) or pictures (N, ...) of clips.
        maps: Their maps (N, 1, H, W).
        listens: Whether ``keys`` are sounds; else the network makes no features of sound.
        rule: What becomes of noisy map, t and known map; the known map as it is when None.
        needs_sound: Whether a clip without sound is refused.
    """

    def __init__(
        self,
        keys: Tensor,
        maps: Tensor,
        *,
        listens: bool,
        rule: Rule | None = None,
        needs_sound: bool = False,
    ) -> None:
        super().__init__()
        self.keys, self.maps, self.listens, self.needs_sound = keys.flatten(1), maps, listens, needs_sound
        self.rule = rule or (lambda noisy, t, known: known)
        self.encoded: list[int] = []

    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        if audio is None and self.needs_sound:
            raise InputError("this network needs sound")
        assert video is not None
        self.encoded.append(len(video))
        if not self.listens:
            return Condition(video=(self.recall(video[:, :, 8]),))
        if audio is None:
            return Condition(video=(self.maps.mean(0).expand(len(video), -1, -1, -1),), audio=None)
        return Condition(audio=self.recall(audio))

    def recall(self, seen: Tensor) -> Tensor:
        """The map of the nearest key (B, 1, H, W)."""
        return self.maps[torch.cdist(seen.flatten(1), self.keys).argmin(dim=1)]

    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        known = condition.video[0] if condition.video else condition.audio
        assert known is not None
        return self.rule(noisy_map, t[:, None, None, None] / 1000, known)


def loaded(network: DiffusionNetwork, steps: int = 2, seed: int = 0) -> LoadedModel:
    spec = InputSpec(SIZE, SIZE, ClipPolicy(frames=network.clip_frames), AUDIO)
    return LoadedModel(
        network, spec, "fake", sampling=Sampling(steps=steps), diffusion=GaussianDiffusion(), seed=seed
    )


@pytest.fixture(scope="session")
def audit_data(corpus: Path) -> AuditData:
    return AuditData(corpus, every=5, batch=4)


MakeModel = Callable[..., LoadedModel]


@pytest.fixture(scope="session")
def make_model(audit_data: AuditData) -> MakeModel:
    """Builds a model with a :class:`Fake` that knows the test clips by audio or by frame."""
    module = audit_data.module(loaded(Fake(torch.zeros(1, 1), torch.zeros(1, 1, *SIZE), listens=False)))
    module.setup("test")
    batches = list(module.test_dataloader())
    maps = torch.cat([batch["saliency"] for batch in batches]).float() / 255
    sounds = torch.cat([batch["audio"] for batch in batches])
    pictures = torch.cat([Fake.normalize_video(Fake, batch["video"])[:, :, 8] for batch in batches])  # type: ignore[arg-type]

    def make(listens: bool, steps: int = 2, seed: int = 0, **options: object) -> LoadedModel:
        keys = sounds if listens else pictures
        return loaded(Fake(keys, maps, listens=listens, **options), steps, seed)  # type: ignore[arg-type]

    return make
