"""Mutation check of the heart: change a sign, an index, an axis or a factor, and see whether that part's tests notice.

Run from the repository root: ``python scripts/mutate.py [PART ...]``. Each mutation is one replaced text in a temporary
copy of the package, in which the part's tests run until the first that fails; the working tree is never touched.
Every run is a fork of this process, which has imported torch and what else takes seconds, but nothing of the package.
Prints the mutations that no test caught and the number of those caught; exit code 1 below 95 %.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; a fork must find no other threads

import pytest

ROOT = Path(__file__).resolve().parents[1]
MUTATIONS = """
# diffusion: diffusion
diffusion/schedules.py
    (math.pi / 2)).square()  =>  (math.pi / 2)).abs()
    f[1:] / f[:-1]  =>  f[:-1] / f[1:]
    scale = 1000 / num_steps  =>  scale = num_steps / 1000
diffusion/process.py
    return signal * x0 + sigma * noise  =>  return signal * x0 - sigma * noise
    index_select(0, t + 1)  =>  index_select(0, t)
    2 * maps - 1  =>  2 * maps + 1
    (signal + 1) / 2  =>  (signal - 1) / 2
    (1 - alpha_bar).sqrt(), x0  =>  (1 + alpha_bar).sqrt(), x0
diffusion/steps.py
    -(-i * num_steps // steps)  =>  i * num_steps // steps
    i * stride for i in  =>  (i + 1) * stride for i in
    max(below_previous, steps - 1 - i)  =>  max(below_previous, steps - i)
    uniform(num_steps - noisiest, batch)  =>  uniform(noisiest, batch)
    < 0.5  =>  < 0.6
diffusion/samplers.py
    beta * x0 + math.sqrt(ab_t / ab_s)  =>  beta * x0 - math.sqrt(ab_t / ab_s)
    mean = (math.sqrt(ab_s)  =>  mean = (math.sqrt(ab_t)
    math.sqrt(beta * (1 - ab_s) / (1 - ab_t)) * noise  =>  beta * (1 - ab_s) / (1 - ab_t) * noise
    eps = (x_t - math.sqrt(ab_t) * x0)  =>  eps = (x_t - math.sqrt(ab_s) * x0)
    math.sqrt(1 - ab_s - variance) * eps  =>  math.sqrt(1 - ab_s) * eps
    math.sqrt(ab_t / ab_s) * (1 - ab_s) * x_t  =>  math.sqrt(ab_t / ab_s) * (1 - ab_t) * x_t
    variance = eta**2  =>  variance = eta
    h = 0.5 * (math.log  =>  h = 1.0 * (math.log
    0.5 * h / last_h  =>  0.5 * last_h / h
    math.expm1(-h)  =>  math.expm1(h)
diffusion/sampling.py
    stable_seed(seed, index)  =>  stable_seed(seed, 0)
    samples.mean(dim=1) if average  =>  samples[:, 0] if average
    replace(step, x0=diffusion.to_maps(step.x0))  =>  step
# losses: test_losses.py
losses.py
    torch.log(q + EPSILON) - torch.log(p + EPSILON)  =>  torch.log(p + EPSILON) - torch.log(q + EPSILON)
    (1 - q) * torch.log1p(-p)  =>  (1 - q) * torch.log1p(p)
    q - q.mean(1, keepdim=True)  =>  q + q.mean(1, keepdim=True)
    torch.minimum(  =>  torch.maximum(
# eca: layers/test_layers.py layers/test_token_layers.py papers/mubic/test_mubic_parts.py
layers/attention.py
    1.0 / factor**2  =>  1.0 / factor
    tokens.unflatten(-1, (heads, -1)).transpose(1, 2)  =>  tokens.unflatten(-1, (-1, heads)).movedim(-1, 1)
    self.compress_value(values)  =>  self.compress(values)
    return x + self.feed_forward(self.norm2(x))  =>  return x + self.feed_forward(self.norm1(x))
    self.key_value.weight[: query.shape[-1]]  =>  self.key_value.weight[query.shape[-1] :]
    (2 * sharpness / width**0.5) ** 0.5  =>  (2 * sharpness / width) ** 0.5
layers/convolution.py
    h * (1 + scale) + shift  =>  h * scale + shift
    F.pad(x, (0, 1, 0, 1))  =>  F.pad(x, (1, 0, 1, 0))
layers/embeddings.py
    return (1 + scale) * x + shift  =>  return scale * x + shift
    dtype=torch.float32) + 0.5) * (extent  =>  dtype=torch.float32)) * (extent
    x.permute(0, 3, 1, 4, 2, 5)  =>  x.permute(0, 3, 1, 5, 2, 4)
# eca: papers/diffsal/test_paper_parts.py
papers/diffsal/paper/decoder.py
    values if interaction is None else interaction  =>  values
    tokens + self.out(multi_head_attention(  =>  tokens - self.out(multi_head_attention(
    2**index if attention  =>  2 ** (index - 1) if attention
    x = x + self.upsample(previous  =>  x = x - self.upsample(previous
    finer.shape[-1])) + finer  =>  finer.shape[-1])) - finer
    features[::-1][: self.num_scales]  =>  features[: self.num_scales]
# mim: papers/diffsal/test_paper_parts.py papers/diffsal/test_released.py papers/diffsal/test_released_golden.py
papers/diffsal/paper/decoder.py
    (features * audio).mean(dim=2)  =>  (features * audio).sum(dim=2)
    .softmax(dim=-1).to(  =>  .softmax(dim=1).to(
    * pooled.shape[-1]  =>  / pooled.shape[-1]
    return audio * interaction_mask  =>  return features * interaction_mask
    return features + audio  =>  return features - audio
    self.project(features) * audio  =>  self.project(features) + audio
    self.mix_features(features) + self.mix_sound  =>  self.mix_features(features) - self.mix_sound
papers/diffsal/released/attention.py
    self.scale = width**-0.5  =>  self.scale = (width // heads) ** -0.5
    .mean(dim=1, keepdim=True).softmax(dim=-1)  =>  .mean(dim=1, keepdim=True).softmax(dim=-2)
    (sound * mask).transpose(1, 2)  =>  (sound * mask).movedim(2, -1)
    return x + x * r  =>  return x - x * r
papers/diffsal/released/decoder.py
    READOUT_STEPS = 5  =>  READOUT_STEPS = 6
papers/diffsal/released/mvit.py
    self.proj(normed)  =>  self.proj(x)
    2 ** (stages - 1 - stage)  =>  2**stage
# sitr: papers/tavdiff/test_sitr.py papers/tavdiff/test_tavdiff_network.py
papers/tavdiff/sitr.py
    key.transpose(-1, -2) / query.shape[-1] ** 0.5  =>  key.transpose(-1, -2) / query.shape[-1]
    logits.softmax(dim=-1).mean(dim=1)  =>  logits.softmax(dim=-2).mean(dim=1)
    logits.sigmoid().sum(dim=-1)  =>  logits.sum(dim=-1)
    logits.mean(dim=1).amax(dim=-1)  =>  logits.mean(dim=1).amin(dim=-1)
    return (maps * maps  =>  return -(maps * maps
    (1 + weight) / 2 * value  =>  (1 - weight) / 2 * value
    -torch.inf).argmax(dim=1)  =>  -torch.inf).argmin(dim=1)
    responses.maps[clips, chosen] * tokens.shape[1]  =>  responses.maps[clips, chosen]
    device=by_rule.device) < self.gt_share  =>  device=by_rule.device) > self.gt_share
papers/tavdiff/condition.py
    filled & (rows > 0)  =>  filled & (rows >= 0)
    (rows < end[:, None])  =>  (rows <= end[:, None])
    .sum(dim=1) / weight.sum(dim=1)  =>  .sum(dim=1) / weight.shape[1]
    torch.cat([others, exists], dim=1)  =>  torch.cat([exists, others], dim=1)
# ravf: papers/avrsp/test_parts.py
papers/avrsp/relevance.py
    ret_a @ a_value + v_value  =>  ret_a @ a_value - v_value
    ret_v @ v_value + a_value  =>  ret_v @ v_value
    self._retention(v_query @ a_key  =>  self._retention(v_key @ a_key
    self._retention(a_query @ v_key  =>  self._retention(a_key @ v_key
    scale = v_query.shape[-1] ** -0.5  =>  scale = v_query.shape[-1] ** 0.5
    return scores.softmax(dim=1)  =>  return scores.softmax(dim=0)
    self.norm1(visual + self.out(fused))  =>  self.norm1(visual - self.out(fused))
papers/avrsp/scales.py
    middle = middle + conv(  =>  middle = middle - conv(
    self.conv(opened * fused)  =>  self.conv(opened + fused)
    NEIGHBOURS.index(source)) <= 1  =>  NEIGHBOURS.index(source)) <= 2
papers/avrsp/fusions.py
    features + sound  =>  features - sound
    (shared_seen + attended[:, n_sound:]) / 2  =>  shared_seen
    x * (1 + factor(attended)  =>  x * (1 - factor(attended)
# mmi: papers/mubic/test_mubic_parts.py
papers/mubic/interaction.py
    f_av + alpha * (f_va - f_av)  =>  f_va + alpha * (f_av - f_va)
    return self.scalar() * resize_frames  =>  return self.scalar() + resize_frames
    self.conv(F.glu(x, dim=1))) + x  =>  self.conv(F.glu(x, dim=1))) - x
    self._attend(self.audio_attention, audio, visual)  =>  self._attend(self.audio_attention, visual, audio)
    return own + attended if  =>  return own - attended if
    fused = fused + self.skip(f_v)  =>  fused = fused - self.skip(f_v)
    x.permute(0, 3, 4, 2, 1).flatten(0, 2)  =>  x.permute(0, 4, 3, 2, 1).flatten(0, 2)
papers/mubic/decoder.py
    deeper + gate * (fused - deeper)  =>  fused + gate * (deeper - fused)
    x = x + spatial_grid(self.attention  =>  x = x - spatial_grid(self.attention
    .exp() / p.shape[1]  =>  .exp() / p.shape[0]
    (most - fewest) * effective_share  =>  (most + fewest) * effective_share
# metrics: metrics
metrics/functional/comparison.py
    squares.sqrt() * pair.target.squares.sqrt()  =>  squares * pair.target.squares
    (prediction.pixels - 1)).sqrt()  =>  prediction.pixels).sqrt()
    mean_by_frame(looked_at) - mean  =>  mean_by_frame(looked_at) + mean
    log_().mul_(g)  =>  log_().mul_(1)
    torch.log2(_EPS + ours) - torch  =>  torch.log2(_EPS + ours) + torch
metrics/functional/auc.py
    (weight * 0.5 * (lower + lower_equal))  =>  (weight * lower)
    tied * tied_fixated / (tied_fixated + 1)  =>  tied * tied_fixated / tied_fixated
    negatives = prediction.pixels - points.count  =>  negatives = prediction.pixels + 0 * points.count
    values[:, None] >= grid  =>  values[:, None] > grid
    torch.arange(10, -1, -1  =>  torch.arange(9, -1, -1
    searchsorted(ranked, fixated, right=True)  =>  searchsorted(ranked, fixated, right=False)
    (found - order) / (pixels - count)  =>  (found - order) / pixels
metrics/functional/maps.py
    1 - distance / 2  =>  1 - distance
    squares - mass * mass / maps.pixels  =>  squares + mass * mass / maps.pixels
    products - p.mass * g.mass  =>  products - p.mass * p.mass
metrics/functional/fixations.py
    row * width + column  =>  row * height + column
    values * self.weight) / self.total  =>  values * self.weight) / self.count
metrics/functional/resize.py
    dtype=torch.float64) + 0.5) / scale  =>  dtype=torch.float64)) / scale
    2 * length - 1 - position  =>  2 * length - 2 - position
    1.5 * x**3 - 2.5 * x**2 + 1  =>  1.5 * x**3 - 2.5 * x**2 + 1 + x * 0.01
metrics/averages.py
    math.fsum(counted) / len(counted)  =>  math.fsum(counted) / (len(counted) + 1)
metrics/degenerate.py
    fixations.count == prediction.pixels  =>  fixations.count > prediction.pixels
# clips: data/test_clip_policy.py data/test_partition.py data/test_datasets.py
data/clips.py
    (first - 1.5) / fps  =>  (first - 0.5) / fps
    (last - 0.5) / fps  =>  (last + 0.5) / fps
    shown(last) + 0.5 / fps  =>  shown(last) - 0.5 / fps
    times[inside - 1]  =>  times[inside - 2]
    min(max(number, 1), n_frames) for number  =>  min(max(number, 2), n_frames) for number
    for number in reversed(window)  =>  for number in window
    ordered[middle] + 1) // 2  =>  ordered[middle]) // 2
    present[index % len(present)]  =>  present[min(index, len(present) - 1)]
    clips[min(every // 2, len(clips) - 1) :: every]  =>  clips[::every]
    max(n_frames, 2), SEGMENT_STEP)  =>  max(n_frames, 2), SEGMENT_FRAMES)
    min(start + SEGMENT_FRAMES, n_frames + 1)  =>  min(start + SEGMENT_FRAMES, n_frames)
    clip_at(target - policy.padded_frames  =>  clip_at(target - policy.padded_frames - 1
    target <= policy.padded_frames  =>  target < policy.padded_frames
    length // 2 - policy.covered // 2  =>  length // 2 - policy.covered
    latest = n_frames - policy.covered + 1  =>  latest = n_frames - policy.covered
    generator.integers(room + 1)  =>  generator.integers(room)
"""
"""``# part: its tests``, then each file with its mutations, ``text in the file  =>  text instead``."""


def run_tests(copy: Path, tests: str) -> int:
    """Run tests of the copy in a fork and return pytest's exit code."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    code: int = pytest.ExitCode.INTERNAL_ERROR
    try:
        # what is imported already cannot have its assertions rewritten, of which pytest warns
        options = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
        code = pytest.main([*options, *(f"tests/{name}" for name in tests.split())])
    finally:
        os._exit(code)


def read_table() -> list[tuple[str, str, str, str, str]]:
    """Read the table: part, its tests, file, text, text instead.

    Raises:
        SystemExit: A text is not there once; before anything runs.
    """
    found, part, tests, file = [], "", "", ""
    for line in MUTATIONS.strip().splitlines():
        if line.startswith("# "):
            part, tests = line[2:].split(": ")
        elif not line.startswith(" "):
            file = line
        else:
            old, new = line.strip().split("  =>  ")
            count = (ROOT / "lightning_avsp" / file).read_text().count(old)
            if count != 1:
                raise SystemExit(f"{file}: {old!r} is there {count} times, once is needed; mend the table")
            found.append((part, tests, file, old, new))
    return found


def caught(copy: Path, file: str, old: str, new: str, tests: str) -> bool:
    """Run a part's tests on a mutated file of the copy, then restore it."""
    path = copy / "lightning_avsp" / file
    text = path.read_text()
    path.write_text(text.replace(old, new))
    code = run_tests(copy, tests)
    path.write_text(text)
    if code not in (0, 1, 2):  # 1: a test failed, 2: the package could not be imported
        raise SystemExit(f"pytest ended with {code} on {tests}")
    return code > 0


def main(chosen: list[str]) -> int:
    """Try every mutation of the chosen parts, or of all."""
    table = [row for row in read_table() if not chosen or row[0] in chosen]
    # once for all forks, and not by the processes that tests spawn, which import this file again
    import lightning.pytorch  # noqa: F401
    import torchvision  # noqa: F401

    survivors, before = 0, ""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "repository"
        copy.mkdir()
        # python -m pytest imports from the folder that it is started in
        for name in ("lightning_avsp", "tests", "benchmarks", "experiments", "pyproject.toml"):
            source = ROOT / name
            shutil.copytree(source, copy / name) if source.is_dir() else shutil.copy(source, copy / name)
        if (ROOT.parent / "shared").is_dir():
            (copy.parent / "shared").symlink_to(ROOT.parent / "shared")
        for part, tests, file, old, new in table:
            if tests != before and (code := run_tests(copy, tests)):
                raise SystemExit(f"pytest ended with {code} on {tests} without any mutation")
            before = tests
            if not caught(copy, file, old, new, tests):
                survivors += 1
                print(f"not caught by the tests of {part}: {file}: {old}  =>  {new}", flush=True)
    print(f"{len(table) - survivors} of {len(table)} caught")
    return int(survivors > 0.05 * len(table))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
