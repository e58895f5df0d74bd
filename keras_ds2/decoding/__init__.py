"""From logits to text."""

from keras_ds2.decoding.greedy import GreedyDecoder
from keras_ds2.decoding.hypothesis import Hypothesis

__all__ = ["GreedyDecoder", "Hypothesis"]
