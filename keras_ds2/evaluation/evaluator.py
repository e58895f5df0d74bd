"""A model run over a dataset: hypotheses, loss and score."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_ds2.evaluation.metrics import Score, score
from keras_ds2.ops.ctc import ctc_loss, labels_fit


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        score: word and character error rates.
        loss: mean CTC loss of the utterances whose labels fit their steps.
        references: what was said.
        hypotheses: what was recognised, one `Hypothesis` an utterance.
        unread: utterances that could not be read (without a frame): not scored.
    """

    score: Score
    loss: float
    references: list[str]
    hypotheses: list
    unread: int = 0


class Evaluator:
    """Runs a model and a decoder over datasets; traced once, whatever the shapes.

    Args:
        model: from `{"features", "feature_length"}` to `{"logits", "logit_length"}`.
        decoder: with `decode(logits, logit_length)`.
        num_bins: features of a frame.
        ignore_spaces: whether the character error rate counts no spaces (Mandarin).
    """

    def __init__(self, model: Callable, decoder, num_bins: int, ignore_spaces: bool = False):
        self.decoder = decoder
        self.ignore_spaces = ignore_spaces
        signature = {
            "features": tf.TensorSpec((None, None, num_bins), tf.float32),
            "feature_length": tf.TensorSpec((None,), tf.int32),
        }
        self._run = tf.function(lambda inputs: model(inputs, training=False), [signature])

    def evaluate(
        self,
        dataset: tf.data.Dataset,
        references: Sequence[str],
        progress: Callable[[int], None] | None = None,
    ) -> Evaluation:
        """Recognises and scores.

        Args:
            dataset: batches of `(inputs, labels)`.
            references: the texts, in the dataset's order.
            progress: called with the number of utterances of each batch.
        """
        hypotheses, is_read, total, count = [], [], 0.0, 0
        for inputs, labels in dataset:
            outputs = self._run(inputs)
            lengths = labels["label_length"], outputs["logit_length"]
            losses = ctc_loss(labels["labels"], outputs["logits"], *lengths)
            total += float(tf.reduce_sum(losses))
            count += int(tf.math.count_nonzero(labels_fit(labels["labels"], *lengths)))
            hypotheses += self.decoder.decode(outputs["logits"], outputs["logit_length"])
            is_read += (inputs["feature_length"] > 0).numpy().tolist()
            if progress:
                progress(len(lengths[0]))
        texts = [hypothesis.text for hypothesis in hypotheses]
        references = list(references)
        said, read = references, texts
        if any(is_read) and not all(is_read):
            said, read = (list(itertools.compress(each, is_read)) for each in (references, texts))
        return Evaluation(
            score=score(said, read, ignore_spaces=self.ignore_spaces),
            loss=total / max(count, 1),
            references=references,
            hypotheses=hypotheses,
            unread=is_read.count(False),
        )
