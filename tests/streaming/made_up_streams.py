"""Small untrained recognizers that stream, and speech for them."""

import functools

import keras
import numpy as np
import tensorflow as tf

from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models import build_model
from keras_ds2.recognition import Recognizer
from keras_ds2.recognition.run_folder import WEIGHTS, write_configuration
from keras_ds2.streaming.greedy import GreedyStream
from keras_ds2.streaming.session import StreamingSession
from keras_ds2.text.alphabet import Alphabet
from tests.made_up_corpus import RATE, spoken

ALPHABET = Alphabet(list(" abcd"))

# Kernels even and odd, strides beyond the kernel, hops beyond the window: every edge there is.
KINDS = {
    "2d_gru_lookahead_running": (
        {"sampling_rate": RATE, "normalization": "running", "normalization_prior_frames": 20},
        {
            "conv_filters": [3, 4],
            "conv_kernel_size": [[11, 7], [4, 3]],
            "conv_strides": [[2, 4], [1, 2]],
            "rnn_type": "gru",
            "lookahead_context": 7,
        },
    ),
    "1d_relu_deltas_running": (
        {"sampling_rate": RATE, "normalization": "running", "deltas": 2, "epsilon": 1e-6},
        {
            "conv_type": "1d",
            "conv_filters": [8, 8],
            "conv_kernel_size": [5, 4],
            "conv_strides": [2, 3],
            "rnn_type": "relu",
            "lookahead_context": 0,
        },
    ),
    "1d_gru_corpus_long_window": (
        {
            "sampling_rate": RATE,
            "normalization": "corpus",
            "power_normalize": False,
            "window_ms": 25,
        },
        {
            "conv_type": "1d",
            "num_conv_layers": 1,
            "conv_filters": [8],
            "conv_kernel_size": [1],
            "conv_strides": [2],
            "rnn_type": "gru",
            "lookahead_context": 1,
            "dense_units": 8,
            "dropout": 0.5,
        },
    ),
    "2d_relu_none_short_window": (
        {
            "sampling_rate": RATE,
            "normalization": "none",
            "power_normalize": False,
            "window_ms": 10,
            "hop_ms": 15,
        },
        {
            "conv_filters": [2, 3],
            "conv_kernel_size": [[3, 5], [2, 3]],
            "conv_strides": [[1, 2], [3, 2]],
            "rnn_type": "relu",
            "lookahead_context": 4,
            "batch_norm": False,
        },
    ),
    "precomputed_running": (
        {"kind": "precomputed", "num_bins": 4, "normalization": "running", "deltas": 1},
        {
            "conv_type": "1d",
            "num_conv_layers": 2,
            "conv_filters": [8, 8],
            "conv_kernel_size": [2, 3],
            "conv_strides": [3, 1],
            "rnn_type": "gru",
            "lookahead_context": 2,
        },
    ),
}


@functools.cache
def recognizer(kind: str) -> Recognizer:
    """A model whose weights and moving statistics are drawn, so that it writes at random."""
    features, numbers = KINDS[kind]
    front_end = FeatureFrontEnd(**features)
    if front_end.is_measured:
        corpus = [heard(kind, 8000 if front_end.num_bins is None else 200, seed=9)]
        front_end.adapt([(each, len(each)) for each in corpus])
    keras.utils.set_random_seed(3)
    model = build_model(
        "production",
        vocabulary_size=len(ALPHABET),
        num_bins=front_end.num_output_bins,
        hop_ms=front_end.hop_ms,
        num_rnn_layers=2,
        units=12,
        **numbers,
    )
    draws = np.random.default_rng(0)
    for weight in model.weights:
        if "moving_mean" in weight.path or "beta" in weight.path or "bias" in weight.path:
            weight.assign(draws.normal(0, 0.3, weight.shape))
        if "moving_variance" in weight.path:
            weight.assign(draws.uniform(0.2, 1.0, weight.shape))
        if "lookahead" in weight.path:  # it begins by looking at nothing
            weight.assign(draws.normal(0, weight.shape[0] ** -0.5, weight.shape))
    # Every symbol is the likeliest now and then.
    inputs = heard(kind, 16000 if front_end.num_bins is None else 400, seed=5)
    logits = _whole_logits(model, front_end, inputs)
    model.logits.kernel.assign(2.0 * model.logits.kernel / logits.std(axis=0))
    logits = _whole_logits(model, front_end, inputs)
    model.logits.bias.assign(model.logits.bias - logits.mean(axis=0))
    return Recognizer(model, front_end, ALPHABET)


def heard(kind: str, length: int, seed: int = 0) -> np.ndarray:
    """So many samples or frames of something like speech."""
    draws = np.random.default_rng([seed, length])
    features, _ = KINDS[kind]
    if features.get("kind") == "precomputed":
        swell = 2.0 + np.sin(np.arange(length) / 7.0)[:, np.newaxis]
        return (swell * draws.normal(1.0, 1.0, (length, features["num_bins"]))).astype(np.float32)
    text = "".join(draws.choice(list("abcd "), length // 800 + 1))
    return spoken(text, seed=seed)[:length].astype(np.float32)


class Recording(GreedyStream):
    """Keeps the logits that it is given."""

    def __init__(self, alphabet=ALPHABET):
        super().__init__(alphabet)
        self.logits = np.zeros((0, len(alphabet)), np.float32)

    def accept(self, logits):
        self.logits = np.concatenate([self.logits, logits])
        super().accept(logits)


def recording_session(kind: str, chunk_ms: float | None = None) -> StreamingSession:
    """A session whose decoder is a `Recording`."""
    step = recognizer(kind).stream(chunk_ms=chunk_ms).step
    return StreamingSession(step, ALPHABET, decoder=Recording())


def logits_of(session: StreamingSession) -> np.ndarray:
    """The logits that a recording session has read."""
    return session._decoder.logits


def whole_logits(kind: str, inputs) -> np.ndarray:
    """The whole pass's logits `(steps, vocabulary_size)`."""
    return _whole_logits(recognizer(kind).model, recognizer(kind).front_end, inputs)


def _whole_logits(model, front_end, inputs):
    features = front_end(tf.constant(inputs)[tf.newaxis])
    length = tf.constant([features.shape[1]])
    outputs = model({"features": features, "feature_length": length}, training=False)
    return outputs["logits"][0].numpy()


def write_run(folder, kind: str):
    """A run folder of `recognizer(kind)`, without training; returns it."""
    found = recognizer(kind)
    folder.mkdir(exist_ok=True)
    write_configuration(folder, found.model, found.front_end, found.alphabet, "none", False, "wer")
    found.model.save_weights(folder / WEIGHTS)
    return folder
