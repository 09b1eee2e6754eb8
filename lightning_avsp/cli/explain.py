"""`avsp explain`: relevance, agreement, attention to words and gates on a clip, with own and mismatched audio."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_avsp.cli.audit import AuditOptions
from lightning_avsp.cli.progress import progress_bar


def explain(
    ckpt: Path,
    video: str | None = None,
    frame: int | None = None,
    summary: bool = False,
    every: int = 20,
    out: Path | None = None,
    **options: Any,
) -> None:
    """Draw a network's explanations of a clip (relevance, MIM, words, gates), with own and mismatched audio.

    Args:
        ckpt: Checkpoint of a training run.
        video: Test video; the first one by default.
        frame: Number of the target frame, from 1; the middle of the video by default.
        summary: Also average every number over the test videos.
        every: Take every k-th test frame for that.
        out: Folder for images and explain.json; explain/VIDEO_FRAME in the run's folder by default.
        options: See :class:`AuditOptions`.
    """
    from lightning_avsp.backbones.text_encoder import split_tokens
    from lightning_avsp.errors import InputError
    from lightning_avsp.evaluation.explain import Explainer, draw_clip
    from lightning_avsp.run_folder import write_json

    ckpt = Path(ckpt)
    model, data = AuditOptions(every=1, **options).open(ckpt)
    explainer = Explainer(model, data)
    clips = explainer.explain([explainer.find(video, frame)])
    if not any(clips.explanations.values()):
        raise InputError(
            f"{ckpt}: {type(model.network).__name__} has no explanations with these settings; networks with relevance "
            "maps, masks of agreement (MIM), word maps or gates do"
        )
    name, number = clips.batch["video_id"][0], int(clips.batch["frame"][0])
    run = ckpt.resolve().parent.parent
    folder = run / "explain" / f"{name}_{number:05d}" if out is None else Path(out)
    caption = (
        None if data.captions is None else data.captions.find_text(clips.batch["corpus"][0], name, number)
    )
    words: list[str] = []
    if caption is not None and model.spec.text is not None:
        words = split_tokens(model.spec.text.model, caption)
        print(f"caption: {caption}")
        print("tokens: " + ", ".join(f"{row} {word}" for row, word in enumerate(words, 1)))
    images = draw_clip(clips, folder, model.spec.clip.target_index, caption, words)
    values = [
        {"audio": audio, "name": title, "label": label, "value": float(found[0, column])}
        for audio, title, labels, found in clips.numbers()
        for column, label in enumerate(labels)
    ]
    record = {"checkpoint": str(ckpt), "video": name, "frame": number, "values": values}
    record |= {"caption": caption, "tokens": words}
    for row in values:
        print(f"{row['name']}, {row['label']}, {row['audio']}: {row['value']:.4g}")
    if summary:
        whole = Explainer(model, replace(data, every=every))
        with progress_bar("clips") as advance:
            record["summary"] = rows = whole.summarise(data.batch, advance)
        for found in rows:
            spread = "" if found["sd"] is None else f" ± {found['sd']:.4f}"
            print(
                f"{found['group']}: {found['name']}, {found['label']}, {found['audio']}: {found['mean']:.4f}{spread} "
                f"({found['videos']} videos)"
            )
    write_json(folder / "explain.json", record)
    print(f"{len(images)} images and explain.json written to {folder}")
