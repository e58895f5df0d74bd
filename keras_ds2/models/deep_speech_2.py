"""The only wiring: convolutions, recurrences, lookahead, fully connected layer, softmax."""

import keras
import tensorflow as tf

from keras_ds2 import layers
from keras_ds2.losses.ctc import CTC
from keras_ds2.models.guarded_training import GuardedTraining
from keras_ds2.models.multi_worker_fit import MultiWorkerFit
from keras_ds2.ops.ctc import labels_fit
from keras_ds2.ops.replicas import sum_over_replicas
from keras_ds2.sequence import steps_after_stride

CONV_DEFAULTS = {
    "2d": {
        "filters": [32, 32, 96],
        "kernel_size": [[11, 41], [11, 21], [11, 21]],
        "strides": [[2, 2], [1, 2], [1, 2]],
    },
    "1d": {
        "filters": [1280, 1280, 1280],
        "kernel_size": [11, 11, 11],
        "strides": [2, 1, 1],
    },
}
"""The paper's front ends, `(time, bins)`; of fewer layers, the first ones."""

RECURRENCES = {"relu": layers.ClippedReLURNN, "gru": layers.SequenceNormGRU}

RECURRENT_INITIALIZERS = {
    "orthogonal": keras.initializers.Orthogonal,
    "identity": keras.initializers.Identity,
}

_TAKES_TRAINING = (
    layers.SequenceBatchNorm,
    layers.ClippedReLU,
    keras.layers.Dropout,
    *RECURRENCES.values(),
)


