"""Elements of a dataset that are missing, made in another way, each in its place."""

from collections.abc import Callable

import tensorflow as tf


def with_remade(elements: tf.data.Dataset, remake: Callable) -> tf.data.Dataset:
    """Puts an element made anew where one is missing.

    TensorFlow's graphs have no `except`: its datasets can only leave out an element that fails
    (`ignore_errors`), so each has a number, and those that are missing are seen when the next one
    comes. The elements that are there cost nothing more.

    Args:
        elements: of `(number, element)`, int64 numbers that rise from 0 on; the last one must be
            there.
        remake: from a number, a scalar tensor, to the element.

    Returns:
        Dataset of all elements in their order, without numbers.
    """

    def expect(expected, numbered):
        number, element = numbered
        return number + 1, (expected, number, element)

    def with_missing(expected, number, element):
        own = tf.data.Dataset.from_tensors(element)
        return tf.cond(
            expected == number,
            lambda: own,
            lambda: tf.data.Dataset.range(expected, number).map(remake).concatenate(own),
        )

    start = tf.constant(0, tf.int64)
    return elements.scan(start, expect).flat_map(with_missing)
