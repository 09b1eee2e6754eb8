"""Objects and observers: where they go, what they look and sound like, and who follows them."""

from __future__ import annotations

import wave
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from lightning_avsp.errors import InputError
from lightning_avsp.synthetic import SyntheticSpec, SynthReport, VideoRecord, read_video_record
from lightning_avsp.synthetic.packages import assign_conditions
from lightning_avsp.synthetic.record import (
    ANYWHERE,
    ON_CENTRE,
    ON_OTHER,
    ON_TARGET,
    draw_video,
    gaze_pixels,
    saliency_maps,
)
from lightning_avsp.synthetic.scene import BORDER, FLOOR, NOTES, SWITCH, make_audio
from lightning_avsp.synthetic.spec import COLOURS, PITCHES, Condition

SPEC = SyntheticSpec()


def draw(spec: SyntheticSpec, condition: Condition, index: int) -> VideoRecord:
    return draw_video(spec, condition, 0, "AVAD", index)[1]


def sound_of(spec: SyntheticSpec, condition: Condition, index: int) -> np.ndarray:
    scene, _, (_, rng) = draw_video(spec, condition, 0, "AVAD", index)
    return make_audio(spec, scene, rng) / 32767


def loudness(sound: np.ndarray, pitch: float, rate: int) -> float:
    """Amplitude at a pitch, over half a semitone to either side."""
    time = np.arange(len(sound)) / rate
    window = np.hanning(len(sound))
    pitches = pitch * 2.0 ** (np.linspace(-0.5, 0.5, 5) / 12)
    return max(abs(np.sum(sound * window * np.exp(-2j * np.pi * p * time))) for p in pitches) / window.sum()


@pytest.mark.parametrize("size", [(64, 112), (64, 128), (224, 384), (120, 90), (32, 200)])
def test_objects_stay_inside_apart_and_at_their_speed(size: tuple[int, int]) -> None:
    spec = replace(SPEC, size=size)
    for index in range(8):
        record = draw(spec, "sound", index)
        edge = BORDER * spec.scale - 1e-9
        assert record.positions[..., 0].min() >= edge
        assert record.positions[..., 1].min() >= edge
        assert record.positions[..., 0].max() <= size[1] - 1 - edge
        assert record.positions[..., 1].max() <= size[0] - 1 - edge
        gaps = np.linalg.norm(record.positions[:, :, None] - record.positions[:, None], axis=-1)
        gaps = gaps[:, ~np.eye(gaps.shape[1], dtype=bool)]
        assert gaps[0].min() >= 24 * spec.scale
        assert gaps.min() > 16 * spec.scale  # twice the largest radius: discs never cover each other
        moved = np.linalg.norm(np.diff(record.positions, axis=0), axis=-1) * spec.fps
        # a frame's way is a little shorter where a track turns
        assert moved.max(axis=0) == pytest.approx(record.speeds, rel=0.02)
        assert np.median(moved, axis=0) == pytest.approx(record.speeds, rel=0.05)
        speeds = np.sort(record.speeds / spec.scale)
        assert 26 <= speeds[-1] <= 34
        assert 6 <= speeds[0] <= speeds[-2] <= 11


def test_the_same_scene_is_larger_in_a_larger_frame_and_hides_its_condition() -> None:
    small, large = (draw(replace(SPEC, size=size), "sound", 0) for size in ((64, 112), (256, 448)))
    assert large.radii == pytest.approx(4 * small.radii)
    assert large.speeds == pytest.approx(4 * small.speeds)
    # the same seed gives the same objects and tracks whatever decides: frames cannot betray it
    sound, silent = draw(SPEC, "sound", 4), draw(SPEC, "silent", 4)
    assert np.array_equal(sound.positions, silent.positions)
    assert np.array_equal(sound.kinds, silent.kinds)
    assert assign_conditions(SPEC, 4)[3] == "silent"


def test_objects_take_turns_in_sounding() -> None:
    records = [draw(SPEC, "sound", index) for index in range(60)]
    counts = [len(record.radii) for record in records]
    assert 0.4 <= counts.count(3) / 60 <= 0.8
    assert set(counts) == {2, 3}
    for record in records:
        assert record.switch_times[0] == 0
        lengths = np.diff(record.switch_times)
        assert lengths.min() >= SWITCH[0]
        assert lengths.max() <= SWITCH[1]
        assert (np.diff(record.switch_objects) != 0).all()
        index = np.searchsorted(record.switch_times, np.arange(100) / 12.5, side="right") - 1
        assert np.array_equal(record.sounding, record.switch_objects[index])
    for condition in ("music", "silent"):
        quiet = draw(SPEC, condition, 0)
        assert (quiet.sounding == -1).all()
        assert (quiet.attended == quiet.fastest).all()


def test_in_every_frame_the_pitch_heard_is_that_of_the_colour_of_the_sounding_object(
    avad: SynthReport,
) -> None:
    checked = 0
    for name in avad.names:
        record = read_video_record(avad.root, "AVAD", name)
        if record.condition != "sound":
            continue
        with wave.open(str(avad.root / f"video_audio/AVAD/{name}/{name}.wav")) as file:
            rate = file.getframerate()
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
        for frame in range(1, len(record.sounding) - 1):
            time = frame / 12.5
            if np.abs(record.switch_times - time).min() < 0.06:
                continue
            excerpt = sound[round((time - 0.04) * rate) : round((time + 0.04) * rate)]
            heard = int(np.argmax([loudness(excerpt, pitch, rate) for pitch in PITCHES]))
            path = avad.root / f"video_frames/AVAD/{name}/img_{frame + 1:05d}.jpg"
            image = np.asarray(Image.open(path)).astype(float)
            x, y = record.positions[frame, record.sounding[frame]].round().astype(int)
            colour = image[y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1))
            seen = int(np.argmin([np.linalg.norm(colour - c) for c in COLOURS]))
            assert heard == seen == record.kinds[record.sounding[frame]]
            checked += 1
    assert checked > 100


