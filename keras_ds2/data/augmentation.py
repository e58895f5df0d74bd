"""What changes a training utterance each time it is heard, in graph and repeatable by seed."""

import dataclasses
import math

import tensorflow as tf

from keras_ds2.audio.augmentation import (
    add_noise_at_snr,
    random_gain,
    random_speed,
    slowest_speed,
)
from keras_ds2.features import spec_augment


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Augmentation of waveforms, then of features; all off unless set.

    Attributes:
        speed: `(min, max)` of whole hundredths: 1.1 = a tenth faster and higher, as a tape played
            faster.
        white_noise_share: share of utterances that white noise is added to.
        noise_snr_db: `(min, max)` signal-to-noise ratio of that noise, dB.
        gain_db: `(min, max)` gain after the noise, dB, then clipped to full scale; features of
            normalised power undo a gain that does not overload.
        time_warp: `(min, max)` rate of the features, 1.1 = a tenth faster; one an utterance.
        gaussian_noise_stddev: deviation of noise on the features.
        time_masks: masks in time an utterance.
        time_mask_max_frames: longest mask in time, frames.
        frequency_masks: masks in frequency an utterance.
        frequency_mask_max_bins: widest mask in frequency, bins.
    """

    speed: tuple[float, float] | None = None
    white_noise_share: float = 0.0
    noise_snr_db: tuple[float, float] | None = None
    gain_db: tuple[float, float] | None = None
    time_warp: tuple[float, float] | None = None
    gaussian_noise_stddev: float = 0.0
    time_masks: int = 0
    time_mask_max_frames: int | None = None
    frequency_masks: int = 0
    frequency_mask_max_bins: int | None = None

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

    def augment_waveform(self, waveform, seed):
        """Augments one waveform.

        Args:
            waveform: float32 `(samples,)`.
            seed: int32 `(2,)`.

        Returns:
            float32 `(samples,)`, of other length after `speed`.
        """
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5))
        if self.speed is not None:
            waveform = random_speed(waveform, seeds[4], *self.speed)
        if self.white_noise_share and self.noise_snr_db is not None:
            noise = tf.random.stateless_normal(tf.shape(waveform), seeds[0])
            snr_db = tf.random.stateless_uniform([], seeds[1], *map(float, self.noise_snr_db))
            drawn = tf.random.stateless_uniform([], seeds[2]) < self.white_noise_share
            waveform = tf.where(drawn, add_noise_at_snr(waveform, noise, snr_db), waveform)
        if self.gain_db is not None:
            waveform = random_gain(waveform, seeds[3], *map(float, self.gain_db))
        return waveform

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
