"""What changes a training utterance each time it is heard, in graph and repeatable by seed."""

import dataclasses
import math

import tensorflow as tf

from keras_ds2.audio.augmentation import (
    add_noise_at_snr,
    pink_noise,
    random_excerpt,
    random_gain,
    random_shift,
    random_speed,
    reverberate,
    slowest_speed,
    white_noise,
)
from keras_ds2.data.recordings import Recordings
from keras_ds2.features import spec_augment
from keras_ds2.features.vocal_tract import random_vocal_tract, random_vocal_tract_of_bins

NOISE_COLORS = {"white": white_noise, "pink": pink_noise}
_QUIET_FRAME_MS = 10


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Augmentation of waveforms, in this order, then of features; all off unless set.

    Attributes:
        speed: `(min, max)` of whole hundredths: 1.1 = a tenth faster and higher, as a tape played
            faster.
        shift_ms: `(min, max)`, below 0 starts earlier, above later, see `random_shift`.
        rir_share: share of utterances that are played in a room.
        rir_recordings: the rooms' impulse responses.
        noise_share: share of utterances that noise is added to.
        noise_snr_db: `(min, max)` signal-to-noise ratio of that noise, dB.
        noise_recordings: what noise is a stretch of; None for made-up noise.
        noise_color: of made-up noise, "white" or "pink".
        gain_db: `(min, max)` gain after the noise, dB, then clipped to full scale; features of
            normalised power undo a gain that does not overload.
        vocal_tract: `(min, max)` length of the vocal tract over the speaker's own, of cepstra that
            were read, see `random_vocal_tract`, or of log-spectrograms, see
            `random_vocal_tract_of_bins`.
        time_warp: `(min, max)` rate of the features, 1.1 = a tenth faster; one an utterance.
        gaussian_noise_stddev: deviation of noise on the features.
        time_masks: masks in time an utterance.
        time_mask_max_frames: longest mask in time, frames.
        frequency_masks: masks in frequency an utterance.
        frequency_mask_max_bins: widest mask in frequency, bins.

    Raises:
        ValueError: for a share without what it needs, or an unknown colour.
    """

    speed: tuple[float, float] | None = None
    shift_ms: tuple[float, float] | None = None
    rir_share: float = 0.0
    rir_recordings: Recordings | None = None
    noise_share: float = 0.0
    noise_snr_db: tuple[float, float] | None = None
    noise_recordings: Recordings | None = None
    noise_color: str = "white"
    gain_db: tuple[float, float] | None = None
    vocal_tract: tuple[float, float] | None = None
    time_warp: tuple[float, float] | None = None
    gaussian_noise_stddev: float = 0.0
    time_masks: int = 0
    time_mask_max_frames: int | None = None
    frequency_masks: int = 0
    frequency_mask_max_bins: int | None = None

    def __post_init__(self):
        if self.noise_share and self.noise_snr_db is None:
            raise ValueError(f"noise_share {self.noise_share}: expected noise_snr_db beside it")
        if self.rir_share and self.rir_recordings is None:
            raise ValueError(f"rir_share {self.rir_share}: expected rir_recordings beside it")
        if self.noise_color not in NOISE_COLORS:
            known = ", ".join(NOISE_COLORS)
            raise ValueError(f"noise_color: expected one of {known}, received {self.noise_color!r}")

    def longest(self, frames, window_frames):
        """The most frames that an utterance of this many can have afterwards.

        Args:
            frames: int > 0.
            window_frames: float, the length of a frame's window over the hop to the next one's.
        """
        if self.speed is not None:
            # It stretches the waveform, of fewer than `frames + window_frames` hops.
            hops = (frames + window_frames) / slowest_speed(self.speed[0])
            frames = math.ceil(hops - window_frames) + 1
        if self.time_warp is not None:
            frames = math.ceil(frames / self.time_warp[0])
        return frames

    def augment_waveform(self, waveform, seed, sampling_rate):
        """Augments one waveform.

        Args:
            waveform: float32 `(samples,)`.
            seed: int32 `(2,)`.
            sampling_rate: int, Hz, of the waveform and of the recordings.

        Returns:
            float32 `(samples,)`, of other length after `speed`.
        """
        # A new augmentation takes the next seed, so that the others go on as they were.
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 8))
        if self.speed is not None:
            waveform = random_speed(waveform, seeds[4], *self.speed)
        if self.shift_ms is not None:
            bounds = [round(ms * sampling_rate / 1000) for ms in self.shift_ms]
            frame = max(sampling_rate * _QUIET_FRAME_MS // 1000, 1)
            waveform = random_shift(waveform, seeds[5], *bounds, frame)
        if self.rir_share:
            waveform = _for_a_share(self.rir_share, seeds[6], self._play_in_a_room, waveform, seeds)
        if self.noise_share:
            waveform = _for_a_share(self.noise_share, seeds[2], self._add_noise, waveform, seeds)
        if self.gain_db is not None:
            waveform = random_gain(waveform, seeds[3], *map(float, self.gain_db))
        return waveform

    def _play_in_a_room(self, waveform, seeds):
        return reverberate(waveform, self.rir_recordings.draw(seeds[7]))

    def _add_noise(self, waveform, seeds):
        samples = tf.size(waveform)
        if self.noise_recordings is None:
            noise = NOISE_COLORS[self.noise_color](samples, seeds[0])
        else:
            which, where = tf.unstack(tf.random.experimental.stateless_split(seeds[0], 2))
            noise = random_excerpt(self.noise_recordings.draw(which), where, samples)
        snr_db = tf.random.stateless_uniform([], seeds[1], *map(float, self.noise_snr_db))
        return add_noise_at_snr(waveform, noise, snr_db)

    def augment_cepstra(self, cepstra, seed):
        """Augments one utterance's precomputed features, before anything is made of them.

        Args:
            cepstra: float32 `(frames, num_bins)`.
            seed: int32 `(2,)`.

        Returns:
            float32 `(frames, num_bins)`.
        """
        if self.vocal_tract is not None:
            cepstra = random_vocal_tract(cepstra, seed, *map(float, self.vocal_tract))
        return cepstra

    def augment_spectrogram(self, spectrogram, seed):
        """Augments one utterance's log-spectrogram, before differences and normalisation.

        Args:
            spectrogram: float32 `(..., frames, bins)`.
            seed: int32 `(2,)`.

        Returns:
            float32, the shape of `spectrogram`.
        """
        if self.vocal_tract is not None:
            bounds = map(float, self.vocal_tract)
            spectrogram = random_vocal_tract_of_bins(spectrogram, seed, *bounds)
        return spectrogram

    def augment_features(self, features, seed):
        """Augments one utterance's features.

        Args:
            features: float32 `(frames, bins)`, normalised: masks write 0.
            seed: int32 `(2,)`.

        Returns:
            float32 `(frames, bins)`, of other length after `time_warp`.
        """
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
        if self.time_warp is not None:
            features = spec_augment.time_warp(features, seeds[0], *map(float, self.time_warp))
        if self.gaussian_noise_stddev:
            features = spec_augment.gaussian_noise(features, seeds[1], self.gaussian_noise_stddev)
        if self.time_masks:
            features = spec_augment.time_mask(
                features, seeds[2], self.time_masks, self.time_mask_max_frames, max_fraction=0.5
            )
        if self.frequency_masks:
            features = spec_augment.frequency_mask(
                features, seeds[3], self.frequency_masks, self.frequency_mask_max_bins
            )
        return features


def _for_a_share(share, seed, change, waveform, seeds):
    """Changes a share of the waveforms; the work is done for those alone."""
    drawn = tf.random.stateless_uniform([], seed) < share
    return tf.cond(
        drawn, lambda: change(waveform, seeds), lambda: tf.convert_to_tensor(waveform, tf.float32)
    )
