"""A trailer for FLAC streams, without which tensorflow-io's decoder may never return.

Its decoder asks libFLAC for frames until it has all samples that the header states. Where a file
was cut between two frames, or its last frame is damaged, libFLAC answers "end of stream" without an
error, for ever. The trailer turns all of these into errors: it is one more frame, of silence and
counted in the header, which the decoder must reach, and far behind it the head of a frame without
its body, which fails whoever comes that far. A frame that was cut short swallows the silent one.
Source of the bits: RFC 9639, sections 8.2 and 9.
"""

import numpy as np
import tensorflow as tf

from keras_ds2.audio.stated_length import id3_size, stated_length

EXTRA_SAMPLES = 256  # in the silent frame; to be dropped from what the decoder returns

_SMALLEST_BLOCK = 16  # samples, but for the last block
_BYTES_A_FALSE_HEAD, _FALSE_HEADS = 256, 1000  # one in 2**15 bytes comes about by chance

_BLOCK_SIZE_CODE = 0x80  # 256 samples, at the rate that the stream's header states
# Between silence and last head, more than a cut frame lacks. Not zeros: a residual, which ends with
# its first 1, would swallow them all and the head too.
_SPACE = b"\x55" * 2**17
_HEAD_BYTES = 12
_MOST_BODY_BYTES = 8 * (1 + 3)  # eight channels of 24 bits
_ALL_BYTES = [bytes([value]) for value in range(256)]


def guarded_flac(stream, channels, bits):
    """Adds the trailer to a FLAC stream.

    Args:
        stream: scalar string tensor that begins with `fLaC` and its STREAMINFO.
        channels: scalar int tensor, as that states.
        bits: scalar int tensor, bits per sample: 8, 16 or 24.

    Returns:
        Scalar string tensor: a stream of `EXTRA_SAMPLES` more samples.
    """
    channels, bits = tf.cast(channels, tf.int64), tf.cast(bits, tf.int64)
    count = tf.cast(tf.io.decode_raw(tf.strings.substr(stream, 21, 5), tf.uint8), tf.int64)
    samples = tf.reduce_sum(count * 256 ** np.arange(4, -1, -1)) % 2**36
    head = _head(channels, samples)
    body_bytes = channels * (1 + bits // 8)  # per channel: "constant", and the value 0
    check = _remainder(head, _CRC_16, body_bytes)
    return tf.strings.join(
        [
            tf.strings.substr(stream, 0, 21),
            _text(_digits(count[0] // 16 * 2**36 + samples + EXTRA_SAMPLES, 256, 5)),
            tf.strings.substr(stream, 26, tf.strings.length(stream)),
            _text(head),
            tf.strings.substr(bytes(_MOST_BODY_BYTES), tf.constant(0, tf.int64), body_bytes),
            _text(_digits(check, 256, 2)),
            _SPACE,
            _text(head),
        ]
    )


def is_swamped(content: bytes) -> bool:
    """Whether a file is a FLAC stream in which far more frames seem to begin than it can hold.

    Tensorflow-io's decoder looks at each, and writes a line about each that is none: for a file of
    nothing else millions.

    Args:
        content: of an audio file of any format, whole.
    """
    start = id3_size(content)
    if content[start : start + 4] != b"fLaC":
        return False
    heads = content.count(b"\xff\xf8") + content.count(b"\xff\xf9")
    most = stated_length(content).samples // _SMALLEST_BLOCK
    return heads > most + len(content) // _BYTES_A_FALSE_HEAD + _FALSE_HEADS


def _head(channels, first_sample):
    """The head of a frame: its number is that of its first sample, in the longest form there is."""
    sync = tf.constant([0xFF, 0xF9, _BLOCK_SIZE_CODE], tf.int64)
    number = 0x80 + _digits(first_sample, 64, 6)
    head = tf.concat([sync, [(channels - 1) * 16, 0xFE], number], axis=0)
    return tf.concat([head, [_remainder(head, _CRC_8, 0)]], axis=0)


def _remainder(message, table, zero_bytes):
    """The cyclic check of a message and some zero bytes behind it: linear, so a sum of its bits."""
    ones = message[:, tf.newaxis] // 2 ** tf.range(7, -1, -1, tf.int64) % 2
    ones = tf.reshape(ones, [-1])
    place = tf.range(tf.size(ones) - 1, -1, -1) + 8 * tf.cast(zero_bytes, tf.int32)
    odd = tf.reduce_sum(ones[:, tf.newaxis] * tf.gather(tf.constant(table), place), axis=0) % 2
    return tf.reduce_sum(odd * 2 ** tf.range(tf.size(odd, tf.int64)))


def _remainder_table(polynomial, width):
    """Row `n`: the bits, lowest first, of the check of a single 1 with `n` bits behind it."""
    rows, value = [], polynomial
    for _ in range(8 * (_HEAD_BYTES + _MOST_BODY_BYTES)):
        rows.append([value >> bit & 1 for bit in range(width)])
        value = (value << 1) ^ (polynomial if value >> (width - 1) else 0)
        value &= 2**width - 1
    return np.array(rows, np.int64)


def _digits(value, base, count):
    return value // tf.constant([base**place for place in reversed(range(count))], tf.int64) % base


def _text(values):
    return tf.strings.reduce_join(tf.gather(tf.constant(_ALL_BYTES), values))


_CRC_8 = _remainder_table(0x07, 8)
_CRC_16 = _remainder_table(0x8005, 16)
