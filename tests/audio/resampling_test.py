"""Resampling keeps what both rates can hold, in its place, and nothing else."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.audio.resampling import resample
from tests.audio.made_up_audio import tone

RATES = [(8000, 16000), (48000, 16000), (44100, 16000), (16000, 8000), (22051, 16000)]


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_tones_below_nyquist_stay_in_place(rate_in, rate_out):
    nyquist = min(rate_in, rate_out) / 2
    for share in (0.1, 0.5, 0.9):
        waveform = tone(share * nyquist, rate_in, 0.5).astype(np.float32)
        resampled = resample(waveform, rate_in, rate_out)
        expected = tone(share * nyquist, rate_out, 0.6)[: len(resampled)]
        assert abs(len(resampled) - 0.5 * rate_out) <= 1
        np.testing.assert_allclose(resampled[1000:-1000], expected[1000:-1000], atol=2e-3)


def test_tones_above_the_new_nyquist_vanish():
    waveform = tone(8800.0, 48000, 0.5).astype(np.float32)
    assert np.abs(resample(waveform, 48000, 16000)[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_no_delay_and_no_wrapping_round(rate_in, rate_out):
    click = np.zeros(4000, np.float32)
    click[3900] = 1.0
    resampled = resample(click, rate_in, rate_out).numpy()
    assert len(resampled) == -(-4000 * rate_out // rate_in)
    assert abs(np.abs(resampled).argmax() - 3900 * rate_out / rate_in) <= 0.5
    assert np.abs(resampled[:500]).max() < 1e-3


def test_equal_rates_change_nothing():
    waveform = tone(440.0, 16000, 0.1).astype(np.float32)
    np.testing.assert_array_equal(resample(waveform, 16000, 16000), waveform)


def test_in_a_graph_with_rates_as_tensors():
    waveform = tone(440.0, 44100, 0.1).astype(np.float32)
    compiled = tf.function(
        resample,
        input_signature=[
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.int32),
        ],
    )
    np.testing.assert_allclose(
        compiled(waveform, 44100, 16000), resample(waveform, 44100, 16000), atol=1e-6
    )


def test_nothing_and_one_sample():
    assert resample(np.zeros(0, np.float32), 8000, 16000).shape == (0,)
    assert resample(np.ones(1, np.float32), 48000, 16000).shape == (1,)
