"""``avsp caption``: captions of a corpus' frames and their token features, for networks with text."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from lightning_avsp.backbones.blip2 import open_captioner
from lightning_avsp.backbones.text_encoder import DEFAULT_TEXT_MODEL, load_text_encoder
from lightning_avsp.cli.progress import progress_bar, split_names
from lightning_avsp.data.captions.features import TokenFeatures, cache_features
from lightning_avsp.data.captions.lines import (
    caption_corpus,
    caption_path,
    merge_captions,
    read_captions,
    read_table,
    uncaptioned_frames,
)
from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.launch import choose_device
from lightning_avsp.synthetic import STATEMENT
from lightning_avsp.synthetic.captions import write_synthetic_captions


def caption(
    root: Path,
    corpus: str = "AVAD",
    model: str = "Salesforce/blip2-opt-2.7b",
    every: int = 1,
    device: str = "auto",
    out: Path | None = None,
    from_: Path | None = None,
    synthetic: bool = False,
    informative_share: float = 0.5,
    seed: int = 0,
    prompt: Literal["question", "plain", "none"] = "question",
    batch: int = 8,
    features: bool = True,
    features_folder: Path | None = None,
    text_model: str | None = None,
) -> None:
    """Caption the frames of a corpus and compute their token features, the input of networks with text.

    Captions go to OUT/CORPUS.jsonl, one line each, written as they are made: an interrupted run continues where it
    stopped. By default BLIP-2 writes them; --from takes them from a table, --synthetic from the record of a synthetic
    corpus. Then the text encoder runs once for each distinct caption, and never again.

    Args:
        root: Folder with the corpora.
        corpus: Corpus to caption; several with commas between them.
        model: BLIP-2 model: a name on the Hugging Face hub, or a folder with its files.
        every: Caption the middle one of every k frames. Any frame can be the target of a clip, so 1 serves every clip
            policy; with more, a clip gets the nearest caption.
        device: auto, cpu, cuda, cuda:1, mps.
        out: Folder of caption files; ROOT/captions by default.
        from_: Table of captions (csv, parquet, jsonl) with the columns video, frame and text, instead of BLIP-2.
        synthetic: Write captions from the record of a synthetic corpus instead.
        informative_share: Share of synthetic captions that name the attended object.
        seed: Seed of synthetic captions.
        prompt: Prompt of BLIP-2: the paper's as a question, as it stands, or none.
        batch: Frames per forward pass; changes speed and memory.
        features: Also compute token features.
        features_folder: Folder of token features; OUT/features by default.
        text_model: CLIP model, or a folder with its files; openai/clip-vit-base-patch32 by default, tiny-random with
            --synthetic.
    """
    out = root / "captions" if out is None else out
    features_folder = features_folder or out / "features"
    names = [find_corpus(name, root).name for name in split_names(corpus)]
    if not names:
        raise InputError("no corpus given: --corpus AVAD, or several with commas between them")
    if from_ is not None and (synthetic or len(names) > 1):  # a table names no corpus
        raise InputError("--from takes the captions of one corpus, and not together with --synthetic")
    require_range(1, every=every, batch=batch)
    encoder, cache = None, TokenFeatures(features_folder)
    if features:  # before hours of captioning: a missing text model, or a folder of another model's features
        text_model = text_model or ("tiny-random" if synthetic else DEFAULT_TEXT_MODEL)
        encoder = load_text_encoder(text_model, choose_device(device))
        cache.claim(encoder.model)
    for name in names:
        if synthetic:
            made = write_synthetic_captions(
                root, name, out, informative_share=informative_share, every=every, seed=seed
            )
            print(
                f"SYNTHETIC {name}: {made.captions} captions of {made.videos} videos in {made.path}; "
                f"{made.informative} name the object that decides, {made.agreeing} of these the one attended in that "
                f"very frame\n{STATEMENT}"
            )
            continue
        # captions need no audio
        videos = read_videos(root, [name], "all", missing_audio="silence", skip_missing_lists=True)
        path = caption_path(out, name)
        if from_ is not None:
            frames = {entry.video: entry.n_frames for entry in videos}
            added, replaced = merge_captions(path, read_table(from_), frames, from_)
            print(f"{name}: {added} captions from {from_} added, {replaced} replaced, in {path}")
            continue
        todo = uncaptioned_frames(videos, every, path, model, prompt)
        total = sum(len(numbers) for numbers in todo.values())
        print(
            f"{name}: {len(videos)} videos, {total} frames to caption (every {every}) into {path}", flush=True
        )
        if total:
            captioner = open_captioner(model, choose_device(device), prompt)
            with progress_bar(f"captions of {name}") as progress:
                counts = caption_corpus(videos, todo, path, captioner, batch, progress)
            modes = ", ".join(f"{count} {mode}" for mode, count in sorted(counts.items()))
            print(f"{name}: {total} captions made (prompt: {modes})")
    if encoder is not None:
        texts = [line.text for name in names for line in read_captions(caption_path(out, name))]
        began = time.perf_counter()
        with progress_bar("token features") as progress:
            done = cache_features(encoder, texts, cache, progress=progress)
        seconds = time.perf_counter() - began
        distinct = sorted({text for text in texts if text.strip()})  # an empty caption has no tokens
        print(
            f"{len(distinct)} distinct texts of {len(texts)} captions, {done} encoded by {encoder.model} in "
            f"{seconds:.1f} s; {cache.size_on_disk() / 1e6:.1f} MB in {cache.folder}"
        )
        if cut := encoder.count_cut(distinct):
            longest = encoder.model.longest
            print(f"{cut} texts are longer than the {longest} tokens that the model reads, and were cut")
        print(f"train with --data.captions.folder {out} --data.captions.features {features_folder}")