@keras.saving.register_keras_serializable(package="keras_ds2")
class DeepSpeech2(MultiWorkerFit, GuardedTraining, keras.Model):
    """Features in, logits over symbols out; trains with `compile` and `fit`.

    Called on `{"features": (batch, frames, num_bins), "feature_length": (batch,)}` it returns
    `{"logits": (batch, steps, vocabulary_size), "logit_length": (batch,)}`, logits in float32.
    `fit` takes `(inputs, {"labels": (batch, symbols), "label_length": (batch,)})`; its loss is
    `keras_ds2.losses.CTC`, the mean over the utterances whose labels fit their steps. The others
    are counted in the metric `unfit`. `GuardedTraining` says what `fit` passes over.

    Source: Amodei et al., 2015, arXiv:1512.02595. Differs: a `dropout`, which the paper lacks, can
    be set; normalisation stands after each convolution and the fully connected layer too.

    Args:
        num_bins: int, features of a frame.
        vocabulary_size: int, symbols and blank.
        conv_type: `"2d"`, over time and bins, or `"1d"`, over time.
        num_conv_layers: int >= 1.
        conv_filters: list of ints, a layer each; None for the paper's.
        conv_kernel_size: list, a layer each: `[time, bins]` pairs, or ints for `"1d"`.
        conv_strides: list, a layer each, as `conv_kernel_size`.
        num_rnn_layers: int >= 1.
        rnn_type: `"relu"` or `"gru"`.
        units: int, of each recurrent layer.
        bidirectional: bool.
        recurrent_initializer: `"orthogonal"` or `"identity"`, of the recurrent weights.
        recurrent_gain: float > 0, multiplies those initial weights.
        lookahead_context: int >= 0, future steps seen above the recurrences; 0 for no such layer.
        dense_units: int >= 0, of the fully connected layer; 0 for no such layer.
        batch_norm: bool, whether to normalise, everywhere.
        batch_norm_momentum: float in [0, 1).
        max_value: float > 0, upper clip of every ReLU.
        dropout: float in [0, 1), before each recurrent layer and the layers above them.
        hop_ms: float, from frame to frame; only for `delay_ms`.

    Raises:
        ValueError: if a number is out of range, or a list has not one entry a layer.
    """

    def __init__(
        self,
        *,
        num_bins,
        vocabulary_size,
        conv_type="2d",
        num_conv_layers=2,
        conv_filters=None,
        conv_kernel_size=None,
        conv_strides=None,
        num_rnn_layers,
        rnn_type="relu",
        units,
        bidirectional=True,
        recurrent_initializer="orthogonal",
        recurrent_gain=1.0,
        lookahead_context=0,
        dense_units=0,
        batch_norm=True,
        batch_norm_momentum=0.99,
        max_value=20.0,
        dropout=0.0,
        hop_ms=10.0,
        name=None,
        dtype=None,
    ):
        numbers = {key: value for key, value in locals().items() if key not in _NOT_NUMBERS}
        _check(numbers)
        for key, default in CONV_DEFAULTS[conv_type].items():
            given = numbers[f"conv_{key}"]
            numbers[f"conv_{key}"] = default[:num_conv_layers] if given is None else given
        _check_conv_lists(numbers)
        dtype = keras.dtype_policies.get(dtype or keras.config.dtype_policy())

        super().__init__(name=name or "deep_speech_2", dtype=dtype)
        self.length_mask = layers.LengthMask(dtype=dtype, name="length_mask")
        self.stack = _stack(numbers, dtype)
        # float32 whatever the policy: CTC and softmax need it.
        self.logits = keras.layers.Dense(vocabulary_size, name="logits", dtype="float32")
        self._numbers = numbers
        self.supports_jit = False  # TensorFlow's CTC kernel has no XLA form.
        self._ctc = CTC()
        self._unfit = keras.metrics.Sum(name="unfit")
        self.build({"features": (None, None, num_bins), "feature_length": (None,)})

    def build(self, input_shape):
        shape = input_shape
        for layer in [self.length_mask, *self.stack, self.logits]:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=False):
        feature_length = inputs["feature_length"]
        x = self.length_mask(inputs)
        for layer in self.stack:
            takes_training = isinstance(layer, _TAKES_TRAINING)
            x = layer(x, training=training) if takes_training else layer(x)
        for stride in self.time_strides:
            feature_length = steps_after_stride(feature_length, stride)
        return {"logits": self.logits(x), "logit_length": feature_length}

    @property
    def vocabulary_size(self):
        """Symbols and blank."""
        return self._numbers["vocabulary_size"]

    @property
    def num_bins(self):
        """Features of a frame."""
        return self._numbers["num_bins"]

    @property
    def time_strides(self):
        """Strides in time of the convolutions, first layer first."""
        return _time(self._numbers["conv_strides"])

    @property
    def step_ms(self):
        """From one step of the logits to the next, in ms."""
        return self._numbers["hop_ms"] * _product(self.time_strides)

    @property
    def delay_ms(self):
        """How much later than a step's own frame the last audio arrives that the step sees, in ms.

        The convolutions' context and the lookahead; None for a bidirectional model, which sees the
        whole utterance.
        """
        if self._numbers["bidirectional"]:
            return None
        frames = 0
        frames_per_step = 1
        kernel_sizes = _time(self._numbers["conv_kernel_size"])
        for kernel_size, stride in zip(kernel_sizes, self.time_strides, strict=True):
            frames += frames_per_step * (kernel_size // 2)
            frames_per_step *= stride
        frames += frames_per_step * self._numbers["lookahead_context"]
        return frames * self._numbers["hop_ms"]

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """As `keras.Model.compile`, with CTC as the default loss.

        Args:
            optimizer: a Keras optimizer or its name.
            loss: None for `keras_ds2.losses.CTC()`, or a function of the labels' and the logits'
                dictionaries that returns one loss an utterance, `(batch,)`.
            **kwargs: handed on.
        """
        if not (loss is None or callable(loss)):
            raise ValueError(
                "loss: expected None for CTC, or a function of the labels' and the logits' "
                f"dictionaries, received {loss!r}."
            )
        self._ctc = loss or CTC()
        super().compile(optimizer=optimizer, loss=None, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean loss over the utterances that fit, plus the layers' own losses."""
        logit_length = tf.cast(y_pred["logit_length"], tf.int32)
        labels, label_length = (tf.cast(y[key], tf.int32) for key in ("labels", "label_length"))
        weights = tf.cast(labels_fit(labels, label_length, logit_length), tf.float32)
        heard = tf.cast(logit_length > 0, tf.float32)
        self._unfit.update_state(tf.reduce_sum((1 - weights) * heard))
        if sample_weight is not None:
            weights *= tf.cast(sample_weight, tf.float32)
        per_utterance = getattr(self._ctc, "call", self._ctc)
        losses = per_utterance(
            {"labels": labels, "label_length": label_length},
            {"logits": y_pred["logits"], "logit_length": logit_length},
        )
        # The share of this replica in the mean over all replicas' utterances: see ReplicatedStep.
        (total_weight,) = sum_over_replicas([tf.reduce_sum(weights)])
        loss = tf.math.divide_no_nan(tf.reduce_sum(losses * weights), total_weight)
        for layer_loss in self.losses:
            loss += self._aggregate_additional_loss(layer_loss)
        return loss

    def get_compile_config(self):
        serialize = keras.saving.serialize_keras_object
        return {"optimizer": serialize(self.optimizer), "loss": serialize(self._ctc)}

    def compile_from_config(self, config):
        self.compile(**{key: keras.saving.deserialize_keras_object(config[key]) for key in config})
        self.optimizer.build(self.trainable_variables)

    def get_config(self):
        policy = self.dtype_policy.name
        return {**self._numbers, "name": self.name, "dtype": policy}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


_NOT_NUMBERS = ("self", "__class__", "name", "dtype")


def _stack(numbers, dtype):
    """Everything between the features and the logits, in order."""
    momentum, max_value = numbers["batch_norm_momentum"], numbers["max_value"]
    batch_norm = numbers["batch_norm"]
    stack = []

    def add(layer, *arguments, **keywords):
        stack.append(layer(*arguments, dtype=dtype, **keywords))

    def add_normalized_relu(name):
        if batch_norm:
            add(layers.SequenceBatchNorm, momentum, name=f"{name}_norm")
        add(layers.ClippedReLU, max_value, name=f"{name}_relu")

    def add_dropout(name):
        if numbers["dropout"]:
            add(keras.layers.Dropout, numbers["dropout"], name=f"{name}_dropout")

    two_dimensional = numbers["conv_type"] == "2d"
    if two_dimensional:
        add(layers.SplitBins, name="split_bins")
    for index in range(numbers["num_conv_layers"]):
        add(
            layers.MaskedConv2D if two_dimensional else layers.MaskedConv1D,
            numbers["conv_filters"][index],
            numbers["conv_kernel_size"][index],
            numbers["conv_strides"][index],
            use_bias=not batch_norm,
            name=f"conv_{index + 1}",
        )
        add_normalized_relu(f"conv_{index + 1}")
    if two_dimensional:
        add(layers.FlattenBins, name="flatten_bins")

    extra = {"max_value": max_value} if numbers["rnn_type"] == "relu" else {}
    for index in range(numbers["num_rnn_layers"]):
        add_dropout(f"rnn_{index + 1}")
        add(
            RECURRENCES[numbers["rnn_type"]],
            numbers["units"],
            numbers["bidirectional"],
            batch_norm,
            momentum=momentum,
            recurrent_initializer=RECURRENT_INITIALIZERS[numbers["recurrent_initializer"]](
                gain=numbers["recurrent_gain"]
            ),
            name=f"rnn_{index + 1}",
            **extra,
        )
    if numbers["lookahead_context"]:
        add(layers.LookaheadConv1D, numbers["lookahead_context"], name="lookahead")
    if numbers["dense_units"]:
        add_dropout("dense")
        add(keras.layers.Dense, numbers["dense_units"], use_bias=not batch_norm, name="dense")
        add_normalized_relu("dense")
    add_dropout("logits")
    return stack


def _check(numbers):
    def expect(key, holds, expected):
        if not holds(numbers[key]):
            raise ValueError(f"{key}: expected {expected}, received {numbers[key]!r}.")

    def int_from(low):
        return lambda value: isinstance(value, int) and value >= low

    expect("conv_type", lambda value: value in CONV_DEFAULTS, "'2d' or '1d'")
    expect("rnn_type", lambda value: value in RECURRENCES, "'relu' or 'gru'")
    expect(
        "recurrent_initializer",
        lambda value: value in RECURRENT_INITIALIZERS,
        "'orthogonal' or 'identity'",
    )
    if numbers["rnn_type"] == "gru" and numbers["recurrent_initializer"] == "identity":
        raise ValueError(
            "recurrent_initializer: expected 'orthogonal' for rnn_type 'gru', received 'identity', "
            "which would set one of its three gates alone."
        )
    expect("recurrent_gain", lambda value: value > 0, "a factor > 0")
    expect("vocabulary_size", int_from(2), "an int >= 2 (symbols and blank)")
    for key in ("num_bins", "num_conv_layers", "num_rnn_layers", "units"):
        expect(key, int_from(1), "an int >= 1")
    for key in ("lookahead_context", "dense_units"):
        expect(key, int_from(0), "an int >= 0")
    expect("dropout", lambda value: 0 <= value < 1, "a share in [0, 1)")
    expect("hop_ms", lambda value: value > 0, "ms > 0")
    if numbers["bidirectional"] and numbers["lookahead_context"]:
        raise ValueError(
            "lookahead_context: expected 0 in a bidirectional model, which sees the whole "
            f"utterance already, received {numbers['lookahead_context']!r}."
        )


def _check_conv_lists(numbers):
    for key in ("conv_filters", "conv_kernel_size", "conv_strides"):
        entries = numbers[key]
        if not isinstance(entries, (list, tuple)) or len(entries) != numbers["num_conv_layers"]:
            raise ValueError(
                f"{key}: expected {numbers['num_conv_layers']} entries, one a convolution "
                f"(num_conv_layers), received {entries!r}."
            )
        numbers[key] = list(entries)


def _time(per_layer):
    return [entry if isinstance(entry, int) else entry[0] for entry in per_layer]


def _product(values):
    product = 1
    for value in values:
        product *= value
    return product
