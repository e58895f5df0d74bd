"""Features brought to mean 0 and standard deviation 1, bin by bin."""

import keras
import numpy as np
import tensorflow as tf

from keras_ds2.features.running_moments import moments_of_block, moments_so_far
from keras_ds2.sequence import mask_to_lengths, zero_masked

SCOPES = ("utterance", "corpus", "running")

MEASURED_SCOPES = ("corpus", "running")
"""Those with statistics of a corpus: `adapt` measures them, weights keep them."""

_NOT_ADAPTED = "the corpus's scope has no statistics yet: call adapt, or load weights"

# Of the corpus's deviation: digital silence does not vary at all.
_LEAST_RUNNING_STD = 0.1


@keras.saving.register_keras_serializable(package="keras_ds2")
class FeatureNormalization(keras.layers.Layer):
    """Normalises each bin: `(x - mean) / (std + epsilon)`.

    The mean and the standard deviation are of the row's own real frames (`"utterance"`), of a
    whole corpus (`"corpus"`), or of the row's frames so far, this one included (`"running"`), where
    the corpus's statistics stand in for `prior_frames` frames before the first and the past fades
    once `memory_frames` are counted, so that another gain or channel is followed: see
    `features.running_moments`. `adapt` measures the corpus once; its statistics are kept as weights
    that do not train. Source: per-bin statistics of the training data, Baidu's ba-dls-deepspeech
    (`"corpus"`); per utterance is a common choice where channels differ. A bin that does not vary
    comes out as 0. A running deviation stays above a tenth of the corpus's.

    Args:
        scope: "utterance", "corpus" or "running".
        epsilon: float > 0, added to the standard deviation ("running": to the corpus's).
        prior_frames: int >= 1, for "running": frames that the corpus's statistics count for.
        memory_frames: int >= prior_frames, for "running": frames after which the past fades.

    Call arguments:
        inputs: float `(batch, frames, bins)`.
        mask: bool `(batch, frames)`, True = real frame; optional.

    Masking: masked frames are not read; mask passed on; output zeroed there.
    Output shape: same as input. Computed in float32, cast to the compute dtype at the end.
    Streaming: "corpus" and "running" need no delay; "utterance" needs the whole utterance. State of
    "running": the moments so far, see `normalize_block`.

    Raises:
        ValueError: for an unknown scope, epsilon not positive, or impossible numbers of frames.
        tf.errors.InvalidArgumentError: when a scope with a corpus's statistics runs before `adapt`
            or loaded weights.
    """

    def __init__(
        self, scope="utterance", epsilon=1e-5, prior_frames=100, memory_frames=1000, **kwargs
    ):
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        if scope not in SCOPES:
            raise ValueError(f"scope: expected one of {', '.join(SCOPES)}, received {scope!r}")
        if not epsilon > 0:
            raise ValueError(f"epsilon: expected > 0, received {epsilon}")
        if not 1 <= prior_frames <= memory_frames:
            raise ValueError(
                "prior_frames, memory_frames: expected 1 <= prior <= memory, received "
                f"{prior_frames} and {memory_frames}"
            )
        self.scope = scope
        self.epsilon = float(epsilon)
        self.prior_frames = int(prior_frames)
        self.memory_frames = int(memory_frames)
        self.supports_masking = True

    def build(self, input_shape):
        if self.scope in MEASURED_SCOPES:
            bins = input_shape[-1]
            if bins is None:
                raise ValueError(
                    f"scope {self.scope!r} needs the number of bins: the last axis of the input is "
                    "None"
                )
            self.mean = self._statistic("mean", bins, "zeros")
            self.std = self._statistic("std", bins, "ones")
            self.count = self._statistic("count", None, "zeros")

    def _statistic(self, name, bins, initializer):
        return self.add_weight(
            name=name,
            shape=() if bins is None else (bins,),
            initializer=initializer,
            dtype="float32",
            trainable=False,
        )

    def adapt(self, dataset):
        """Measures mean and standard deviation of each bin over a corpus, in one pass.

        Args:
            dataset: iterable of `(features, length)`: one utterance, `(frames, bins)` with a
                scalar, or a batch, `(batch, frames, bins)` with `(batch,)`.

        Raises:
            ValueError: if the scope is "utterance", or no real frame comes.
        """
        if self.scope not in MEASURED_SCOPES:
            raise ValueError(
                f"adapt is for scope {' or '.join(map(repr, MEASURED_SCOPES))}; scope "
                f"{self.scope!r} measures each row"
            )
        count, mean, squares = 0, 0.0, 0.0
        for features, length in dataset:
            frames = _real_frames(np.asarray(features), np.asarray(length))
            if not len(frames):
                continue
            # Chan et al.: joins two sets of moments without the cancellation of sum(x^2) - mean^2.
            frames_mean = frames.mean(axis=0)
            total = count + len(frames)
            step = frames_mean - mean
            squares += np.square(frames - frames_mean).sum(axis=0)
            squares += np.square(step) * (count * len(frames) / total)
            mean = mean + step * (len(frames) / total)
            count = total
        if count == 0:
            raise ValueError("adapt received no real frame: expected (features, length) pairs")
        if not self.built:
            self.build((None, None, len(mean)))
        self.mean.assign(mean)
        self.std.assign(np.sqrt(squares / count))
        self.count.assign(float(count))

    def call(self, inputs, mask=None):
        features = zero_masked(tf.cast(inputs, tf.float32), mask)
        if self.scope == "running":
            normalized = self._normalize_running(features, mask)
        else:
            corpus = self.scope == "corpus"
            mean, std = self._corpus_statistics() if corpus else self._moments(features, mask)
            normalized = (features - mean) / (std + self.epsilon)
        return tf.cast(zero_masked(normalized, mask), self.compute_dtype)

    def normalize_block(self, features, mask, state):
        """Scope "running", a few frames at a time: what a call gives on all of them at once.

        Args:
            features: float32 `(batch, frames, bins)`, frames in the tens.
            mask: bool `(batch, frames)`, True = real.
            state: of `running_moments.first_state`, or of the block before.

        Returns:
            `(normalized, state)`; what is masked comes out as zeros and changes no state.
        """
        values = self._in_corpus_units(zero_masked(features, mask))
        means, variances, state = moments_of_block(
            values, mask, state, self.prior_frames, self.memory_frames
        )
        return zero_masked(_scaled(values, means, variances), mask), state

    def _normalize_running(self, features, mask):
        values = self._in_corpus_units(features)
        if mask is None:
            mask = tf.ones(tf.shape(features)[:2], tf.bool)
        moments = moments_so_far(
            zero_masked(values, mask), mask, self.prior_frames, self.memory_frames
        )
        return _scaled(values, *moments)

    def _in_corpus_units(self, features):
        mean, std = self._corpus_statistics()
        return (features - mean) / (std + self.epsilon)

    def _corpus_statistics(self):
        adapted = tf.debugging.Assert(tf.convert_to_tensor(self.count) > 0.0, [_NOT_ADAPTED])
        with tf.control_dependencies([adapted] if adapted is not None else []):
            return tf.identity(self.mean), tf.identity(self.std)

    def _moments(self, features, mask):
        if mask is None:
            count = tf.cast(tf.shape(features)[1], tf.float32)
        else:
            count = tf.cast(mask_to_lengths(mask), tf.float32)[:, tf.newaxis, tf.newaxis]
        count = tf.maximum(count, 1.0)
        mean = tf.reduce_sum(features, axis=1, keepdims=True) / count
        centred = zero_masked(features - mean, mask)
        variance = tf.reduce_sum(tf.square(centred), axis=1, keepdims=True) / count
        return mean, tf.where(variance > 0.0, tf.sqrt(tf.where(variance > 0.0, variance, 1.0)), 0.0)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "scope": self.scope,
            "epsilon": self.epsilon,
            "prior_frames": self.prior_frames,
            "memory_frames": self.memory_frames,
        }


def _scaled(values, means, variances):
    return (values - means) / tf.sqrt(tf.maximum(variances, _LEAST_RUNNING_STD**2))


def _real_frames(features, length):
    if features.ndim == 2:
        features, length = features[np.newaxis], length[np.newaxis]
    rows = [row[:frames] for row, frames in zip(features, length, strict=True)]
    return np.concatenate(rows).astype(np.float64)
