"""The log-spectrogram of a waveform, as a Keras layer."""

import math

import keras
import tensorflow as tf

from keras_ds2.features.fourier_product import (
    exact_constant,
    spectrum_by_product,
    zero_that_converters_do_not_know,
)
from keras_ds2.portable import has_fourier_transform
from keras_ds2.sequence import frames_in, mask_to_lengths, zero_masked


@keras.saving.register_keras_serializable(package="keras_ds2")
class LogSpectrogram(keras.layers.Layer):
    """Turns waveforms into log power spectra: frames `hop_ms`, bins `1000 / window_ms` Hz apart.

    Each waveform is first scaled to a root mean square of 1 over its real samples (silence stays
    zero). Then per frame: Hann window (periodic), Fourier transform of the window's own length, and
    `ln(|X|^2 + epsilon)` of its `window // 2 + 1` bins: 161 at 16 kHz, 81 at 8 kHz. Frames hold
    real samples only: `1 + (samples - window) // hop` of them, none where not one window fits.
    Source: Amodei et al., 2015, arXiv:1512.02595: log-spectrograms of power normalised audio, 20 ms
    windows; the 10 ms hop, the Hann window and `ln(x + 1e-14)` from Baidu's ba-dls-deepspeech,
    whose scaling of the power by the rate and the window's energy is left out: but for epsilon it
    adds a constant to each bin, which normalisation takes away.

    Args:
        sampling_rate: int, Hz.
        window_ms: float, length of a frame.
        hop_ms: float, from one frame's start to the next one's.
        power_normalize: bool, scale each waveform to unit power.
        epsilon: float, the power added before the logarithm.

    Call arguments:
        inputs: float `(batch, samples)`, a waveform of full scale -1 to 1.
        mask: bool `(batch, samples)`, True = real sample, real samples first; optional.

    Masking: masked samples change nothing; mask `(batch, frames)` passed on; output zeroed there.
    Output shape: `(batch, frames, bins)`, natural logarithm of power; computed in float32 and cast
    to the compute dtype at the end.

    Raises:
        ValueError: if the rate, the window, the hop or epsilon is not positive, or the window
            holds less than two samples.
    """

    def __init__(
        self,
        sampling_rate=16000,
        window_ms=20.0,
        hop_ms=10.0,
        power_normalize=True,
        epsilon=1e-14,
        **kwargs,
    ):
        kwargs["autocast"] = False  # a waveform of float16 has lost its quiet parts
        super().__init__(**kwargs)
        for name, value in (
            ("sampling_rate", sampling_rate),
            ("window_ms", window_ms),
            ("hop_ms", hop_ms),
            ("epsilon", epsilon),
        ):
            if not value > 0:
                raise ValueError(f"{name}: expected > 0, received {value}")
        self.sampling_rate = int(sampling_rate)
        self.window_ms = float(window_ms)
        self.hop_ms = float(hop_ms)
        self.power_normalize = bool(power_normalize)
        self.epsilon = float(epsilon)
        self.window = round(self.window_ms * self.sampling_rate / 1000.0)
        self.hop = round(self.hop_ms * self.sampling_rate / 1000.0)
        if self.window < 2 or self.hop < 1:
            raise ValueError(
                f"window_ms {self.window_ms} and hop_ms {self.hop_ms} are {self.window} and "
                f"{self.hop} samples at {self.sampling_rate} Hz: expected at least 2 and 1; "
                "take longer ones"
            )
        self.bins = self.window // 2 + 1
        self.supports_masking = True

    def call(self, inputs, mask=None):
        waveform = zero_masked(tf.cast(inputs, tf.float32), mask)
        if self.power_normalize:
            waveform = self._normalize_power(waveform, mask)
        # |X|^2 from its parts: the gradient of abs is not finite at zero.
        power = tf.add_n([tf.square(part) for part in self._spectrum(waveform)])
        features = tf.math.log(power + self._floor(waveform))
        features = zero_masked(features, self.compute_mask(inputs, mask))
        return tf.cast(features, self.compute_dtype)

    def _floor(self, waveform):
        if has_fourier_transform():
            return self.epsilon
        # Next to nothing would be nothing in float16, whose logarithm is not finite.
        unknown = zero_that_converters_do_not_know(waveform)
        return tf.exp(exact_constant(math.log(self.epsilon), unknown))

    def _spectrum(self, waveform):
        """Its real and its imaginary part, `(batch, frames, bins)` each."""
        if has_fourier_transform():
            spectrum = tf.signal.stft(
                waveform,
                frame_length=self.window,
                frame_step=self.hop,
                fft_length=self.window,
                window_fn=tf.signal.hann_window,
            )
            return tf.math.real(spectrum), tf.math.imag(spectrum)
        return spectrum_by_product(waveform, self.window, self.hop)

    def _normalize_power(self, waveform, mask):
        energy = tf.reduce_sum(tf.square(waveform), axis=1, keepdims=True)
        if mask is None:
            samples = tf.cast(tf.shape(waveform)[1], tf.float32)
        else:
            samples = tf.cast(mask_to_lengths(mask), tf.float32)[:, tf.newaxis]
        power = tf.math.divide_no_nan(energy, samples)
        scale = tf.where(power > 0.0, tf.math.rsqrt(tf.where(power > 0.0, power, 1.0)), 0.0)
        return waveform * scale

    def compute_mask(self, inputs, mask=None):
        if mask is None:
            return None
        # A frame is real when its last sample is: as many as `frames` counts.
        return mask[:, self.window - 1 :: self.hop]

    def frames(self, samples):
        """Frames that this many samples give: int, array or tensor."""
        return frames_in(samples, self.window, self.hop)

    def compute_output_shape(self, input_shape):
        batch, samples = input_shape
        return (batch, None if samples is None else self.frames(samples), self.bins)

    def get_config(self):
        return {
            **super().get_config(),
            "sampling_rate": self.sampling_rate,
            "window_ms": self.window_ms,
            "hop_ms": self.hop_ms,
            "power_normalize": self.power_normalize,
            "epsilon": self.epsilon,
        }
