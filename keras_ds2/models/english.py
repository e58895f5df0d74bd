"""The English model's numbers.

Source: Amodei et al., 2015, arXiv:1512.02595: two 2-D convolutions and seven bidirectional ReLU
recurrences, the network of its study of data sizes, of 68 million parameters. The paper states
that sum and not each width: 1760 units, in the recurrences and the fully connected layer, are our
choice, which gives 67.8 million.
"""

NUMBERS = {
    "num_bins": 161,
    "vocabulary_size": 29,
    "num_conv_layers": 2,
    "num_rnn_layers": 7,
    "rnn_type": "relu",
    "units": 1760,
    "bidirectional": True,
    "dense_units": 1760,
}
