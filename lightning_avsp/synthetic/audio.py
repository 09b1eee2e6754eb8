"""Audio: the tone of the sounding object, unrelated music, or silence, above the same noise floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lightning_avsp.synthetic.scene import Scene
from lightning_avsp.synthetic.spec import SyntheticSpec

FLOOR = 0.003
"""Standard deviation of the noise in all audio, full scale being 1."""
MUSIC_NOISE = 0.02
"""Standard deviation of the further noise under music."""
RAMP = 0.015
"""Seconds in which a tone swells and dies away, so that a switch does not click."""
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
