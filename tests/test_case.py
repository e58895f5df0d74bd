"""Assertions that hold for every sequence layer: a batch with padding in, a batch with padding out.

A *case* is a function `make(dtype=...)` that returns a new, unbuilt layer. Its input is a `Padded`
batch; where the layer takes four axes, the batch has one channel.
"""

import inspect
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_ds2.layers import LengthMask, SplitBins
from keras_ds2.sequence import steps_after_stride


@dataclass(frozen=True)
class Padded:
    """A batch of rows of unequal lengths; what stands behind a row's length is `padding`."""

    values: np.ndarray
    lengths: np.ndarray

    @classmethod
    def draw(cls, lengths, width=None, features=(6,), seed=0):
        """Normally distributed rows, zeros behind them."""
        lengths = np.asarray(lengths, np.int32)
        width = max(lengths) if width is None else width
        generator = np.random.default_rng(seed)
        values = generator.normal(size=(len(lengths), width, *features)).astype(np.float32)
        return cls(values, lengths).padded_with(0)

    @property
    def mask(self):
        return np.arange(self.values.shape[1]) < self.lengths[:, np.newaxis]

    def padded_with(self, padding):
        """The same rows with another padding."""
        values = self.values.copy()
        values[~self.mask] = padding
        return Padded(values, self.lengths)

    def widened_by(self, steps):
        """The same rows with more padding: NaN."""
        more = [(0, 0), (0, steps)] + [(0, 0)] * (self.values.ndim - 2)
        return Padded(np.pad(self.values, more, constant_values=np.nan), self.lengths)


def randomize(layer, seed=0):
    """Gives every weight values that no initializer gives, variances and scales positive ones."""
    generator = np.random.default_rng(seed)
    for weight in layer.weights:
        if weight.name.split("/")[-1] in ("moving_variance", "gamma"):
            values = generator.uniform(0.5, 2, weight.shape)
        else:
            values = generator.normal(size=weight.shape) * 0.4
        weight.assign(values)
    return layer


def built(make, batch, dtype=None):
    """A new layer of the case, built for the batch, with weights from `randomize`."""
    layer = make(dtype=dtype) if dtype else make()
    layer.build(batch.values.shape)
    return randomize(layer)


def apply(layer, values, mask, training=False):
    """The layer's output; `training` goes to the layers that take it."""
    mask = None if mask is None else tf.convert_to_tensor(mask)
    takes_training = "training" in inspect.signature(layer.call).parameters
    keywords = {"training": training} if takes_training else {}
    return layer(tf.convert_to_tensor(values), mask=mask, **keywords)


def output_mask(layer, batch):
    """The mask that the layer passes on, as an array."""
    return np.asarray(layer.compute_mask(tf.constant(batch.values), tf.constant(batch.mask)))


def training_step(layer, batch):
    """Everything that one training step shows of a layer.

    Returns:
        Output, gradient for the inputs, list of gradients for the weights, list of what the
        non-trainable weights are afterwards: arrays. The layer's weights are put back.
    """
    before = layer.get_weights()
    inputs = tf.constant(batch.values)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = apply(layer, inputs, batch.mask, training=True)
        upstream = np.random.default_rng(1).normal(size=output.shape).astype(np.float32)
        loss = tf.reduce_sum(tf.cast(output, tf.float32) * upstream)
    gradients = tape.gradient(loss, [inputs, *layer.trainable_weights])
    moving = [weight.numpy() for weight in layer.non_trainable_weights]
    layer.set_weights(before)
    input_gradient, *weight_gradients = (np.asarray(gradient) for gradient in gradients)
    return output.numpy(), input_gradient, weight_gradients, moving


def assert_padding_is_not_read(make, batch):
    """Padding changes no output, gradient or moving statistic; masked steps come out as zeros."""
    layer = built(make, batch)
    output, input_gradient, weight_gradients, moving = training_step(layer, batch)
    mask = output_mask(layer, batch)
    assert mask.shape == output.shape[:2]
    assert not mask.all(), "the batch has no padding"
    assert not output[~mask].any()
    assert np.abs(output[mask]).max() > 0
    assert not input_gradient[~batch.mask].any()
    assert np.abs(input_gradient[batch.mask]).max() > 0
    for padding in (np.nan, 1e30, -np.inf):
        seen = training_step(layer, batch.padded_with(padding))
        np.testing.assert_array_equal(seen[0], output)
        np.testing.assert_array_equal(seen[1], input_gradient)
        assert_all_equal(seen[2], weight_gradients)
        assert_all_equal(seen[3], moving)


def assert_rows_are_independent(make, batch):
    """At inference a row alone and the same row in a batch, as wide as may be, give the same."""
    layer = built(make, batch)
    alone = [
        apply(layer, batch.values[row : row + 1, :length], mask=None).numpy()[0]
        for row, length in enumerate(batch.lengths)
    ]
    for more in (0, 1, 2):
        wide = batch.widened_by(more)
        output = apply(layer, wide.values, wide.mask).numpy()
        assert output.shape[1] == steps_after_stride(wide.values.shape[1], time_stride(layer))
        for row, expected in enumerate(alone):
            np.testing.assert_allclose(output[row, : len(expected)], expected, atol=1e-5)
            assert not output[row, len(expected) :].any()
            assert output_mask(layer, wide)[row].sum() == len(expected)


