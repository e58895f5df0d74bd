"""Greedy decoding in pieces is greedy decoding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.decoding import GreedyDecoder
from keras_ds2.streaming.greedy import GreedyStream
from keras_ds2.text.alphabet import Alphabet

ALPHABET = Alphabet(list(" ab"))


def logits_for(ids):
    """Logits whose best symbols these are, with noise."""
    draws = np.random.default_rng(len(ids))
    return (4 * np.eye(4)[ids] + draws.uniform(0, 1, (len(ids), 4))).astype(np.float32)


@settings(max_examples=60, database=None, derandomize=True)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_any_cutting_is_the_whole(ids, data):
    logits = logits_for(ids)
    (whole,) = GreedyDecoder(ALPHABET).decode(logits[np.newaxis], [len(ids)])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=5)))
    stream = GreedyStream(ALPHABET)
    for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        stream.accept(logits[start:end])
        again = GreedyStream(ALPHABET)
        again.restore(stream.state())
        stream = again
    found = stream.hypothesis()
    assert (found.text, found.ids, found.steps) == (whole.text, whole.ids, whole.steps)
    assert found.log_prob == pytest.approx(whole.log_prob, rel=1e-4)


def test_a_symbol_lasts_as_long_as_it_is_repeated_and_is_as_sure_as_its_best_step():
    logits = logits_for([0, 2, 2, 0, 2, 3])
    logits[2] *= 2
    stream = GreedyStream(ALPHABET)
    stream.accept(logits[:2])
    stream.accept(logits[2:])
    assert [(each.first_step, each.last_step) for each in stream.symbols] == [
        (1, 2),
        (4, 4),
        (5, 5),
    ]
    exact = logits[2].astype(np.float64)
    best = exact.max() - np.log(np.exp(exact).sum())
    assert stream.symbols[0].log_prob == pytest.approx(best, rel=1e-4)


def test_a_state_of_another_alphabet_is_refused():
    stream = GreedyStream(ALPHABET)
    stream.accept(logits_for([3]))
    with pytest.raises(ValueError, match="expected ids from 1 to 1; it is another"):
        GreedyStream(Alphabet(["a"])).restore(stream.state())
