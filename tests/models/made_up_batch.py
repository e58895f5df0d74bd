"""Random features with random labels, and the numbers of a model small enough to train on them."""

import numpy as np

TINY = {
    "num_bins": 9,
    "vocabulary_size": 5,
    "num_conv_layers": 1,
    "conv_filters": [4],
    "conv_kernel_size": [[5, 3]],
    "conv_strides": [[2, 2]],
    "num_rnn_layers": 1,
    "units": 6,
    "dense_units": 0,
}


def made_up_batch(utterances, seed=0):
    """`(inputs, labels)` of 8 to 14 frames, NaN behind them, and two or three symbols."""
    generator = np.random.default_rng(seed)
    feature_length = generator.integers(8, 15, utterances, dtype=np.int32)
    features = generator.normal(size=(utterances, 14, TINY["num_bins"])).astype(np.float32)
    features[np.arange(14) >= feature_length[:, np.newaxis]] = np.nan
    label_length = generator.integers(2, 4, utterances, dtype=np.int32)
    # No symbol twice in a row: each fits 4 steps.
    labels = np.stack([generator.permutation(4)[:3] + 1 for _ in range(utterances)])
    labels[np.arange(3) >= label_length[:, np.newaxis]] = 0
    return (
        {"features": features, "feature_length": feature_length},
        {"labels": labels.astype(np.int32), "label_length": label_length},
    )
