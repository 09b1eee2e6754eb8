"""Moving discs: objects of a video, their tracks and rendering, and the audio of the one that sounds at each time.

All audio, the tone of the sounding object, unrelated music, or silence, lies above the same noise floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist

from lightning_avsp.synthetic.spec import COLOURS, PITCHES, Condition, SyntheticSpec

STEP = 0.02  # seconds: between frames of 12.5 or 30 a second an object hardly turns
TURN = 0.06
"""Standard deviation of the change of heading per step, in radians."""
BORDER = 9.0
"""Distance from the frame's border where objects bounce, in recipe pixels."""
REPEL = 20.0
"""Distance between centres where objects turn away from each other, in recipe pixels."""
APART = 24.0
"""Least distance between centres at the start, in recipe pixels."""
FAST = (26.0, 34.0)
"""Speed of the one fast object, in recipe pixels per second."""
SLOW = (6.0, 11.0)
"""Speed of the other objects, in recipe pixels per second."""
RADIUS = (6.0, 8.0)
"""Radius of the objects, in recipe pixels."""
SWITCH = (1.2, 3.0)
"""Seconds that one object sounds before another takes over."""
TEXTURE = 12.0
"""Standard deviation of the background's smooth texture, in grey levels."""
BLOCK = 16  # frames rendered at once: bounds the memory of large frames


@dataclass(frozen=True)
class Objects:
    """Objects of one video, and when each of them sounds. ``n`` objects."""

    condition: Condition
    """Cue that observers follow."""
    kinds: NDArray[np.int64]
    """Colour and pitch of each object by index in ``COLOURS`` and ``PITCHES``, red 220 Hz first: (n,)."""
    pitches: NDArray[np.float64]
    """Fundamental of each object in Hz, jittered: (n,)."""
    radii: NDArray[np.float64]
    """Radius of each object in pixels: (n,)."""
    speeds: NDArray[np.float64]
    """Speed of each object in pixels per second, constant: (n,)."""
    switch_times: NDArray[np.float64]
    """Seconds at which an object begins to sound, the first 0: (K,); empty unless sound decides."""
    switch_objects: NDArray[np.int64]
    """Object that begins to sound then: (K,)."""

    @property
    def fastest(self) -> int:
        """Index of the fast object."""
        return int(self.speeds.argmax())


