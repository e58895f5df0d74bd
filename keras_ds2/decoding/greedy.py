"""The likeliest symbol at every step."""

import numpy as np

from keras_ds2.decoding.hypothesis import Hypothesis
from keras_ds2.text.alphabet import BLANK, Alphabet


class GreedyDecoder:
    """Reads the likeliest alignment: the best symbol of each step, repeats merged, blanks removed.

    Every decoder has this face: made with an alphabet, `decode` from logits to hypotheses.

    Args:
        alphabet: gives the text of ids.
    """

    def __init__(self, alphabet: Alphabet):
        self.alphabet = alphabet

    def decode(self, logits, logit_length) -> list[Hypothesis]:
        """Decodes a batch.

        Args:
            logits: float `(batch, steps, vocabulary_size)`, before or after log softmax.
            logit_length: int `(batch,)`; steps behind it are not read.

        Returns:
            One hypothesis a row.

        Raises:
            ValueError: if the logits have not the alphabet's size.
        """
        logits = np.asarray(logits, dtype=np.float32)
        if logits.shape[-1] != len(self.alphabet):
            raise ValueError(
                f"GreedyDecoder: expected logits of {len(self.alphabet)} symbols, blank included, "
                f"received {logits.shape[-1]}. Was the model trained with another alphabet?"
            )
        return [
            self._decode_row(row[:length])
            for row, length in zip(logits, np.asarray(logit_length), strict=True)
        ]

    def _decode_row(self, logits):
        best = logits.argmax(axis=-1)
        starts = np.flatnonzero((best != BLANK) & np.diff(best, prepend=BLANK).astype(bool))
        ids = best[starts]
        top = logits.max(axis=-1, keepdims=True, initial=-np.inf)
        log_prob = -np.log(np.exp(logits - top).sum(axis=-1)).sum() if len(logits) else 0.0
        return Hypothesis(
            text=self.alphabet.decode(ids),
            ids=tuple(ids.tolist()),
            steps=tuple(starts.tolist()),
            log_prob=float(log_prob),
        )