def test_silence_is_the_noise_floor_that_all_sound_tracks_have() -> None:
    silent = sound_of(SPEC, "silent", 0)
    # of 128,000 samples: six standard deviations of their noise, whose own is known to .2 %
    assert silent.std() == pytest.approx(FLOOR, rel=0.03)
    assert np.abs(silent).max() < 6 * FLOOR
    for condition in ("sound", "music"):
        sound = sound_of(SPEC, condition, 0)
        assert np.abs(sound).max() < 1  # nothing clips
        assert sound.std() > 10 * FLOOR
        assert (sound != 0).mean() > 0.98  # the floor is under everything


def test_music_has_notes_but_none_of_the_pitches() -> None:
    for note in NOTES:
        for pitch in PITCHES:
            assert abs(12 * np.log2(note / pitch)) > 1
    for index in range(3):
        spectrum = np.abs(np.fft.rfft(sound_of(SPEC, "music", index)))
        frequency = np.fft.rfftfreq(SPEC.samples, 1 / SPEC.sample_rate)
        at_notes = max(spectrum[np.abs(frequency - note) < 2].max() for note in NOTES)
        for pitch in PITCHES:
            assert spectrum[np.abs(12 * np.log2(np.maximum(frequency, 1) / pitch)) < 0.3].max() < at_notes / 8


NONSENSE: dict[str, object] = {"size": (8, 64), "annotation_size": (480, 2), "shares": (0.5, 0.2, 0.2)}
NONSENSE |= {"fps": 0.0, "seconds": 0.05, "sample_rate": 4000, "observers": 1, "three_objects": 1.5}
NONSENSE |= {"lapse": 0.95, "latency": -0.1, "map_sigma": 0.0, "jpeg_quality": 10}


def test_a_spec_survives_its_dictionary_and_refuses_nonsense() -> None:
    spec = replace(SPEC, annotation_size=(480, 640), fps=29.97)
    assert SyntheticSpec.from_dict(spec.to_dict()) == spec
    assert spec.frames == 240
    with pytest.raises(InputError, match="'tempo', which SyntheticSpec does not accept"):
        SyntheticSpec.from_dict({"tempo": 1})
    for name, value in NONSENSE.items():
        with pytest.raises(InputError, match="frames=1" if name == "seconds" else name):
            replace(SPEC, **{name: value})


def test_observers_follow_the_sound_after_their_latency() -> None:
    for index in range(10):
        record = draw(SPEC, "sound", index)
        times = np.arange(SPEC.frames) / SPEC.fps
        for time, old, new in zip(
            record.switch_times[1:], record.switch_objects, record.switch_objects[1:], strict=False
        ):
            early = (times >= time) & (times < time + 0.08)
            late = (times > time + 0.4) & (times < time + 1.2)
            assert (record.gaze_target[early] == old).all()
            assert (record.gaze_target[late] == new).all()


def test_observers_without_noise_or_lapses_look_where_the_object_was_a_frame_ago() -> None:
    spec = replace(SPEC, gaze_noise=0.0, lapse=0.0, centre_lapse=0.0)
    record = draw(spec, "sound", 0)
    before = record.positions[:-1][np.arange(99)[:, None], record.gaze_target[1:]]
    centre = np.array([127 / 2, 63 / 2])
    assert record.gaze[1:] == pytest.approx(centre + 0.96 * (before - centre))
    gaze = draw(SPEC, "sound", 0).gaze
    assert (gaze >= 0).all()
    assert (gaze <= [127, 63]).all()
    assert np.array_equal(gaze_pixels(SPEC, gaze)[..., ::-1], np.floor(gaze + 0.5))


def test_lapses_have_their_shares_and_last() -> None:
    records = [draw(SPEC, "sound", index) for index in range(60)]
    modes = np.concatenate([record.gaze_mode.ravel() for record in records])
    shares = [float((modes == mode).mean()) for mode in (ON_TARGET, ON_OTHER, ANYWHERE, ON_CENTRE)]
    # of 24,000 lapses that may begin: a standard error of .0024
    assert shares == pytest.approx([0.84, 0.05, 0.05, 0.06], abs=0.01)
    for record in records[:3]:  # a lapse may begin only every 4 frames
        assert (record.gaze_mode.reshape(25, 4, 16) == record.gaze_mode.reshape(25, 4, 16)[:, :1]).all()


@pytest.mark.parametrize("annotation_size", [None, (96, 128)])
def test_maps_are_blurred_fixation_counts_with_peak_255(annotation_size: tuple[int, int] | None) -> None:
    spec = replace(SPEC, annotation_size=annotation_size)
    record = draw(spec, "sound", 1)
    rows, columns = spec.map_size
    maps = saliency_maps(spec, record.fixations[:5])
    for frame in range(5):
        counts = np.zeros((rows, columns))
        np.add.at(counts, tuple(record.fixations[frame].T), 1)
        sigma = (4.0 * rows / 64, 4.0 * columns / 128)
        blurred = gaussian_filter(counts, sigma, mode="constant", truncate=8)
        assert maps[frame] == pytest.approx(255 * blurred / blurred.max(), abs=0.51)  # in whole levels
        assert maps[frame].max() == 255
