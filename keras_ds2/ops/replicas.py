"""Sums over the replicas of a `tf.distribute` strategy."""

import tensorflow as tf


def sum_over_replicas(tensors: list) -> list:
    """Sums each tensor over all replicas that compute in step, gradients included.

    Args:
        tensors: list of float tensors, of one shape on every replica.

    Returns:
        The sums, equal on every replica; without a strategy of several replicas, `tensors`.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
