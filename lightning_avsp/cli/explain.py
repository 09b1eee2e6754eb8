"""`avsp explain`: what a network shows of how it treats a clip, with its own and with another video's sound."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def explain(
    ckpt: Path,
    root: Path,
    corpus: str = "AVAD",
    split: int = 1,
    video: str | None = None,
    frame: int | None = None,
    summary: bool = False,
    every: int = 20,
    captions: Path | None = None,
    features: Path | None = None,
    batch: int = 8,
    device: str = "auto",
    missing_audio: Literal["error", "silence", "skip"] = "error",
    out: Path | None = None,
) -> None:
    """Draw what a network shows of a clip (relevance, attention to words, gates), with right and with wrong sound.

    Args:
        ckpt: Checkpoint of a training run.
        root: Folder with the corpora.
        corpus: Corpus to take the clip from; several with commas between them.
        split: Published split, 1 to 3.
        video: Test video; the first one by default.
        frame: Number of the target frame, from 1; the middle of the video by default.
        summary: Also average every number over the test videos.
        every: Take every k-th test frame for that.
        captions: Folder with captions, for networks that read.
        features: Folder with their token features.
        batch: Clips per forward pass.
        device: auto, cpu, cuda, cuda:1, mps.
        missing_audio: What to do with videos without a sound file.
        out: Folder for pictures and explain.json; explain/VIDEO_FRAME in the run's folder by default.
    """
    from lightning_avsp.cli.audit import names, progress
    from lightning_avsp.errors import InputError
    from lightning_avsp.evaluation.audit.subject import AuditData, open_subject
    from lightning_avsp.evaluation.explain.clips import Explained, corpus_folder
    from lightning_avsp.evaluation.explain.drawing import draw_clip, numbers
    from lightning_avsp.evaluation.explain.summary import summarise
    from lightning_avsp.run_folder import write_json

    ckpt = Path(ckpt)
    subject = open_subject(ckpt, device)
    texts = corpus_folder(captions, features)
    data = AuditData(Path(root), names(corpus), split, 1, batch, 0, missing_audio)
    explained = Explained(subject, data, texts)
    heard = explained.explain([explained.find(video, frame)])
    if not any(heard.explanations.values()):
        raise InputError(
            f"{ckpt}: {type(subject.model.network).__name__} has nothing to show with these settings; "
            "networks with relevance maps, word maps or gates do"
        )
    name, number = heard.batch["video_id"][0], int(heard.batch["frame"][0])
    run = ckpt.resolve().parent.parent
    folder = run / "explain" / f"{name}_{number:05d}" if out is None else Path(out)
    length = len(heard.batch["video"][0])
    pictures = draw_clip(heard, folder, length // 2 if subject.model.target == "centre" else length - 1)
    values = [
        {"sound": sound, "name": title, "label": label, "value": float(found[0, column])}
        for sound, title, labels, found in numbers(heard)
        for column, label in enumerate(labels)
    ]
    record = {"checkpoint": str(ckpt), "video": name, "frame": number, "values": values}
    for row in values:
        print(f"{row['name']}, {row['label']}, {row['sound']}: {row['value']:.4g}")
    if summary:
        many = Explained(
            subject, AuditData(Path(root), names(corpus), split, every, batch, 0, missing_audio), texts
        )
        record["summary"] = rows = summarise(many, batch, progress("clips"))
        for found in rows:
            spread = "" if found["sd"] is None else f" ± {found['sd']:.4f}"
            print(
                f"{found['group']}: {found['name']}, {found['label']}, {found['sound']}: {found['mean']:.4f}{spread} "
                f"({found['videos']} videos)"
            )
    write_json(folder / "explain.json", record)
    print(f"{len(pictures)} pictures and explain.json written to {folder}")
