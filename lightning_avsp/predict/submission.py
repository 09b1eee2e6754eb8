"""Predictions as challenges take them: one saliency video for each clip, as many frames as the clip."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.crowdsal import find_clips
from lightning_avsp.errors import InputError
from lightning_avsp.media.video import open_video
from lightning_avsp.predict.predictor import predict_video
from lightning_avsp.synthetic.films import write_map_film
from lightning_avsp.tasks.loading import LoadedModel


def submit_crowdsal(
    model: LoadedModel,
    root: Path,
    out: Path,
    subsets: Sequence[str],
    batch: int = 4,
    report: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Predict the clips of the NTIRE 2026 challenge and write its submission.

    Videos have the size of the network's maps, 10 bits a pixel, each frame from its minimum to its maximum, as the
    challenge's scorer scales it anyway. Those that are there whole are kept, so a stopped command goes on.

    Args:
        model: The model, on its device.
        root: Folder with ``CrowdSAL``; ground truth is needed for nothing but its number of frames, where it is there.
        out: Folder for ``<clip>.mp4``, or a ``.zip`` file that will hold them without a folder.
        subsets: ``public_test``, ``private_test``.
        batch: Clips of a forward pass.
        report: Called with a line on each clip.

    Returns:
        The videos.

    Raises:
        InputError: If a clip is missing or damaged, has another number of frames than its ground truth, or the network
            reads text.
    """
    if model.network.uses_text:
        raise InputError(
            f"{type(model.network).__name__} reads captions, of which the challenge has none: submit another network"
        )
    folder = out.with_suffix("") if out.suffix == ".zip" else out
    folder.mkdir(parents=True, exist_ok=True)
    clips = find_clips(root, find_corpus("CrowdSAL", root), subsets)
    paths = {clip: folder / f"{clip.stem}.mp4" for clip in clips}
    # whatever lies in the folder would be submitted with it
    own = {name for path in paths.values() for name in (path.name, f".{path.name}.partial")}
    if strangers := sorted({path.name for path in folder.iterdir()} - own):
        raise InputError(f"{folder} holds more than the submission: remove {', '.join(strangers[:5])}")
    for clip, frames in clips.items():
        # all clips before the first is predicted: a truncated download is found at once
        if (found := open_video(clip).frames) != frames:
            raise InputError(f"{clip} has {found} frames, but its ground truth {frames}: download both again")
    written = []
    for index, (clip, frames) in enumerate(clips.items(), start=1):
        path = paths[clip]
        done = path.is_file() and open_video(path).frames == frames
        if not done:
            info = open_video(clip)
            maps = np.stack([saliency for _, saliency in predict_video(model, info, batch=batch)])
            # each frame to its range, in 10 bits: the scorer scales it so, and faint maps keep their levels
            low, high = (reduce(maps, axis=(1, 2), keepdims=True) for reduce in (np.min, np.max))
            # a video under its own name is whole, so a later start skips it
            partial = path.with_name(f".{path.name}.partial")
            write_map_film(partial, (maps - low) / np.maximum(high - low, 1e-12) * 255, fps=float(info.fps))
            partial.replace(path)
        if (found := open_video(path).frames) != frames:
            raise InputError(f"{path} holds {found} frames, but {clip.name} has {frames}")
        written.append(path)
        report(f"{index}/{len(clips)}  {path}: {frames} frames{', there already' if done else ''}")
    if out.suffix == ".zip":
        partial = out.with_name(f".{out.name}.partial")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:  # videos do not get smaller
            for path in written:
                archive.write(path, path.name)
        partial.replace(out)
    return written
