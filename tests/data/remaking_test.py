"""Elements that are missing are made in another way, in their place."""

import pytest
import tensorflow as tf

from keras_ds2.data.remaking import with_remade


@pytest.mark.parametrize("failing", [(), (0,), (3,), (0, 1, 4), (2, 3, 4, 7), range(9)])
def test_in_their_order(failing):
    failing = tf.constant(list(failing), tf.int64)

    def make(number):
        bad = tf.reduce_any(failing == number)
        with tf.control_dependencies([tf.debugging.Assert(~bad, ["fails"])]):
            return number, {"values": tf.fill([number], 1)}

    def remake(number):
        return {"values": tf.fill([number], 2)}

    elements = tf.data.Dataset.range(10).map(make, num_parallel_calls=3, deterministic=True)
    whole = with_remade(elements.ignore_errors(), remake)
    found = [each["values"].tolist() for each in whole.as_numpy_iterator()]
    expected = [[2 if n in failing.numpy() else 1] * n for n in range(10)]
    assert found == expected


def test_what_fails_again_is_an_error():
    def make(number):
        is_one = tf.equal(number, 1)
        with tf.control_dependencies([tf.debugging.Assert(~is_one, ["it is one"])]):
            return number, tf.identity(number)

    made = tf.data.Dataset.range(3).map(make).ignore_errors()
    elements = with_remade(made, lambda number: make(number)[1])
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(elements)
