"""What a recording is like as a file, for those who look at a corpus."""

import dataclasses

import numpy as np

from keras_ds2.audio.io import AudioFile

FULL_SCALE = 1 - 2**-15
"""The largest value of 16-bit samples: a sample that reaches it may have been cut off there."""


@dataclasses.dataclass(frozen=True, slots=True)
class SoundFacts:
    """What a recording is like.

    Attributes:
        audio_format: `"WAV"` and the like.
        sampling_rate: int, Hz, the file's own.
        channels: int.
        seconds: how long it truly is.
        clipped_share: share of its samples at full scale, in the mean of the channels.
    """

    audio_format: str
    sampling_rate: int
    channels: int
    seconds: float
    clipped_share: float


def sound_facts(file: AudioFile) -> SoundFacts:
    """Measures a recording."""
    return SoundFacts(
        file.audio_format,
        file.sampling_rate,
        file.channels,
        len(file.waveform) / file.sampling_rate,
        float(np.mean(np.abs(file.waveform) >= FULL_SCALE)),
    )
