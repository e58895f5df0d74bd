"""The production model's numbers: forward-only, with a lookahead, for live users.

Source: Amodei et al., ICML 2016 (PMLR v48): two 2-D convolutions, three forward-only GRU layers of
2560 units and a lookahead of 80 steps. It waits 15 frames for its convolutions and 160 for its
lookahead; `lookahead_context` trades accuracy for delay.
"""

NUMBERS = {
    "num_bins": 161,
    "vocabulary_size": 29,
    "num_conv_layers": 2,
    "num_rnn_layers": 3,
    "rnn_type": "gru",
    "units": 2560,
    "bidirectional": False,
    "lookahead_context": 80,
}