def assert_saved_alike(make, batch, path):
    """A functional model with the layer, saved and loaded, gives the same numbers; so does a copy
    from the layer's configuration.
    """
    layer = make()
    model = functional_model(layer, batch)
    randomize(layer)
    inputs = {"features": features_of(batch), "feature_length": batch.lengths}
    expected = [output.numpy() for output in model(inputs)]

    model.save(path)
    loaded = keras.saving.load_model(path, custom_objects={"MaskProbe": MaskProbe})
    assert_all_equal([output.numpy() for output in loaded(inputs)], expected)

    assert constructor_arguments(layer) <= layer.get_config().keys()
    copy = type(layer).from_config(layer.get_config())
    copy.build(batch.values.shape)
    copy.set_weights(layer.get_weights())
    assert copy.get_config() == layer.get_config()
    np.testing.assert_array_equal(apply(copy, batch.values, batch.mask).numpy(), expected[0])


def assert_unknown_shapes(make, batch):
    """Traced once for unknown batch and time, a step serves every shape and equals the eager one;
    a functional model knows its output's shape and passes the mask on.
    """
    layer = built(make, batch)

    def step(values, mask):
        with tf.GradientTape() as tape:
            output = apply(layer, values, mask, training=True)
            loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 2)
        gradients = tape.gradient(loss, layer.trainable_weights)
        return output, gradients

    unknown = [None, None, *batch.values.shape[2:]]
    traced = tf.function(
        step, input_signature=[tf.TensorSpec(unknown), tf.TensorSpec([None, None], tf.bool)]
    )
    weights = layer.get_weights()
    for part in (batch, Padded(batch.values[:1], batch.lengths[:1]).widened_by(3)):
        output, gradients = traced(part.values, part.mask)
        layer.set_weights(weights)
        expected, expected_gradients = step(part.values, part.mask)
        layer.set_weights(weights)
        np.testing.assert_allclose(output, expected, atol=1e-5)
        assert_all_close(gradients, expected_gradients, atol=1e-4)
    assert traced.experimental_get_tracing_count() == 1

    model = functional_model(layer, batch)
    output, mask = model(
        {"features": features_of(batch.padded_with(np.nan)), "feature_length": batch.lengths}
    )
    np.testing.assert_allclose(output, apply(layer, batch.values, batch.mask), atol=1e-5)
    np.testing.assert_array_equal(mask, output_mask(layer, batch))
    known = [None, None, *output.shape[2:]]
    assert list(model.outputs[0].shape) == known
    assert list(layer.compute_output_shape(tuple(unknown))) == known
    assert layer.compute_output_shape(batch.values.shape) == tuple(output.shape)


def assert_mixed_precision(make, batch, policy):
    """Half precision outside, float32 inside: weights and moving averages."""
    expected = training_step(built(make, batch), batch)
    layer = built(make, batch, dtype=policy)
    output, input_gradient, weight_gradients, moving = training_step(layer, batch)
    assert layer.compute_dtype in ("float16", "bfloat16")
    assert output.dtype == tf.as_dtype(layer.compute_dtype).as_numpy_dtype
    assert all(weight.dtype == "float32" for weight in layer.weights)
    tolerance = 0.02 if layer.compute_dtype == "float16" else 0.12
    assert_near(output, expected[0], tolerance)
    assert_near(input_gradient, expected[1], 2 * tolerance)
    for seen, wanted in zip(weight_gradients + moving, expected[2] + expected[3], strict=True):
        assert_near(seen, wanted, 2 * tolerance)


def constructor_arguments(layer):
    """The names of all that the layer's own classes can be made with."""
    own = [kind for kind in type(layer).__mro__ if kind.__module__.startswith("keras_ds2.")]
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        name
        for kind in own
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if name != "self" and parameter.kind not in kinds
    }


def numeric_gradient(function, values, step=1e-5):
    """The gradient of a scalar function by central differences, element by element, in float64."""
    values = np.array(values, np.float64)
    gradient = np.zeros_like(values)
    for place in np.ndindex(values.shape):
        shift = np.zeros_like(values)
        shift[place] = step
        gradient[place] = (function(values + shift) - function(values - shift)) / (2 * step)
    return gradient


def functional_model(layer, batch):
    """`{"features", "feature_length"}` through the layer: its output and the mask behind it."""
    features = keras.Input((None, batch.values.shape[2]), name="features")
    feature_length = keras.Input((), dtype="int32", name="feature_length")
    inputs = {"features": features, "feature_length": feature_length}
    x = LengthMask()(inputs)
    if batch.values.ndim == 4:
        x = SplitBins()(x)
    x = layer(x)
    return keras.Model(inputs, [x, MaskProbe()(x)])


def features_of(batch):
    """The batch without its one channel."""
    return batch.values[..., 0] if batch.values.ndim == 4 else batch.values


def time_stride(layer):
    """How many frames a step of the layer's output stands for."""
    strides = getattr(layer, "strides", 1)
    return strides if isinstance(strides, int) else strides[0]


def assert_all_equal(seen, expected):
    """As `np.testing.assert_array_equal`, over two lists."""
    assert len(seen) == len(expected)
    for one, other in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_all_close(seen, expected, **tolerances):
    """As `np.testing.assert_allclose`, over two lists."""
    assert len(seen) == len(expected)
    for one, other in zip(seen, expected, strict=True):
        np.testing.assert_allclose(one, other, **tolerances)


def assert_near(seen, expected, tolerance):
    """Finite, and off by no more than a share of the largest value expected."""
    seen = np.asarray(seen, np.float32)
    assert np.isfinite(seen).all()
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(seen / scale, expected / scale, rtol=0, atol=tolerance)


class MaskProbe(keras.layers.Layer):
    """Puts out the mask that it is handed."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        return mask

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, inputs, mask=None):
        return keras.KerasTensor(inputs.shape[:2], "bool")
