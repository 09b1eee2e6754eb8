"""The one LightningDataModule over all corpora."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from lightning.pytorch import LightningDataModule
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.utils.data import DataLoader

from lightning_avsp.data.augmentation import Augmentation
from lightning_avsp.data.balance import Balance
from lightning_avsp.data.captions.frames import CaptionedFrames, Captions, TextSource
from lightning_avsp.data.catalogue import find_corpus, splits_in_mix
from lightning_avsp.data.corpora import decoded_with, listed_keys, read_videos
from lightning_avsp.data.dataset import EvaluationFrames, TrainingClips
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.every_video import Split, every_key, read_every_video
from lightning_avsp.data.exchange import report_unscored, sounds_instead, texts_instead
from lightning_avsp.data.loader import ResumableDataLoader, StartMethod, loader_settings
from lightning_avsp.data.missing_audio import MissingAudio
from lightning_avsp.data.partition import SELECTION_LABELS, Partition, Selection, partition_videos
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.data.samplers import EpochShuffleSampler, UnrepeatedSampler
from lightning_avsp.errors import InputError
from lightning_avsp.input_spec import InputSpec, TextInput
from lightning_avsp.media.audio import AudioInput, LogMel
from lightning_avsp.media.random_access import Backend
from lightning_avsp.structures import ClipPolicy, SaliencyBatch

log = logging.getLogger(__name__)

VideoPart = Literal["train", "validation", "test"]
"""Parts that videos are divided into."""

_KEPT_FRAMES = (
    96  # decoded frames remembered in evaluation: a batch of 64 neighbouring clips of 32, 25 MB at 224x384
)


class AVSaliencyDataModule(LightningDataModule):
    """Clips, sound and maps of one or several corpora, divided by video.

    Args:
        root: Folder with the corpora, e.g. the unpacked STAViS package.
        corpora: Public names, e.g. ``[AVAD, ETMD]``.
        split: Which of the published splits, 1 to 3; a corpus with one list uses it with each. ``all`` is for reading
            alone (``predict``, :meth:`entries`): every video that any split lists, each once, as part ``test``.
            Training, validating and testing refuse it: most test videos of a split are training videos of the others,
            so each split is a model of its own from its own start, a run with its own ``split``.
        size: (height, width) of frames, in pixels.
        map_size: (height, width) of target maps; that of the frames by default. Ground truth for metrics
            always keeps its own size.
        clip: How clips are cut.
        audio: Form in which the network reads audio, with its settings: ``LogMel`` slices or the ``Waveform``.
        batch_size: Clips of a training batch, on each device.
        global_batch: Clips of an optimiser step over all devices, as papers say; the command line then chooses the
            largest batch up to ``batch_size`` that divides it evenly, and how many are accumulated. The learning rate
            stays as given.
        eval_batch_size: Clips of a validation or test batch; ``batch_size`` by default.
        num_workers: Loader processes of each data loader; 0 loads in the training process.
        start_method: How loader processes start (``fork``, ``spawn``, ``forkserver``); if None the one that is safe
            beside threads (:func:`~lightning_avsp.data.loader.worker_context`).
        seed: Seed of training clips and their order; the command line sets it to ``seed_everything`` unless given.
        validation_seed: Seed of the choice of validation videos and of exchanged sounds: by default the same for
            every training seed, so that runs differ in their training alone.
        validation_share: Share of each corpus' training videos that validates instead, at least one video.
        selection: What validation is: those videos, or (labelled) the test list as in the field's released
            code.
        missing_audio: What to do with videos that have no sound file.
        blank_maps: Training clips where nobody was recorded: ``redraw`` another one, or ``keep`` them.
        uneven: Training on several devices when clips do not divide evenly: ``drop`` the rest or ``pad`` by
            repeating.
        balance: How much each corpus of a mix weighs in an epoch: ``none``, by its number of clips; ``uniform``, all
            the same; ``sqrt``, by the root of its number. An epoch keeps its length
            (:class:`~lightning_avsp.data.balance.BalancedMix`).
        augmentation: Random changes of training clips; none by default.
        cache: What ``avsp data prepare --out`` wrote, read instead of the corpus where it is up to date; None reads the
            corpus.
        eval_every: Validate only every k-th frame.
        test_every: Test only every k-th frame: for demonstrations and audits; 1, every frame, for any result that
            is to be compared with another. Written into the results.
        test_frames: ``all`` frames, or those that the released protocol scores (not the first ``clip.frames
            // 2``).
        test_audio: Sound in tests: ``true``, that of an ``other_video``
            (:func:`~lightning_avsp.data.wrong_sound.other_sounds`), or ``silent``.
        test_audio_shift: Seconds by which sound comes too late in tests (negative: too early).
        captions: Where captions and their token features lie; None for networks that do not read.
        test_text: Captions in tests: ``true``, those of an ``other_video``, or ``none``.
        video_backend: What decodes corpora that are films: ``decord`` (fast random access; its colours differ from the
            other two by about two grey levels), ``pyav`` (in order from the last key frame, slow), or ``torchcodec``
            (where it is installed).
        limit_videos: At most so many videos of each part, the first listed; for trials.

    Raises:
        InputError: If a setting is impossible.
    """

    def __init__(
        self,
        root: Path,
        corpora: list[str] = ["AVAD"],  # noqa: B006  # never changed; LightningCLI shows it as the default
        split: Split = 1,
        size: tuple[int, int] = (224, 384),
        map_size: tuple[int, int] | None = None,
        clip: ClipPolicy = ClipPolicy(),  # noqa: B008  # frozen
        audio: AudioInput = LogMel(),  # noqa: B008  # frozen
        batch_size: int = 4,
        global_batch: int | None = None,
        eval_batch_size: int | None = None,
        num_workers: int = 2,
        start_method: StartMethod | None = None,
        seed: int | None = None,
        validation_seed: int = 0,
        validation_share: float = 0.1,
        selection: Selection = "validation",
        missing_audio: MissingAudio = "error",
        blank_maps: Literal["redraw", "keep"] = "redraw",
        uneven: Literal["drop", "pad"] = "drop",
        balance: Balance = "none",
        augmentation: Augmentation = Augmentation(),  # noqa: B008  # frozen
        cache: Path | None = None,
        video_backend: Backend = "decord",
        eval_every: int = 1,
        test_every: int = 1,
        test_frames: Literal["all", "released"] = "all",
        test_audio: Literal["true", "other_video", "silent"] = "true",
        test_audio_shift: float = 0.0,
        captions: Captions | None = None,
        test_text: Literal["true", "other_video", "none"] = "true",
        limit_videos: int | None = None,
    ) -> None:
        super().__init__()
        # Plain values under one key: they reload with weights_only, and cannot collide with the model's.
        settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        settings |= {"root": str(root), "clip": asdict(clip), "audio": {"form": audio.form, **asdict(audio)}}
        plain = {} if captions is None else asdict(captions)
        texts = {k: str(v) if isinstance(v, Path) else v for k, v in plain.items()} or None
        settings |= {"captions": texts}
        settings |= {"augmentation": asdict(augmentation), "cache": None if cache is None else str(cache)}
        self.save_hyperparameters({"data": settings})
        self.root = Path(root)
        self.corpora = [find_corpus(name, self.root).name for name in corpora]
        self.split = split
        self.size = (int(size[0]), int(size[1]))
        self.map_size = self.size if map_size is None else (int(map_size[0]), int(map_size[1]))
        self.clip = clip
        self.audio = audio
        self.batch_size = batch_size
        self.global_batch = global_batch
        self.eval_batch_size = eval_batch_size or batch_size
        self.num_workers = num_workers
        self.start_method = start_method
        self.seed = 0 if seed is None else seed
        self.validation_seed = validation_seed
        self.validation_share = validation_share
        self.selection = selection
        self.missing_audio = missing_audio
        self.blank_maps = blank_maps
        self.uneven = uneven
        self.balance: Balance = balance
        self.augmentation = augmentation
        self.video_backend: Backend = video_backend
        self.cache = None if cache is None else Path(cache)
        self.eval_every = eval_every
        self.test_every = test_every
        self.test_frames = test_frames
        self.test_audio = test_audio
        self.test_audio_shift = test_audio_shift
        self.captions = captions
        self.test_text = test_text
        self.limit_videos = limit_videos
        self._partition: Partition | None = None
        self._entries: dict[VideoPart, list[VideoEntry]] = {}
        self._check()

    def _check(self) -> None:
        if not self.corpora or len(set(self.corpora)) < len(self.corpora):
            raise InputError(f"corpora must name at least one corpus, each once; got {self.corpora}")
        if self.split != "all":  # raises for a split that no corpus has
            splits_in_mix([find_corpus(name, self.root) for name in self.corpora], self.split)
        for name in ("batch_size", "eval_batch_size", "eval_every", "test_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.test_text != "true" and self.captions is None:
            raise InputError(
                f"test_text={self.test_text} needs captions; set data.captions.folder and .features"
            )
        if self.global_batch is not None and self.global_batch < 1:
            raise InputError(f"global_batch must be at least 1 or null, got {self.global_batch}")
        if self.limit_videos is not None and self.limit_videos < 1:
            raise InputError(f"limit_videos must be at least 1 or null, got {self.limit_videos}")
        if not math.isfinite(self.test_audio_shift):
            raise InputError(f"test_audio_shift must be a number of seconds, got {self.test_audio_shift}")
        if self.num_workers < 0:
            raise InputError(f"num_workers must be 0 or more, got {self.num_workers}")

    # ---- what is divided how

    @property
    def partition(self) -> Partition:
        """Videos of each part by name, from the fold lists alone."""
        if self._partition is None and self.split == "all":
            self._partition = Partition((), (), tuple(every_key(self.root, self.corpora)))
        elif self._partition is None:
            self._partition = partition_videos(
                listed_keys(self.root, self.corpora, self._split, "train"),
                listed_keys(self.root, self.corpora, self._split, "test"),
                selection=self.selection,
                share=self.validation_share,
                seed=self.validation_seed,
            )
        return self._partition

    @property
    def _split(self) -> int:
        """The one split that trains and tests.

        Raises:
            InputError: Under ``split: all``.
        """
        if self.split == "all":
            own = [find_corpus(name, self.root).splits for name in self.corpora]
            commands = "; ".join(
                f"`lightning fit ... --data.split {split}`" for split in sorted({n for ns in own for n in ns})
            )
            raise InputError(
                "split: all is for reading through every video (`lightning predict`, `avsp data check`, `avsp data "
                "prepare`); most test videos of a split are training videos of another, so each split is a model of "
                f"its own, from its own start and in its own run: {commands}; or sweep over data.split"
            )
        return self.split

    @property
    def selection_label(self) -> str:
        """What chose the checkpoint, to be written beside every result."""
        return SELECTION_LABELS[self.selection]

    @property
    def synthetic(self) -> list[str]:
        """Corpora under the root that our generator made; results on them must say so."""
        from lightning_avsp.synthetic import read_manifest

        made = read_manifest(self.root)["corpora"]
        return [name for name in self.corpora if find_corpus(name, self.root).folder in made]

    def entries(self, part: VideoPart) -> list[VideoEntry]:
        """Videos of a part with their files; read when first asked for.

        Raises:
            InputError: If the part does not exist under ``split: all``, or two videos have one name.
        """
        if part not in self._entries:
            self._entries[part] = self._read(part)
        return self._entries[part]

    def videos(self, part: VideoPart) -> list[VideoKey]:
        """(corpus, video) of everything in a part.

        Of a part that is in use, without what a policy left out; of another one as listed, opening no video.
        """
        if part in self._entries:
            return [entry.key for entry in self._entries[part]]
        return list(self._keys(part))

    def input_spec(self) -> InputSpec:
        """What a model gets from here, to be kept in its checkpoints."""
        text = None
        if self._text is not None:
            model = self._text.model
            text = TextInput(model.name, model.fingerprint, model.width, self._text.length)
        return InputSpec(self.size, self.map_size, self.clip, self.audio, text)

    def _keys(self, part: VideoPart) -> Sequence[VideoKey]:
        keys: Sequence[VideoKey] = getattr(self.partition, part)
        return keys[: self.limit_videos]

    def _read(self, part: VideoPart) -> list[VideoEntry]:
        keys = self._keys(part)
        listed = len(getattr(self.partition, part))
        if len(keys) < listed:
            log.warning("%s: only %d of %d videos (limit_videos)", part, len(keys), listed)
        if part == "test" and self.split == "all":
            entries = read_every_video(
                self.root, self.corpora, keep=frozenset(keys), missing_audio=self.missing_audio
            )
        else:
            entries = read_videos(
                self.root,
                self.corpora,
                self._split,
                "test" if part == "test" or (part == "validation" and self.selection == "test") else "train",
                keep=frozenset(keys),
                missing_audio=self.missing_audio,
            )
        entries = decoded_with(entries, self.video_backend)
        if self.cache is not None:
            from lightning_avsp.data.cache import attach_cache

            entries = attach_cache(entries, self.cache, self.size)
        elif (self.root / "cache").is_dir():
            log.info("%s exists and is not used; to use it: --data.cache %s", *[self.root / "cache"] * 2)
        if self._text is not None:
            self._text.coverage({entry.key: entry.n_frames for entry in entries})
        frames = sum(entry.n_frames for entry in entries)
        log.info("%s: %d videos, %d frames", part, len(entries), frames)
        if part != "train":
            report_unscored(part, entries, self.clip, self.test_frames if part == "test" else "all")
        return entries

    # ---- hooks of Lightning

    def setup(self, stage: str) -> None:
        """Read what a stage needs and check that no video is in two parts that must not share one."""
        parts: dict[str, tuple[VideoPart, ...]] = {
            "fit": ("train", "validation"),
            "validate": ("validation",),
        }
        if stage != "predict":
            self._split  # noqa: B018  # refuses what cannot be trained or tested
        for part in parts.get(stage, ("test",)):
            self.entries(part)
        partition = self.partition
        train, validation, test = set(partition.train), set(partition.validation), set(partition.test)
        shared = (train & test) | (train & validation)
        if self.selection == "validation":
            shared |= validation & test
        else:
            log.warning("checkpoints are %s", self.selection_label)
        if shared:
            raise InputError(
                f"videos in more than one part: {sorted(shared)}; this is a fault of the partition"
            )
        if self.synthetic:
            log.warning(
                "SYNTHETIC data, a diagnostic and no film that people watched: %s", ", ".join(self.synthetic)
            )
        if stage == "test" and self.test_audio != "true":
            log.warning("test videos are played with wrong sound: test_audio is %r", self.test_audio)
        if stage == "test" and self.test_text != "true":
            log.warning("test videos are given wrong captions: test_text is %r", self.test_text)
        if stage == "test" and self.test_audio_shift != 0:
            log.warning("test videos are played with sound that is %+g s late", self.test_audio_shift)

    def train_dataloader(self) -> ResumableDataLoader:
        """Training clips, shuffled anew each epoch; can be resumed in mid-epoch."""
        dataset = TrainingClips(
            self.entries("train"),
            self.clip,
            self._reader(),
            seed=self.seed,
            blank_maps=self.blank_maps,
            balance=self.balance,
            augmentation=self.augmentation,
        )
        if dataset.mix is not None:
            counts, sizes = dataset.mix.counts, dataset.mix.sizes
            told = ", ".join(f"{count} of {name}'s {sizes[name]}" for name, count in counts.items())
            log.info("balance: %s: an epoch of %d clips draws %s", self.balance, len(dataset), told)
        rank, world = self._place()
        sampler = EpochShuffleSampler(dataset, seed=self.seed, rank=rank, world=world, uneven=self.uneven)
        # cast: a data set gives samples, the collate function makes batches of them
        settings = loader_settings(self.num_workers, self.start_method, self.seed)
        return ResumableDataLoader(
            cast(Any, dataset), batch_size=self.batch_size, sampler=sampler, **settings
        )

    def val_dataloader(self) -> DataLoader[SaliencyBatch]:
        """Every ``eval_every``-th frame of the validation videos."""
        dataset = EvaluationFrames(
            self.entries("validation"), self.clip, self._reader(self._kept_frames), every=self.eval_every
        )
        return self._evaluation_loader(dataset)

    def test_dataloader(self) -> DataLoader[SaliencyBatch]:
        """Every frame of the test videos, with sound and captions as ``test_audio`` and ``test_text`` say."""
        entries, seed = self.entries("test"), self.validation_seed
        sounds = sounds_instead(entries, self.test_audio, seed)
        text = None if self._text is None else texts_instead(self._text, entries, self.test_text, seed)
        reader = self._reader(self._kept_frames, sounds, self.test_audio_shift, text)
        return self._evaluation_loader(
            EvaluationFrames(entries, self.clip, reader, mode=self.test_frames, every=self.test_every)
        )

    def predict_dataloader(self) -> DataLoader[SaliencyBatch]:
        """The frames that a test would score."""
        return self.test_dataloader()

    # ---- parts of the above

    @property
    def _kept_frames(self) -> int:
        """Decoded frames to remember in evaluation: all of a clip's neighbourhood, however far apart its frames lie."""
        return max(_KEPT_FRAMES, self.clip.covered + 16)

    def _reader(
        self,
        kept_frames: int = 0,
        sound_of: dict[VideoKey, Path | None] | None = None,
        shift_s: float = 0.0,
        text: TextSource | None = None,
    ) -> ClipReader:
        return ClipReader(
            self.size,
            self.audio,
            map_size=self.map_size,
            kept_frames=kept_frames,
            sound_of=sound_of,
            shift_s=shift_s,
            text=text or self._text,
        )

    @cached_property
    def _text(self) -> CaptionedFrames | None:
        return None if self.captions is None else self.captions.open(self.corpora)

    def _evaluation_loader(self, dataset: EvaluationFrames) -> DataLoader[SaliencyBatch]:
        rank, world = self._place()
        sharded = self.trainer is not None and isinstance(self.trainer.strategy, ModelParallelStrategy)
        sampler = UnrepeatedSampler(dataset, rank=rank, world=world, even=sharded)
        settings = loader_settings(self.num_workers, self.start_method, self.seed)
        return DataLoader(cast(Any, dataset), batch_size=self.eval_batch_size, sampler=sampler, **settings)

    def _place(self) -> tuple[int, int]:
        """(rank, world) of this process."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size
