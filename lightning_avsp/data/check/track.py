"""The sound of a video against its pictures: there, long enough, at a usual rate, not silent."""

from __future__ import annotations

from lightning_avsp.data.check.films import inspect_track
from lightning_avsp.data.check.sound import inspect_sound
from lightning_avsp.data.check.video_files import Thoroughness, VideoFiles, VideoFindings

#: Sound may miss its film's duration by so much unnoticed (seconds, frames), and by so much with a warning.
SHORT_SECONDS, SHORT_FRAMES = 0.1, 2
SHORT_ERROR_SECONDS, SHORT_ERROR_SHARE = 1.0, 0.1
LONG_SECONDS, LONG_SHARE = 1.0, 0.05
#: Rates outside are unusual for these corpora: log-mel input uses 16 kHz, and waveform input was built for 22.05 kHz.
LOWEST_RATE, HIGHEST_RATE = 16_000, 22_050

_SOUND_FILES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")


def check_track(files: VideoFiles, frames: int, thoroughness: Thoroughness, findings: VideoFindings) -> None:
    """Faults of a video's sound; rates are compared within the corpus later.

    Args:
        files: The video; ``wave`` must be given.
        frames: Frames that the sound has to last for.
        thoroughness: How closely to look.
        findings: Where faults are added.
    """
    wave = files.wave
    assert wave is not None
    if not wave.is_file():
        findings.add("sound_missing", wave, "no such file")
        return
    in_film = wave.suffix.lower() not in _SOUND_FILES
    listen = thoroughness != "quick"
    state = inspect_track(wave, listen) if in_film else inspect_sound(wave, listen)
    findings.rate, findings.channels, findings.wave = state.rate, state.channels, wave
    if state.problem:
        findings.add("sound_unreadable", wave, state.problem)
        return
    wanted = frames / files.fps
    lacking = wanted - state.seconds
    text = f"{state.seconds:.2f} s of sound, {frames} frames at {files.fps:g}/s last {wanted:.2f} s"
    if lacking > max(SHORT_SECONDS, SHORT_FRAMES / files.fps):
        bad = lacking > SHORT_ERROR_SECONDS or lacking > SHORT_ERROR_SHARE * wanted
        findings.add("sound_short", wave, text, "error" if bad else "warning")
    elif -lacking > max(LONG_SECONDS, LONG_SHARE * wanted):
        findings.add("sound_long", wave, text)
    # In films 44.1 and 48 kHz are what one expects, and the sound is resampled in any case.
    if not in_film and not LOWEST_RATE <= state.rate <= HIGHEST_RATE:
        side = f"above {HIGHEST_RATE}" if state.rate > HIGHEST_RATE else f"below {LOWEST_RATE}"
        findings.add("sound_rate", wave, f"{state.rate} Hz, {side}")
    if state.silent and not files.silent:
        findings.add("sound_silent", wave, f"nothing in {state.seconds:.2f} s")
