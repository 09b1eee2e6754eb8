"""The one LightningDataModule over all corpora."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, cast

from lightning.pytorch import LightningDataModule
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.utils.data import DataLoader

from lightning_avsp.data.cache.sources import attach_cache
from lightning_avsp.data.captions.features import CaptionedFrames, Captions, TextSource
from lightning_avsp.data.captions.lines import caption_path, read_captions
from lightning_avsp.data.catalogue import find_corpus, splits_in_mix
from lightning_avsp.data.clips import training_count, unscored_frames, validation_step
from lightning_avsp.data.corpora import Split, decoded_with, listed_keys, read_videos
from lightning_avsp.data.dataset import EvaluationFrames, TrainingClips
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.loader import ResumableDataLoader, default_workers, loader_settings
from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.data.mismatch import mismatched_audio, mismatched_text
from lightning_avsp.data.options import EvaluationOptions, LoadingOptions, TrainingOptions, ValidationOptions
from lightning_avsp.data.partition import SELECTION_LABELS, Partition, partition_videos, shared_films
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.data.samplers import EpochShuffleSampler, UnrepeatedSampler
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.input_spec import InputSpec
from lightning_avsp.media.audio import AudioInput, LogMel
from lightning_avsp.structures import ClipPolicy, SaliencyBatch

log = logging.getLogger(__name__)

VideoPart = Literal["train", "validation", "test"]
"""Parts of the videos."""

# decoded frames remembered in evaluation: a batch of 64 neighbouring clips of 32, 25 MB at 224x384
_KEPT_FRAMES = 96


class AVSaliencyDataModule(LightningDataModule):
    """Clips, audio and maps of one or several corpora, divided by video.

    Args:
        root: Folder with the corpora, e.g. the unpacked STAViS package.
        corpora: Public names, e.g. ``[AVAD, ETMD]``.
        split: Published split, 1 to 3; a corpus with one list uses it with each. ``all`` is for reading alone
            (``predict``, :meth:`entries`): every video that any split lists, each once, as part ``test``. Training,
            validating and testing refuse it: most test videos of a split are training videos of the others, so each
            split is a model of its own, a run with its own ``split``.
        size: (height, width) of frames, in pixels.
        map_size: (height, width) of target maps; that of the frames by default. Ground truth for metrics
            always keeps its own size.
        clip: Rules by which clips are cut.
        audio: Form in which the network reads audio, with its settings: ``LogMel`` slices or the ``Waveform``.
        captions: Captions and their token features, below the root unless given; None for networks that do not read.
        batch_size: Clips of a training batch, on each device.
        global_batch: Clips of an optimiser step over all devices, as papers say; the command line then chooses the
            largest batch up to ``batch_size`` that divides it evenly, and how many are accumulated. The learning rate
            stays as given.
        num_workers: Workers of each dataloader; 0 loads in the training process. By default both loaders together
            use the cores (:func:`~lightning_avsp.data.loader.default_workers`).
        seed: Seed of training clips and their order; the command line sets it to ``seed_everything`` unless given.
        training: Options of training clips.
        validation: Options of validation videos.
        test: Options of tests.
        loading: Options of reading videos.

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
        clip: ClipPolicy = ClipPolicy(),  # noqa: B008  # frozen, as all below
        audio: AudioInput = LogMel(),  # noqa: B008
        captions: Captions | None = None,
        batch_size: int = 4,
        global_batch: int | None = None,
        num_workers: int | None = None,
        seed: int | None = None,
        training: TrainingOptions = TrainingOptions(),  # noqa: B008
        validation: ValidationOptions = ValidationOptions(),  # noqa: B008
        test: EvaluationOptions = EvaluationOptions(),  # noqa: B008
        loading: LoadingOptions = LoadingOptions(),  # noqa: B008
    ) -> None:
        super().__init__()
        # Plain values under one key: they reload with weights_only, and cannot collide with the model's.
        settings = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        settings["audio"] = {"form": audio.form, **asdict(audio)}
        self.save_hyperparameters({"data": {name: _plain(value) for name, value in settings.items()}})
        self.root = Path(root)
        self.corpora = [find_corpus(name, self.root).name for name in corpora]
        # names as the catalogue has them: an alias would be a second corpus in results
        tested = self.corpora if test.corpora is None else test.corpora
        self.tested_corpora = [find_corpus(name, self.root).name for name in tested]
        self.split = split
        self.size = (int(size[0]), int(size[1]))
        self.map_size = self.size if map_size is None else (int(map_size[0]), int(map_size[1]))
        self.clip = clip
        self.audio = audio
        self.captions = None if captions is None else captions.below(self.root)
        self.batch_size = batch_size
        self.global_batch = global_batch
        self.num_workers = num_workers
        # None tells the command line that it may set it to seed_everything
        self.seed = 0 if seed is None else seed
        self.training = training
        self.validation = validation
        self.test = test
        self.loading = loading
        self._entries: dict[VideoPart, list[VideoEntry]] = {}
        self._check()

    def _check(self) -> None:
        for option, names in (("corpora", self.corpora), ("test.corpora", self.tested_corpora)):
            if not names or len(set(names)) < len(names):
                raise InputError(f"{option} must name at least one corpus, each once; got {names}")
            if self.split != "all":  # raises for a split that no corpus has
                splits_in_mix([find_corpus(name, self.root) for name in names], self.split)
        require_range(1, batch_size=self.batch_size, global_batch=self.global_batch)
        require_range(0, num_workers=self.num_workers)
        if self.test.text != "true" and self.captions is None:
            raise InputError(
                f"test.text={self.test.text} needs captions; set data.captions.folder and .features"
            )

    # ---- videos of each part

    @cached_property
    def partition(self) -> Partition:
        """Videos of each part by name, from the fold lists alone."""
        if self.split == "all":
            return Partition((), (), tuple(listed_keys(self.root, self.tested_corpora, "all")))
        return partition_videos(
            listed_keys(self.root, self.corpora, self._split, "train"),
            listed_keys(self.root, self.tested_corpora, self._split, "test"),
            selection=self.validation.selection,
            share=self.validation.share,
            seed=self.validation.seed,
        )

    @property
    def _split(self) -> int:
        """The one split that trains and tests; an error under ``split: all``."""
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
        """Description of the videos that chose the checkpoint, written beside every result."""
        return SELECTION_LABELS[self.validation.selection]

    @property
    def synthetic(self) -> list[str]:
        """Generated corpora under the root; results on them must be marked."""
        made = read_manifest(self.root)["corpora"]
        return [name for name in self._every_corpus if find_corpus(name, self.root).folder in made]

    @property
    def _every_corpus(self) -> list[str]:
        """Corpora that are trained on or tested."""
        return list(dict.fromkeys((*self.corpora, *self.tested_corpora)))

    def entries(self, part: VideoPart) -> list[VideoEntry]:
        """Return videos of a part with their files; read on first use.

        Raises:
            InputError: If the part does not exist under ``split: all``, or two videos have one name.
        """
        if part not in self._entries:
            self._entries[part] = self._read(part)
        return self._entries[part]

    def videos(self, part: VideoPart) -> list[VideoKey]:
        """Return (corpus, video) of everything in a part.

        Of a part that is in use, without what a policy left out; of another one as listed, opening no video.
        """
        if part in self._entries:
            return [entry.key for entry in self._entries[part]]
        return list(self._keys(part))

    def caption_identity(self) -> dict[str, Any] | None:
        """Describe captions for a run's record: text model, and each corpus' writers, prompts and file digest."""
        if self.captions is None or self._text is None or self.captions.folder is None:
            return None
        found: dict[str, Any] = {"features of": str(self._text.model)}
        for corpus in self.corpora:
            path = caption_path(self.captions.folder, corpus)
            lines = read_captions(path)
            written = sorted({f"{line.model} ({line.prompt})" for line in lines})
            found[corpus] = {"by": written, "sha256": sha256(path.read_bytes()).hexdigest()}
        return found

    def input_spec(self) -> InputSpec:
        """Describe the input of a model, for its checkpoints."""
        text = None if self._text is None else self._text.input
        return InputSpec(self.size, self.map_size, self.clip, self.audio, text)

    def _keys(self, part: VideoPart) -> Sequence[VideoKey]:
        # cut after the partition, so that a trial holds out the same videos as the whole
        keys: Sequence[VideoKey] = getattr(self.partition, part)
        return keys[: self.loading.limit_videos]

    def _read(self, part: VideoPart) -> list[VideoEntry]:
        keys = self._keys(part)
        listed = len(getattr(self.partition, part))
        if len(keys) < listed:
            log.warning("%s: only %d of %d videos (loading.limit_videos)", part, len(keys), listed)
        tested = part == "test" or (part == "validation" and self.validation.selection == "test")
        entries = read_videos(
            self.root,
            self.tested_corpora if tested else self.corpora,
            "all" if part == "test" and self.split == "all" else self._split,
            "test" if tested else "train",
            keep=frozenset(keys),
            missing_audio=self.loading.missing_audio,
        )
        entries = decoded_with(entries, self.loading.video_backend)
        if self.loading.cache is not None:
            entries = attach_cache(entries, self.loading.cache, self.size)
        # never used unasked: it may be another size, or somebody's
        elif (self.root / "cache").is_dir():
            log.info(
                "%s exists and is not used; to use it: --data.loading.cache %s", *[self.root / "cache"] * 2
            )
        if self._text is not None:
            self._text.log_coverage({entry.key: entry.n_frames for entry in entries})
        frames = sum(entry.n_frames for entry in entries)
        log.info("%s: %d videos, %d frames", part, len(entries), frames)
        # training clips lie inside the video, so only scored parts lack frames
        mode = self.test.frames if part == "test" else "all"
        scored = () if part == "train" else entries
        left_out = [unscored_frames(entry.n_frames, self.clip, mode) for entry in scored]
        if total := sum(left_out):
            log.warning(
                "%s: %d frames at the start of %d videos are not scored (%s, at most %d a video)",
                part,
                total,
                sum(count > 0 for count in left_out),
                "test.frames: released"
                if mode == "released"
                else f"clip.start_padding: {self.clip.start_padding}",
                max(left_out),
            )
        return entries

    # ---- hooks of Lightning

    def setup(self, stage: str) -> None:
        """Read the videos of a stage and check that parts share none."""
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
        # A checkpoint chosen on the test list is allowed, but labelled in every result
        if self.validation.selection == "validation":
            shared |= validation & test
        else:
            log.warning("checkpoints are %s", self.selection_label)
        if shared:
            raise InputError(
                f"videos in more than one part: {sorted(shared)}; this is a fault of the partition"
            )
        # the published splits divide films: reported, not refused
        if films := shared_films(train | validation, test):
            log.info("films of which both training and test videos were cut: %s", ", ".join(films))
        if self.synthetic:
            log.warning("SYNTHETIC data, a diagnostic without human observers: %s", ", ".join(self.synthetic))
        for option, usual in (
            # a perturbed test must not pass for a real one in a log
            (("audio", "true"), ("text", "true"), ("audio_shift", 0)) if stage == "test" else ()
        ):
            if getattr(self.test, option) != usual:
                log.warning("perturbed test: test.%s is %r", option, getattr(self.test, option))

    def train_dataloader(self) -> ResumableDataLoader:
        """Load training clips, shuffled anew each epoch; can be resumed in mid-epoch."""
        dataset = TrainingClips(
            self.entries("train"),
            self.clip,
            self._reader(),
            seed=self.seed,
            blank_maps=self.training.blank_maps,
            balance=self.training.balance,
            augmentation=self.training.augmentation,
        )
        if dataset.mix is not None:
            counts, sizes = dataset.mix.counts, dataset.mix.sizes
            drawn = ", ".join(f"{count} of {name}'s {sizes[name]}" for name, count in counts.items())
            log.info("balance: %s: an epoch of %d clips draws %s", self.training.balance, len(dataset), drawn)
        # own samplers: Lightning's would pad, and not resume in mid-epoch
        rank, world = self._rank()
        sampler = EpochShuffleSampler(
            dataset, seed=self.seed, rank=rank, world=world, uneven=self.training.uneven
        )
        # cast: a data set gives samples, the collate function makes batches of them
        settings = self._loader_settings(self._workers("train"), self.batch_size)
        return ResumableDataLoader(cast(Any, dataset), sampler=sampler, **settings)

    def val_dataloader(self) -> DataLoader[SaliencyBatch] | list[Any]:
        """Load frames of the validation videos as ``validation.every`` says; nothing where nothing is validated."""
        if self.validation.selection == "none":
            return []
        dataset = EvaluationFrames(
            self.entries("validation"),
            self.clip,
            self._reader(self._kept_frames),
            every=self._validation_step(),
        )
        return self._evaluation_loader(dataset)

    def _validation_step(self) -> int:
        """Distance of validated frames."""
        fitting = self.trainer is not None and self.trainer.state.fn == "fit"
        if self.validation.every is not None or not fitting:
            # other commands than fit report the scores: of all frames
            return self.validation.every or 1
        clips = sum(training_count(entry.n_frames, self.clip) for entry in self.entries("train"))
        step = validation_step([entry.n_frames for entry in self.entries("validation")], clips)
        if step > 1:
            log.info(
                "validation: one frame in %d, at most a fifth as many as an epoch's %d clips or one a video; "
                "--data.validation.every 1 takes all",
                step,
                clips,
            )
        return step

    def test_dataloader(self) -> DataLoader[SaliencyBatch]:
        """Load every frame of the test videos, with audio and captions as ``test.audio`` and ``test.text`` ask."""
        # the same mismatched audio for every training seed
        entries, seed = self.entries("test"), self.validation.seed
        audio = mismatched_audio(entries, self.test.audio, seed)
        text = None if self._text is None else mismatched_text(self._text, entries, self.test.text, seed)
        reader = self._reader(self._kept_frames, audio, self.test.audio_shift, text)
        return self._evaluation_loader(
            EvaluationFrames(entries, self.clip, reader, mode=self.test.frames, every=self.test.every)
        )

    def predict_dataloader(self) -> DataLoader[SaliencyBatch]:
        """Load the frames that a test would score."""
        return self.test_dataloader()

    # ---- parts of the above

    @property
    def _kept_frames(self) -> int:
        """Decoded frames to remember in evaluation: all of a clip's neighbourhood, however far apart its frames lie."""
        return max(_KEPT_FRAMES, self.clip.covered + 16)

    def _reader(
        self,
        kept_frames: int = 0,
        audio_of: dict[VideoKey, Path | None] | None = None,
        shift_s: float = 0.0,
        text: TextSource | None = None,
    ) -> ClipReader:
        return ClipReader(
            self.size,
            self.audio,
            map_size=self.map_size,
            kept_frames=kept_frames,
            audio_of=audio_of,
            shift_s=shift_s,
            text=text or self._text,
        )

    @cached_property
    def _text(self) -> CaptionedFrames | None:
        return None if self.captions is None else self.captions.open(self._every_corpus)

    def _evaluation_loader(self, dataset: EvaluationFrames) -> DataLoader[SaliencyBatch]:
        rank, world = self._rank()
        # FSDP2 gathers parameters in each forward pass: a process with a batch more would wait for ever
        sharded = self.trainer is not None and isinstance(self.trainer.strategy, ModelParallelStrategy)
        sampler = UnrepeatedSampler(dataset, rank=rank, world=world, even=sharded)
        fitting = self.trainer is None or self.trainer.state.fn == "fit"
        workers = self._workers("validation" if fitting else "test")
        settings = self._loader_settings(workers, self.loading.eval_batch_size or self.batch_size)
        return DataLoader(cast(Any, dataset), sampler=sampler, **settings)

    def _loader_settings(self, workers: int, batch_size: int) -> dict[str, Any]:
        # uint8 frames are nearly all of a batch
        frame_bytes = 3 * self.size[0] * self.size[1]
        batch_bytes = batch_size * self.clip.frames * frame_bytes
        settings = loader_settings(workers, self.loading.start_method, self.seed, batch_bytes)
        return {"batch_size": batch_size, **settings}

    def _workers(self, part: Literal["train", "validation", "test"]) -> int:
        if self.num_workers is not None:
            return self.num_workers
        return default_workers(1 if self.trainer is None else self.trainer.num_devices, part)

    def _rank(self) -> tuple[int, int]:
        """(rank, world) of this process."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


def _plain(value: Any) -> Any:
    """Convert an option to numbers, strings, lists and dicts."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return str(value) if isinstance(value, Path) else value
