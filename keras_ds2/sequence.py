"""Lengths, masks and the steps left after striding: the only place with these sums.

Every function that counts works alike on Python integers, NumPy arrays and tensors, so that the
planning of batches, the input pipeline and the model cannot disagree.
"""

import numpy as np
import tensorflow as tf


def frames_in(samples, window, hop):
    """Number of whole windows in a waveform: frames of `window` samples every `hop` samples.

    Args:
        samples: int, array or tensor of sample counts.
        window: int, samples in one window.
        hop: int, samples from one window's start to the next one's.

    Returns:
        The frame counts, of the kind of `samples`; 0 where not one whole window fits.
    """
    # Where it is negative, some runtimes round towards 0, others down: below 1 all give 0.
    frames = (samples - window + hop) // hop
    if isinstance(frames, int):
        return max(frames, 0)
    return tf.maximum(frames, 0) if tf.is_tensor(frames) else np.maximum(frames, 0)


def steps_after_stride(frames, stride):
    """Steps left by a convolution with `"same"` padding and this stride: `ceil(frames / stride)`.

    Args:
        frames: int, array or tensor of frame counts.
        stride: int, the convolution's stride in time.

    Returns:
        The step counts, of the kind of `frames`.
    """
    return (frames + stride - 1) // stride


def lengths_to_mask(lengths, max_length):
    """Marks the real steps of rows that are padded at the end.

    Args:
        lengths: int tensor `(batch,)`.
        max_length: int or scalar tensor, the padded width.

    Returns:
        Bool tensor `(batch, max_length)`, True = real.
    """
    return tf.sequence_mask(lengths, max_length)


def mask_to_lengths(mask):
    """Counts the real steps of each row: int32 `(batch,)` from a bool mask `(batch, time)`."""
    return tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)


def stride_mask(mask, stride):
    """The mask of what a `"same"`-padded convolution with this stride in time leaves.

    Step `s` is real when frame `s * stride` is, which agrees with `steps_after_stride` for rows
    that are padded at the end.

    Args:
        mask: bool `(batch, time)` or None.
        stride: int.

    Returns:
        Bool `(batch, ceil(time / stride))`, or None.
    """
    if mask is None or stride == 1:
        return mask
    return mask[:, ::stride]


def zero_masked(inputs, mask):
    """Writes zeros over masked steps, whatever stood there (NaN too), gradients included.

    What one layer has zeroed and Keras hands to the next with its mask is not zeroed again.

    Args:
        inputs: `(batch, time, ...)`.
        mask: bool `(batch, time)`, or None for no masked step.

    Returns:
        `inputs` with zeros where `mask` is False.
    """
    if mask is None or is_zero_masked(inputs, mask):
        return inputs
    shape = tf.concat([tf.shape(mask), [1] * (len(inputs.shape) - 2)], axis=0)
    return mark_zero_masked(tf.where(tf.reshape(mask, shape), inputs, tf.zeros_like(inputs)))


def mark_zero_masked(outputs):
    """Notes on a layer's output that it is zero wherever its Keras mask will be False."""
    outputs._keras_ds2_zero_masked = True
    return outputs


def is_zero_masked(inputs, mask):
    """Whether a layer has noted that, and `mask` is the one that Keras put on its output."""
    return (
        mask is not None
        and getattr(inputs, "_keras_mask", None) is mask
        and getattr(inputs, "_keras_ds2_zero_masked", False)
    )
