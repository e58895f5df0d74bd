"""One object from a waveform, or from precomputed features, to what the model reads."""

import keras
import tensorflow as tf

from keras_ds2.features.deltas import Deltas
from keras_ds2.features.log_spectrogram import LogSpectrogram
from keras_ds2.features.normalization import MEASURED_SCOPES, SCOPES, FeatureNormalization
from keras_ds2.features.trimming import loud_part, trim_silence
from keras_ds2.portable import of_shape
from keras_ds2.sequence import lengths_to_mask, zero_masked

KINDS = ("log_spectrogram", "precomputed")
NORMALIZATIONS = (*SCOPES, "none")


@keras.saving.register_keras_serializable(package="keras_ds2")
class FeatureFrontEnd(keras.layers.Layer):
    """Composes `LogSpectrogram`, `Deltas` and `FeatureNormalization`, in this order.

    The same object serves a dataset (rows of one utterance), a model and live use, so that training
    and recognition cannot differ.

    Args:
        kind: "log_spectrogram" for waveforms, "precomputed" for features made elsewhere.
        sampling_rate: int, Hz, of the waveform.
        window_ms: float, length of a frame.
        hop_ms: float, from one frame's start to the next one's; true of precomputed ones too.
        epsilon: float > 0, added to the power before the logarithm, where speech has about 1; None
            for `LogSpectrogram`'s, next to nothing. Where some recordings hold stretches of digital
            zeros and others noise, one such as 1e-4 gives them all the same floor.
        trim_db: float > 0, for `trim`: silence before and after the speech is what lies this far
            below the loudest part; None to keep it.
        num_bins: int, bins of a precomputed frame; None for "log_spectrogram": its window says.
        deltas: int, orders of differences over time that are appended.
        normalization: "utterance", "corpus" or "running" (of these two call `adapt`, or load
            weights), or "none".
        normalization_prior_frames: int >= 1, of "running"; None for `FeatureNormalization`'s.
        normalization_memory_frames: int, of "running"; None for `FeatureNormalization`'s.
        power_normalize: bool, whether each waveform is first scaled to unit power, which takes the
            whole utterance; None for all but "running".

    Call arguments:
        inputs: float `(batch, samples)`, or `(batch, frames, num_bins)` if precomputed.
        mask: bool `(batch, samples)` or `(batch, frames)`, True = real, real ones first; optional.
        change: callable, from float32 `(batch, frames, bins)` to the same shape, each frame by
            itself: changes the frames before differences and statistics are made of them; optional.

    Masking: masked samples or frames are not read; mask `(batch, frames)` passed on; output zeroed
    there.  Output shape: `(batch, frames, num_output_bins)`, computed in float32 and cast to the
    compute dtype at the end.

    Streaming: `whole_utterance_needs` says what stands against it; then the delay is that of the
    window and the differences.

    Raises:
        ValueError: for an unknown kind or normalisation, a wrong `num_bins`, and what the parts
            refuse.
    """

    def __init__(
        self,
        kind="log_spectrogram",
        sampling_rate=16000,
        window_ms=20.0,
        hop_ms=10.0,
        epsilon=None,
        trim_db=None,
        num_bins=None,
        deltas=0,
        normalization="utterance",
        normalization_prior_frames=None,
        normalization_memory_frames=None,
        power_normalize=None,
        **kwargs,
    ):
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        for name, value, known in (
            ("kind", kind, KINDS),
            ("normalization", normalization, NORMALIZATIONS),
        ):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, received {value!r}")
        self.kind = kind
        self.sampling_rate = int(sampling_rate)
        self.window_ms = float(window_ms)
        self.hop_ms = float(hop_ms)
        self.epsilon = epsilon
        if trim_db is not None and not trim_db > 0:
            raise ValueError(f"trim_db: expected dB > 0, or None, received {trim_db!r}")
        self.trim_db = trim_db
        self.num_bins = num_bins
        self.deltas = int(deltas)
        self.normalization = normalization
        self.normalization_prior_frames = normalization_prior_frames
        self.normalization_memory_frames = normalization_memory_frames
        self.power_normalize = power_normalize
        # The parts work in float32: float16 rounds a logarithm of power before it is normalised.
        self._spectrogram = None
        if kind == "log_spectrogram":
            self._spectrogram = LogSpectrogram(
                sampling_rate,
                window_ms,
                hop_ms,
                normalization != "running" if power_normalize is None else power_normalize,
                dtype="float32",
                name="log_spectrogram",
                **_given(epsilon=epsilon),
            )
        self._input_bins = self._checked_bins(num_bins)
        self._deltas = Deltas(deltas, dtype="float32", name="deltas") if deltas else None
        self._normalization = None
        if normalization != "none":
            self._normalization = FeatureNormalization(
                normalization,
                dtype="float32",
                name="normalization",
                **_given(
                    prior_frames=normalization_prior_frames,
                    memory_frames=normalization_memory_frames,
                ),
            )
        self.supports_masking = True

    def _checked_bins(self, num_bins):
        if self._spectrogram is None:
            if num_bins is None or num_bins < 1:
                raise ValueError(
                    f"num_bins: expected the bins of a precomputed frame, received {num_bins}"
                )
            return int(num_bins)
        if num_bins not in (None, self._spectrogram.bins):
            raise ValueError(
                f"num_bins: a window of {self.window_ms} ms at {self.sampling_rate} Hz gives "
                f"{self._spectrogram.bins}, received {num_bins}; leave it out"
            )
        return self._spectrogram.bins

    @property
    def num_output_bins(self):
        """Bins of an output frame, differences included."""
        return self._input_bins * (1 + self.deltas)

    @property
    def is_measured(self):
        """Whether it has statistics of a corpus: `adapt` measures them, weights keep them."""
        return self.normalization in MEASURED_SCOPES

    @property
    def parts(self):
        """`(spectrogram, deltas, normalization)`, the layers in order; None for one not there."""
        return self._spectrogram, self._deltas, self._normalization

    def whole_utterance_needs(self):
        """What needs the whole utterance before its first frame, so that it cannot stream.

        Returns:
            One text for each, with the remedy; none for a front end that streams.
        """
        found = []
        if self.normalization == "utterance":
            found.append("normalization 'utterance': take 'running', or 'corpus'")
        if self._spectrogram is not None and self._spectrogram.power_normalize:
            found.append("power_normalize: take False, the default of normalization 'running'")
        if self.trim_db is not None:
            found.append(f"trim_db {self.trim_db:g}: take None, and keep the silence in training")
        return found

    def frames(self, samples_or_frames):
        """Output frames of this many samples (or precomputed frames): int, array or tensor."""
        if self._spectrogram is None:
            return samples_or_frames
        return self._spectrogram.frames(samples_or_frames)

    def trim(self, waveform):
        """Cuts the silence off one waveform `(samples,)`, where `trim_db` asks for it.

        It stands before the call of this layer, since it changes lengths.
        """
        if self.trim_db is None:
            return waveform
        return trim_silence(waveform, self.sampling_rate, self.trim_db)

    def trim_rows(self, waveform, length):
        """`trim` of a batch: `(batch, samples)` and `(batch,)` to the same, padded as they were."""
        if self.trim_db is None:
            return waveform, length
        start, end = loud_part(waveform, length, self.sampling_rate, self.trim_db)
        start, end = of_shape(start, length.shape), of_shape(end, length.shape)
        places = start[:, tf.newaxis] + tf.range(tf.shape(waveform)[1])[tf.newaxis]
        places = tf.minimum(places, tf.shape(waveform)[1] - 1)
        return of_shape(tf.gather(waveform, places, batch_dims=1), waveform.shape), end - start

    def build(self, input_shape):
        if self._spectrogram is None and input_shape[-1] not in (None, self.num_bins):
            raise ValueError(
                f"precomputed features of shape {tuple(input_shape)}: expected "
                f"num_bins={self.num_bins} on the last axis"
            )
        if self._normalization is not None and not self._normalization.built:
            self._normalization.build((None, None, self.num_output_bins))

    def ensure_built(self):
        """Makes the weights, if it has any, before anything is heard."""
        if not self.built:
            self.build((None, None) if self._spectrogram else (None, None, self.num_bins))

    def adapt(self, dataset):
        """Measures the corpus's statistics of `normalization="corpus"` and `"running"`.

        They are weights: `keras.saving.save_weights(front_end, "x.weights.h5")` keeps them.

        Args:
            dataset: iterable of `(inputs, length)`: what this layer is called on, one row without
                its batch axis or a batch, and its real samples or frames.
        """
        if not self.is_measured:
            raise ValueError(
                f"adapt is for normalization {' or '.join(map(repr, MEASURED_SCOPES))}, this front "
                f"end has {self.normalization!r}"
            )
        self.ensure_built()
        measured = tf.function(self._before_normalization, reduce_retracing=True)
        self._normalization.adapt(self._measured_rows(measured, dataset))

    def _measured_rows(self, measured, dataset):
        for inputs, length in dataset:
            inputs = tf.convert_to_tensor(inputs, tf.float32)
            length = tf.convert_to_tensor(length, tf.int32)
            if length.shape.rank == 0:
                inputs, length = inputs[tf.newaxis], length[tf.newaxis]
            mask = lengths_to_mask(length, tf.shape(inputs)[1])
            yield measured(inputs, mask), self.frames(length)

    def _before_normalization(self, inputs, mask, change=None):
        features = tf.cast(inputs, tf.float32)
        if self._spectrogram is not None:
            features = self._spectrogram(features, mask=mask)
            mask = self._spectrogram.compute_mask(inputs, mask)
        if change is not None:
            features = change(features)
        if self._deltas is not None:
            features = self._deltas(features, mask=mask)
        return features

    def call(self, inputs, mask=None, change=None):
        features = self._before_normalization(inputs, mask, change)
        mask = self.compute_mask(inputs, mask)
        if self._normalization is not None:
            features = self._normalization(features, mask=mask)
        else:
            features = zero_masked(features, mask)
        return tf.cast(features, self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        if self._spectrogram is None:
            return mask
        return self._spectrogram.compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape):
        batch, time = input_shape[0], input_shape[1]
        return (batch, None if time is None else self.frames(time), self.num_output_bins)

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "sampling_rate": self.sampling_rate,
            "window_ms": self.window_ms,
            "hop_ms": self.hop_ms,
            "epsilon": self.epsilon,
            "trim_db": self.trim_db,
            "num_bins": self.num_bins,
            "deltas": self.deltas,
            "normalization": self.normalization,
            "normalization_prior_frames": self.normalization_prior_frames,
            "normalization_memory_frames": self.normalization_memory_frames,
            "power_normalize": self.power_normalize,
        }


def _given(**values):
    return {key: value for key, value in values.items() if value is not None}