@dataclass(frozen=True)
class Scene(Objects):
    """Objects with their looks and tracks."""

    colours: NDArray[np.float64]
    """RGB of each object, jittered: (n, 3)."""
    path: NDArray[np.float64]
    """Centres every :data:`STEP` seconds from 0 on, as (x, y) in pixels: (S, n, 2)."""

    def positions(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Centres at given times, interpolated; before 0 the first, after the end the last.

        Args:
            times: Seconds, any shape.

        Returns:
            (x, y) in pixels: ``times.shape`` + (n, 2).
        """
        step = np.clip(times / STEP, 0, len(self.path) - 1)
        low = np.minimum(step.astype(int), len(self.path) - 2)
        part = (step - low)[..., None, None]
        return self.path[low] * (1 - part) + self.path[low + 1] * part

    def sounding(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Object that sounds at given times, -1 for none; before 0 the first one.

        Args:
            times: Seconds, any shape.
        """
        if len(self.switch_times) == 0:
            return np.full(times.shape, -1)
        index = np.searchsorted(self.switch_times, times, side="right") - 1
        return self.switch_objects[np.maximum(index, 0)]

    def attended(self, times: NDArray[np.float64], latency: NDArray[np.float64]) -> NDArray[np.int64]:
        """Object that an observer without lapses follows: the one that sounded ``latency`` ago, else the fastest.

        Args:
            times: Seconds.
            latency: Seconds, broadcast against ``times``.
        """
        sounded = self.sounding(times - latency)
        return np.where(sounded < 0, self.fastest, sounded)


def make_scene(spec: SyntheticSpec, condition: Condition, rng: np.random.Generator) -> Scene:
    """Draw the objects of a video, move them, and choose the times at which they sound.

    Sound is drawn independently of speed and position, so that nothing visible shows which object sounds.
    """
    n = 3 if rng.random() < spec.three_objects else 2
    kinds = rng.permutation(len(PITCHES))[:n]
    colours = np.array(COLOURS, dtype=float)[kinds] + rng.uniform(-10, 10, (n, 3))
    pitches = np.array(PITCHES)[kinds] * 2.0 ** (rng.normal(0, 0.15, n) / 12)
    radii = rng.uniform(*RADIUS, n) * spec.scale
    speeds = rng.uniform(*SLOW, n)
    speeds[rng.integers(n)] = rng.uniform(*FAST)  # one stands out where no sound decides
    speeds *= spec.scale
    # before sound is drawn, and independent of it: nothing visible may tell which object sounds
    path = _move(spec, speeds, rng)
    times: list[float] = []
    objects: list[int] = []
    if condition == "sound":
        now, current = 0.0, int(rng.integers(n))
        while now < spec.seconds:  # never silent: another object takes over at once
            times.append(now)
            objects.append(current)
            now += rng.uniform(*SWITCH)
            current = (current + int(rng.integers(1, n))) % n
    switches = np.array(times), np.array(objects, dtype=np.int64)
    return Scene(condition, kinds, pitches, radii, speeds, *switches, colours, path)


def _move(spec: SyntheticSpec, speeds: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Tracks of all objects, (S, n, 2): random headings, bounces at the border, no meetings."""
    height, width = spec.size
    n, scale = len(speeds), spec.scale
    border = BORDER * scale
    low, high = (border, border), (width - 1 - border, height - 1 - border)
    start = rng.uniform(low, high, (n, 2))
    # Two of three discs can lie so that the third has no room, hence all are drawn anew
    while n > 1 and pdist(start).min() < APART * scale:
        start = rng.uniform(low, high, (n, 2))
    steps = math.ceil(spec.frames / spec.fps / STEP) + 1
    turns = rng.normal(0, TURN, (steps, n)).tolist()
    heading = rng.uniform(-math.pi, math.pi, n).tolist()
    # plain numbers: on pairs numpy's overhead is larger than the arithmetic
    at = start.tolist()
    stride = (speeds * STEP).tolist()
    path = np.empty((steps + 1, n, 2))
    path[0] = start
    for step in range(steps):
        for i in range(n):
            heading[i] += turns[step][i]
            dx, dy = math.cos(heading[i]), math.sin(heading[i])
            for j in range(n):
                gap_x, gap_y = at[i][0] - at[j][0], at[i][1] - at[j][1]
                gap = math.hypot(gap_x, gap_y)
                towards = gap_x * dx + gap_y * dy
                if i != j and gap < REPEL * scale and towards < 0:  # mirror the part that leads to the other
                    dx -= 2 * towards * gap_x / gap**2
                    dy -= 2 * towards * gap_y / gap**2
            x, y = at[i][0] + dx * stride[i], at[i][1] + dy * stride[i]
            if not low[0] <= x <= high[0]:
                dx, x = -dx, min(max(x, low[0]), high[0])
            if not low[1] <= y <= high[1]:
                dy, y = -dy, min(max(y, low[1]), high[1])
            heading[i] = math.atan2(dy, dx)
            at[i] = [x, y]
        path[step + 1] = at
    return path


def render(spec: SyntheticSpec, scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Frames of a scene: shaded discs on a static smooth texture, with camera noise.

    Returns:
        RGB frames: uint8 (T, H, W, 3).
    """
    height, width = spec.size
    # static, so that motion is of the objects alone
    texture = gaussian_filter(rng.standard_normal((height, width)), 6 * spec.scale)[..., None]
    background = rng.uniform(70, 150, 3) + TEXTURE * texture / texture.std()
    centres = scene.positions(np.arange(spec.frames) / spec.fps)
    reach = math.ceil(scene.radii.max()) + 2
    padded = np.pad(background, ((reach, reach), (reach, reach), (0, 0))).astype(np.float32)
    frames = np.empty((spec.frames, height, width, 3), np.uint8)
    for first in range(0, spec.frames, BLOCK):
        block = centres[first : first + BLOCK]
        canvas = np.repeat(padded[None], len(block), axis=0)
        for i in range(len(scene.radii)):
            _paint(canvas, block[:, i] + reach, float(scene.radii[i]), scene.colours[i], reach)
        image = canvas[:, reach : reach + height, reach : reach + width]
        image = image + spec.pixel_noise * rng.standard_normal(image.shape, dtype=np.float32)
        frames[first : first + BLOCK] = np.clip(np.rint(image), 0, 255)
    return frames


def _paint(
    canvas: NDArray[np.float32],
    centres: NDArray[np.float64],
    radius: float,
    colour: NDArray[np.float64],
    reach: int,
) -> None:
    """Blend one disc into every frame of ``canvas`` (B, H, W, 3) at ``centres`` (B, 2) in canvas pixels."""
    corner = np.floor(centres).astype(int) - reach + 1
    steps = np.arange(2 * reach)
    rows = corner[:, 1, None] + steps  # (B, P)
    columns = corner[:, 0, None] + steps
    squared = (rows - centres[:, 1, None])[:, :, None] ** 2 + (columns - centres[:, 0, None])[:, None, :] ** 2
    distance = np.sqrt(squared)  # (B, P, P)
    cover = np.clip(radius + 0.5 - distance, 0, 1)[..., None].astype(np.float32)
    shade = 1 - 0.35 * np.minimum(distance / radius, 1) ** 2
    paint = (shade[..., None] * colour).astype(np.float32)
    where = (np.arange(len(centres))[:, None, None], rows[:, :, None], columns[:, None, :])
    canvas[where] = canvas[where] * (1 - cover) + paint * cover


FLOOR = 0.003
"""Standard deviation of the noise in all audio, full scale being 1."""
MUSIC_NOISE = 0.02
"""Standard deviation of the further noise under music."""
RAMP = 0.015  # seconds: a tone that starts at once would click, and clicks have every pitch
HARMONICS = (1.0, 0.5, 0.25)
"""Amplitudes of fundamental, second and third harmonic of an object's tone."""
NOTES = tuple(
    round(octave * step, 2)
    for octave in (1, 2, 4)
    for step in (130.8128, 146.8324, 164.8138, 174.6141, 195.9977)  # C3 D3 E3 F3 G3
)
"""Notes of the music in Hz: C, D, E, F, G in three octaves; none within a semitone of an object's pitch."""


def make_audio(spec: SyntheticSpec, scene: Scene, rng: np.random.Generator) -> NDArray[np.int16]:
    """Make the audio of a scene, exactly as long as its frames.

    Returns:
        Mono 16-bit samples at ``spec.sample_rate``: int16 (N,).
    """
    if scene.condition == "sound":
        wave = _tones(spec, scene, rng)
    elif scene.condition == "music":
        wave = _music(spec, rng)
    else:
        wave = np.zeros(spec.samples)
    wave += FLOOR * rng.standard_normal(spec.samples)  # silence of zeros would betray itself
    return np.rint(np.clip(wave, -1, 1) * 32767).astype(np.int16)


def _tones(spec: SyntheticSpec, scene: Scene, rng: np.random.Generator) -> NDArray[np.float64]:
    """Tremolo tone of the sounding object: (N,)."""
    wave = np.zeros(spec.samples)
    edges = [*(round(time * spec.sample_rate) for time in scene.switch_times), spec.samples]
    for k, who in enumerate(scene.switch_objects):
        first, last = edges[k], min(edges[k + 1], spec.samples)
        if last <= first:
            continue
        time = np.arange(last - first) / spec.sample_rate
        tone = np.zeros(last - first)
        for harmonic, weight in enumerate(HARMONICS, start=1):
            phase = rng.uniform(0, 2 * np.pi)  # or all tones would start alike
            tone += weight * np.sin(2 * np.pi * harmonic * scene.pitches[who] * time + phase)
        tremolo = 0.65 + 0.35 * np.sin(2 * np.pi * rng.uniform(3, 6) * time + rng.uniform(0, 2 * np.pi))
        ramp = np.minimum(1, np.minimum(time, time[::-1]) / RAMP)
        wave[first:last] = rng.uniform(0.12, 0.3) * tone * tremolo * ramp
    return wave


def _music(spec: SyntheticSpec, rng: np.random.Generator) -> NDArray[np.float64]:
    """Chords of four notes that have nothing to do with the objects: (N,)."""
    wave = MUSIC_NOISE * rng.standard_normal(spec.samples)
    first = 0
    while first < spec.samples:
        last = min(first + round(rng.uniform(0.4, 0.9) * spec.sample_rate), spec.samples)
        time = np.arange(last - first) / spec.sample_rate
        chord = np.zeros(last - first)
        for note in rng.choice(NOTES, size=4, replace=False):
            # The octave is the only overtone: a third harmonic of D would sound as the green object's pitch
            for multiple, weight in ((1, 1.0), (2, 0.5)):
                phase = rng.uniform(0, 2 * np.pi)
                chord += weight * np.sin(2 * np.pi * multiple * note * time + phase)
        ramp = np.minimum(1, np.minimum(time, time[::-1]) / RAMP)
        wave[first:last] += rng.uniform(0.05, 0.12) * chord * np.exp(-time / rng.uniform(0.3, 0.6)) * ramp
        first = last
    return wave
