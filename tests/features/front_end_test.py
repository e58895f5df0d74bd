"""The front end is its parts in a row, alike in a dataset, in a model and after loading."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.features import Deltas, FeatureFrontEnd, FeatureNormalization, LogSpectrogram
from keras_ds2.sequence import frames_in, lengths_to_mask

LENGTHS = [4000, 2500, 320, 100]


def padded_waveforms(padding=0.0):
    waveforms = 0.1 * np.random.default_rng(0).normal(size=(4, 4000)).astype(np.float32)
    mask = lengths_to_mask(LENGTHS, 4000)
    waveforms[~mask.numpy()] = padding
    return tf.constant(waveforms), mask


def padded_precomputed(padding=0.0):
    features = np.random.default_rng(0).normal(size=(4, 40, 13), loc=2.0).astype(np.float32)
    lengths = [40, 25, 1, 0]
    mask = lengths_to_mask(lengths, 40)
    features[~mask.numpy()] = padding
    return tf.constant(features), mask, lengths


def test_is_its_parts_in_a_row():
    waveforms, mask = padded_waveforms()
    front_end = FeatureFrontEnd(deltas=1)
    spectrogram = LogSpectrogram()
    expected = spectrogram(waveforms, mask=mask)
    frames_mask = spectrogram.compute_mask(waveforms, mask)
    expected = Deltas(1)(expected, mask=frames_mask)
    expected = FeatureNormalization()(expected, mask=frames_mask)
    result = front_end(waveforms, mask=mask)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(front_end.compute_mask(waveforms, mask), frames_mask)
    assert result.shape == front_end.compute_output_shape(waveforms.shape)
    assert result.shape[-1] == front_end.num_output_bins == 322


@pytest.mark.parametrize("normalization", ["utterance", "none"])
def test_precomputed_features_take_the_same_road(normalization):
    features, mask, _ = padded_precomputed(padding=np.nan)
    front_end = FeatureFrontEnd("precomputed", num_bins=13, deltas=2, normalization=normalization)
    result = front_end(features, mask=mask)
    expected = Deltas(2)(features, mask=mask)
    if normalization == "utterance":
        expected = FeatureNormalization()(expected, mask=mask)
    np.testing.assert_array_equal(result, expected)
    assert result.shape[-1] == front_end.num_output_bins == 39


@pytest.mark.parametrize("kind", ["log_spectrogram", "precomputed"])
@pytest.mark.parametrize("normalization", ["utterance", "corpus", "running", "none"])
def test_padding_is_never_read(kind, normalization):
    if kind == "precomputed":
        (clean, mask, lengths), (dirty, *_) = padded_precomputed(), padded_precomputed(np.nan)
        front_end = FeatureFrontEnd(kind, num_bins=13, deltas=1, normalization=normalization)
    else:
        (clean, mask), (dirty, _), lengths = padded_waveforms(), padded_waveforms(np.nan), LENGTHS
        front_end = FeatureFrontEnd(kind, deltas=1, normalization=normalization)
    if front_end.is_measured:
        front_end.adapt([(dirty, lengths)])
    together = front_end(dirty, mask=mask)
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(front_end(clean, mask=mask), together)
    for row, length in enumerate(lengths):
        frames = front_end.frames(length)
        np.testing.assert_array_equal(together[row, frames:], 0.0)
        if frames:
            alone = front_end(clean[row : row + 1, :length])[0]
            np.testing.assert_allclose(together[row, :frames], alone, atol=2e-4)


def test_frames_are_changed_before_differences_and_statistics():
    (clean, mask), (dirty, _) = padded_waveforms(), padded_waveforms(np.nan)
    front_end = FeatureFrontEnd(deltas=1)
    frames_mask = front_end.compute_mask(clean, mask)

    def change(frames):
        return 3.0 * tf.reverse(frames, [-1]) + 1.0

    spectrogram = LogSpectrogram()(clean, mask=mask)
    expected = FeatureNormalization()(
        Deltas(1)(change(spectrogram), mask=frames_mask), mask=frames_mask
    )
    result = front_end(dirty, mask=mask, change=change)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(result[~frames_mask.numpy()], 0.0)
    np.testing.assert_allclose(tf.reduce_mean(result[0], axis=0), 0.0, atol=1e-4)


def test_frames():
    assert FeatureFrontEnd().frames(16000) == frames_in(16000, 320, 160) == 99
    assert FeatureFrontEnd("precomputed", num_bins=13).frames(77) == 77
    np.testing.assert_array_equal(FeatureFrontEnd().frames(tf.constant([320, 319])), [1, 0])


class TestCorpusStatistics:
    def adapted(self):
        waveforms, mask = padded_waveforms()
        front_end = FeatureFrontEnd(deltas=1, normalization="corpus")
        front_end.adapt([(waveforms, LENGTHS)])
        return front_end, waveforms, mask

    def test_the_corpus_comes_out_normalised(self):
        front_end, waveforms, mask = self.adapted()
        result = front_end(waveforms, mask=mask).numpy()
        real = result[front_end.compute_mask(waveforms, mask).numpy()]
        np.testing.assert_allclose(real.mean(axis=0), 0.0, atol=1e-4)
        np.testing.assert_allclose(real.std(axis=0), 1.0, atol=1e-3)

    def test_utterance_by_utterance_from_a_dataset(self):
        front_end, waveforms, mask = self.adapted()
        one_by_one = FeatureFrontEnd(deltas=1, normalization="corpus")
        one_by_one.adapt(tf.data.Dataset.from_tensor_slices((waveforms, LENGTHS)))
        np.testing.assert_allclose(
            one_by_one(waveforms, mask=mask), front_end(waveforms, mask=mask), atol=1e-4
        )

    def test_config_and_weights_bring_it_back(self, tmp_path):
        front_end, waveforms, mask = self.adapted()
        keras.saving.save_weights(front_end, tmp_path / "front_end.weights.h5")
        config = json.loads(json.dumps(front_end.get_config()))
        loaded = FeatureFrontEnd.from_config(config)
        loaded.build((None, None))
        keras.saving.load_weights(loaded, tmp_path / "front_end.weights.h5")
        np.testing.assert_array_equal(loaded(waveforms, mask=mask), front_end(waveforms, mask=mask))

    def test_adapt_is_refused_where_nothing_is_kept(self):
        with pytest.raises(ValueError, match="this front end has 'utterance'"):
            FeatureFrontEnd().adapt([])


@pytest.mark.parametrize("normalization", ["utterance", "corpus", "running"])
def test_in_a_dataset_and_in_a_saved_model(normalization, tmp_path):
    waveforms, mask = padded_waveforms()
    front_end = FeatureFrontEnd(normalization=normalization)
    if front_end.is_measured:
        front_end.adapt([(waveforms, LENGTHS)])
    expected = front_end(waveforms, mask=mask)

    dataset = tf.data.Dataset.from_tensor_slices((waveforms, LENGTHS)).map(
        lambda waveform, length: front_end(waveform[tf.newaxis, :length])[0],
        num_parallel_calls=2,
    )
    for row, features in enumerate(dataset):
        np.testing.assert_allclose(features, expected[row, : len(features)], atol=2e-4)
        assert len(features) == front_end.frames(LENGTHS[row])

    inputs = keras.Input((None,)), keras.Input((None,), dtype="bool")
    model = keras.Model(inputs, front_end(inputs[0], mask=inputs[1]))
    assert model.output_shape == (None, None, 161)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded([waveforms, mask]), expected, atol=1e-5)


def test_mixed_precision_rounds_only_the_result():
    waveforms, mask = padded_waveforms()
    exact = FeatureFrontEnd()(waveforms, mask=mask)
    keras.config.set_dtype_policy("mixed_float16")
    rounded = FeatureFrontEnd()(waveforms, mask=mask)
    assert rounded.dtype == tf.float16
    np.testing.assert_array_equal(rounded, tf.cast(exact, tf.float16))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kind": "mel"}, "kind: expected one of log_spectrogram, precomputed, received 'mel'"),
        (
            {"normalization": "batch"},
            "normalization: expected one of utterance, corpus, running, none",
        ),
        ({"kind": "precomputed"}, "num_bins: expected the bins of a precomputed frame"),
        ({"num_bins": 80}, "gives 161, received 80; leave it out"),
        ({"window_ms": -1.0}, "window_ms: expected > 0"),
        ({"deltas": -1}, "order: expected >= 0"),
    ],
)
def test_impossible_settings(arguments, said):
    with pytest.raises(ValueError, match=said):
        FeatureFrontEnd(**arguments)


def test_precomputed_features_of_other_bins_are_refused():
    with pytest.raises(ValueError, match="expected num_bins=13 on the last axis"):
        FeatureFrontEnd("precomputed", num_bins=13)(np.zeros((1, 5, 40), np.float32))


def test_epsilon_is_a_floor_under_digital_silence():
    waveform = np.random.default_rng(0).normal(size=(1, 3200)).astype(np.float32)
    waveform[:, :1600] = 0.0
    lowest = {}
    for epsilon in (None, 1e-4):
        front_end = FeatureFrontEnd(epsilon=epsilon, normalization="none")
        lowest[epsilon] = float(np.min(front_end(waveform)))
    assert lowest[1e-4] == pytest.approx(np.log(1e-4), abs=1e-5)
    assert lowest[None] == pytest.approx(np.log(1e-14), abs=1e-3)


def test_trim_cuts_only_where_it_is_asked_for():
    waveform = np.concatenate([np.zeros(8000), np.ones(8000), np.zeros(8000)]).astype(np.float32)
    assert FeatureFrontEnd().trim(waveform) is waveform
    assert len(FeatureFrontEnd(trim_db=30.0).trim(waveform)) == 1600 + 8000 + 1600
    with pytest.raises(ValueError, match="trim_db: expected dB > 0"):
        FeatureFrontEnd(trim_db=-3.0)


class TestStreaming:
    @pytest.mark.parametrize(
        ("arguments", "needs"),
        [
            ({}, ["normalization 'utterance'", "power_normalize"]),
            ({"normalization": "running"}, []),
            ({"normalization": "running", "trim_db": 40.0}, ["trim_db 40"]),
            ({"normalization": "running", "power_normalize": True}, ["power_normalize"]),
            ({"normalization": "corpus"}, ["power_normalize"]),
            ({"normalization": "none", "power_normalize": False}, []),
            ({"kind": "precomputed", "num_bins": 4}, ["normalization 'utterance'"]),
            ({"kind": "precomputed", "num_bins": 4, "normalization": "corpus"}, []),
        ],
    )
    def test_says_what_needs_the_whole_utterance(self, arguments, needs):
        found = FeatureFrontEnd(**arguments).whole_utterance_needs()
        assert len(found) == len(needs)
        for line, start in zip(found, needs, strict=True):
            assert line.startswith(start)

    def test_a_running_front_end_hears_the_past_alone(self):
        waveforms, _ = padded_waveforms()
        front_end = FeatureFrontEnd(normalization="running", normalization_prior_frames=10)
        front_end.adapt([(waveforms, LENGTHS)])
        result = front_end(waveforms[:1])
        louder = tf.concat([waveforms[:1, :2000], 5.0 * waveforms[:1, 2000:]], axis=1)
        changed = front_end(louder)
        frames = front_end.frames(2000)
        np.testing.assert_allclose(changed[:, :frames], result[:, :frames], atol=1e-5)
        assert np.abs(changed[:, frames:] - result[:, frames:]).max() > 0.5

    def test_its_numbers_of_frames_are_handed_on(self):
        front_end = FeatureFrontEnd(
            normalization="running", normalization_prior_frames=7, normalization_memory_frames=70
        )
        *_, normalization = front_end.parts
        assert (normalization.prior_frames, normalization.memory_frames) == (7, 70)
        again = FeatureFrontEnd.from_config(front_end.get_config())
        assert again.parts[-1].memory_frames == 70
