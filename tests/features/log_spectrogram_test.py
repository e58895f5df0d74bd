"""The log-spectrogram against a NumPy reference, its mask, and its quiet corners."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.features import LogSpectrogram
from keras_ds2.portable import portable_ops
from keras_ds2.sequence import frames_in, lengths_to_mask


def reference(waveform, window, hop, power_normalize=True, epsilon=1e-14):
    """One utterance, straight from the definition, in float64."""
    waveform = waveform.astype(np.float64)
    if power_normalize:
        waveform = waveform / np.sqrt(np.mean(waveform**2))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    starts = range(0, len(waveform) - window + 1, hop)
    spectra = [np.fft.rfft(hann * waveform[start : start + window]) for start in starts]
    return np.log(np.abs(np.array(spectra)) ** 2 + epsilon)


def speech_like(samples, seed=0):
    """Noise under a slow envelope, quiet to loud."""
    generator = np.random.default_rng(seed)
    envelope = 0.01 + 0.2 * np.sin(np.linspace(0, 20, samples)) ** 2
    return (envelope * generator.normal(size=samples)).astype(np.float32)


def padded_batch(lengths, padding=0.0):
    batch = np.full((len(lengths), max(lengths)), padding, np.float32)
    for row, length in enumerate(lengths):
        batch[row, :length] = speech_like(length, seed=row)
    return tf.constant(batch), lengths_to_mask(lengths, max(lengths))


@pytest.mark.parametrize(
    ("sampling_rate", "window_ms", "hop_ms", "bins"),
    [(16000, 20.0, 10.0, 161), (8000, 20.0, 10.0, 81), (16000, 25.0, 10.0, 201)],
)
@pytest.mark.parametrize("power_normalize", [True, False])
def test_equals_the_reference(sampling_rate, window_ms, hop_ms, bins, power_normalize):
    waveform = speech_like(sampling_rate)
    layer = LogSpectrogram(sampling_rate, window_ms, hop_ms, power_normalize)
    features = layer(waveform[np.newaxis])
    window, hop = int(window_ms * sampling_rate / 1000), int(hop_ms * sampling_rate / 1000)
    expected = reference(waveform, window, hop, power_normalize)
    assert features.shape == (1, frames_in(sampling_rate, window, hop), bins)
    # Where a bin holds next to nothing of its frame, float32 has no digits left for its logarithm.
    power, expected_power = np.exp(features[0]), np.exp(expected)
    level = expected_power.mean(axis=1, keepdims=True)
    audible = expected_power > 1e-5 * level
    assert audible.mean() > 0.999
    np.testing.assert_allclose(features[0][audible], expected[audible], rtol=0, atol=1e-4)
    np.testing.assert_allclose(power / level, expected_power / level, rtol=1e-5, atol=1e-8)


def test_a_tone_stands_in_its_own_bin():
    time = np.arange(16000) / 16000
    features = LogSpectrogram()(np.sin(2 * np.pi * 1000 * time)[np.newaxis].astype(np.float32))
    assert (features.numpy().argmax(axis=-1) == 1000 // 50).all()


@pytest.mark.parametrize(("window_ms", "hop_ms"), [(20, 10), (10, 15), (25.5, 10)])
def test_a_product_in_place_of_the_transform_gives_the_same(window_ms, hop_ms):
    layer = LogSpectrogram(8000, window_ms, hop_ms)
    waveforms = np.stack([speech_like(4000), speech_like(4000, seed=1)])
    with portable_ops(fourier_transform=False):
        found = layer(waveforms)
    expected = [reference(each, layer.window, layer.hop) for each in waveforms]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(found, layer(waveforms), atol=2e-3)
    with portable_ops(fourier_transform=False):
        silence = layer(np.zeros((1, 4000), np.float32))
    np.testing.assert_allclose(silence, np.log(1e-14), atol=1e-4)


def test_loudness_does_not_matter():
    waveform = speech_like(8000)[np.newaxis]
    np.testing.assert_allclose(
        LogSpectrogram()(waveform * 0.01), LogSpectrogram()(waveform), atol=1e-3
    )


def test_rows_do_not_depend_on_the_batch_they_are_padded_in():
    lengths = [16000, 9999, 320, 319, 0]
    waveforms, mask = padded_batch(lengths)
    layer = LogSpectrogram()
    features = layer(waveforms, mask=mask)
    frames = [frames_in(length, 320, 160) for length in lengths]
    assert frames == [99, 61, 1, 0, 0]
    np.testing.assert_array_equal(
        layer.compute_mask(waveforms, mask), lengths_to_mask(frames, features.shape[1])
    )
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(features[row, frames[row] :], 0.0)
        if frames[row]:
            alone = layer(waveforms[row : row + 1, :length])[0]
            np.testing.assert_allclose(features[row, : frames[row]], alone, atol=1e-4)


def test_nan_in_the_padding_changes_nothing():
    clean, mask = padded_batch([4000, 2000])
    dirty, _ = padded_batch([4000, 2000], padding=np.nan)
    np.testing.assert_array_equal(
        LogSpectrogram()(dirty, mask=mask), LogSpectrogram()(clean, mask=mask)
    )


def test_silence_gives_finite_numbers_and_gradients():
    silence = tf.zeros([1, 1600])
    with tf.GradientTape() as tape:
        tape.watch(silence)
        features = LogSpectrogram()(silence)
        total = tf.reduce_sum(features)
    np.testing.assert_allclose(features, np.log(1e-14), rtol=1e-6)
    assert np.isfinite(tape.gradient(total, silence)).all()


@pytest.mark.parametrize("power_normalize", [True, False])
def test_gradient_is_right(power_normalize):
    layer = LogSpectrogram(8000, 5.0, 2.5, power_normalize, epsilon=1e-2)
    waveform = tf.constant(speech_like(200)[np.newaxis] * 10)
    analytic, numeric = tf.test.compute_gradient(
        lambda x: tf.reduce_mean(layer(x)), [waveform], delta=1e-2
    )
    np.testing.assert_allclose(analytic[0], numeric[0], atol=2e-3)


def test_no_gradient_reaches_the_padding():
    waveforms, mask = padded_batch([2000, 1000], padding=np.nan)
    with tf.GradientTape() as tape:
        tape.watch(waveforms)
        total = tf.reduce_sum(LogSpectrogram()(waveforms, mask=mask))
    gradient = tape.gradient(total, waveforms).numpy()
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[~mask.numpy()], 0.0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_rounds_only_the_result(policy):
    waveform = speech_like(8000)[np.newaxis] * 1e-3
    exact = LogSpectrogram()(waveform)
    rounded = LogSpectrogram(dtype=policy)(waveform)
    assert rounded.dtype == keras.DTypePolicy(policy).compute_dtype
    np.testing.assert_array_equal(rounded, tf.cast(exact, rounded.dtype))


def test_in_a_dataset_and_in_a_saved_model(tmp_path):
    waveforms, mask = padded_batch([4000, 2000])
    layer = LogSpectrogram()
    expected = layer(waveforms, mask=mask)

    dataset = tf.data.Dataset.from_tensors((waveforms, mask))
    mapped = next(iter(dataset.map(lambda waveform, mask: layer(waveform, mask=mask))))
    np.testing.assert_allclose(mapped, expected, atol=1e-5)

    inputs = keras.Input((None,)), keras.Input((None,), dtype="bool")
    model = keras.Model(inputs, layer(inputs[0], mask=inputs[1]))
    assert model.output_shape == (None, None, 161)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded([waveforms, mask]), expected, atol=1e-5)


def test_output_shape():
    assert LogSpectrogram().compute_output_shape((4, 16000)) == (4, 99, 161)
    assert LogSpectrogram().compute_output_shape((None, None)) == (None, None, 161)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"window_ms": -20.0}, "window_ms: expected > 0, received -20"),
        ({"hop_ms": 0.0}, "hop_ms: expected > 0, received 0"),
        ({"sampling_rate": 0}, "sampling_rate: expected > 0"),
        ({"epsilon": 0.0}, "epsilon: expected > 0"),
        ({"window_ms": 0.05}, "are 1 and 160 samples at 16000 Hz"),
    ],
)
def test_impossible_settings(arguments, said):
    with pytest.raises(ValueError, match=said):
        LogSpectrogram(**arguments)
