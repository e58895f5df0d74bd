"""Silence before and after the speech is cut away, and nothing else."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.features.trimming import loud_part, trim_silence

RATE = 8000


def tone(seconds, level=0.5):
    return level * np.sin(np.arange(round(seconds * RATE)) * 0.3).astype(np.float32)


def test_the_loud_part_and_a_tenth_of_a_second_stay():
    quiet = tone(0.6, level=0.001)
    waveform = np.concatenate([quiet, tone(0.5), quiet, tone(0.3), quiet])
    trimmed = trim_silence(tf.constant(waveform), RATE, 30.0).numpy()
    np.testing.assert_array_equal(trimmed, waveform[4000 : 4800 + 4000 + 4800 + 2400 + 800])


def test_what_lies_less_than_trim_db_below_the_loudest_stays():
    waveform = np.concatenate([tone(0.5, level=0.05), tone(0.5)])
    assert len(trim_silence(tf.constant(waveform), RATE, 25.0)) == len(waveform)
    assert len(trim_silence(tf.constant(waveform), RATE, 15.0)) == 4000 + 800


@pytest.mark.parametrize("samples", [0, 1, 79])
def test_a_waveform_of_less_than_ten_ms_stays(samples):
    waveform = tone(1.0)[:samples]
    np.testing.assert_array_equal(trim_silence(tf.constant(waveform), RATE, 30.0), waveform)


def test_silence_stays():
    assert len(trim_silence(tf.zeros(5000), RATE, 30.0)) == 5000


def test_in_a_dataset():
    waveform = np.concatenate([np.zeros(4000, np.float32), tone(0.5)])
    dataset = tf.data.Dataset.from_tensors(waveform).map(lambda w: trim_silence(w, RATE, 30.0))
    assert len(next(iter(dataset))) == 800 + 4000


def test_rows_of_a_batch_are_cut_as_each_alone():
    quiet = tone(0.6, level=0.001)
    rows = [np.concatenate([quiet, tone(0.5), quiet]), tone(0.21), tone(0.009), np.zeros(500)]
    batch = np.full((4, 14000), 2.0, np.float32)
    for row, waveform in zip(batch, rows, strict=True):
        row[: len(waveform)] = waveform
    lengths = [len(row) for row in rows]
    found = loud_part(tf.constant(batch), tf.constant(lengths), RATE, 30.0)
    for row, waveform, start, end in zip(batch, rows, *found, strict=True):
        alone = trim_silence(tf.constant(waveform, tf.float32), RATE, 30.0)
        np.testing.assert_array_equal(row[start:end], alone)
    assert found[0][0] == 4000
