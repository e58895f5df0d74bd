"""Normalisation over real frames only, per utterance and per corpus."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.features import FeatureNormalization
from keras_ds2.sequence import lengths_to_mask

LENGTHS = [30, 12, 1, 0]


def padded_features(padding=np.nan, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(4, 30, 5), loc=3.0, scale=[1, 2, 3, 4, 5]).astype(np.float32)
    mask = lengths_to_mask(LENGTHS, 30)
    features[~mask.numpy()] = padding
    return tf.constant(features), mask


class TestUtterance:
    def test_each_bin_of_each_row_has_mean_0_and_deviation_1(self):
        features, mask = padded_features()
        result = FeatureNormalization()(features, mask=mask).numpy()
        for row, length in enumerate(LENGTHS[:2]):
            real = result[row, :length]
            np.testing.assert_allclose(real.mean(axis=0), 0.0, atol=1e-5)
            np.testing.assert_allclose(real.std(axis=0), 1.0, atol=1e-4)
            np.testing.assert_array_equal(result[row, length:], 0.0)

    def test_rows_of_one_frame_and_of_none_are_zeros(self):
        features, mask = padded_features()
        np.testing.assert_array_equal(FeatureNormalization()(features, mask=mask)[2:], 0.0)

    def test_a_constant_bin_is_zero(self):
        features = np.random.default_rng(0).normal(size=(1, 20, 2)).astype(np.float32)
        features[..., 1] = 0.5
        result = FeatureNormalization()(features)
        np.testing.assert_allclose(result[..., 1], 0.0, atol=1e-2)

    def test_a_row_does_not_depend_on_its_batch(self):
        features, mask = padded_features()
        together = FeatureNormalization()(features, mask=mask)
        for row, length in enumerate(LENGTHS[:3]):
            alone = FeatureNormalization()(features[row : row + 1, :length])
            np.testing.assert_allclose(together[row, :length], alone[0], atol=1e-5)

    def test_gradients_are_finite_and_stay_out_of_the_padding(self):
        features, mask = padded_features()
        weights = tf.constant(np.random.default_rng(1).normal(size=features.shape), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(features)
            total = tf.reduce_sum(FeatureNormalization()(features, mask=mask) * weights)
        gradient = tape.gradient(total, features).numpy()
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(gradient[~mask.numpy()], 0.0)

    def test_adapt_is_refused(self):
        with pytest.raises(ValueError, match="adapt is for scope 'corpus'"):
            FeatureNormalization().adapt([])


class TestCorpus:
    def adapted(self):
        features, mask = padded_features()
        layer = FeatureNormalization("corpus")
        layer.adapt([(features, LENGTHS)])
        return layer, features.numpy()[mask.numpy()]

    def test_statistics_of_the_real_frames(self):
        layer, frames = self.adapted()
        np.testing.assert_allclose(layer.mean, frames.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(layer.std, frames.std(axis=0), rtol=1e-5)
        assert float(layer.count) == len(frames) == sum(LENGTHS)

    def test_batches_and_single_utterances_measure_the_same(self):
        layer, _ = self.adapted()
        features, _ = padded_features()
        one_by_one = FeatureNormalization("corpus")
        dataset = tf.data.Dataset.from_tensor_slices((features, LENGTHS))
        one_by_one.adapt(dataset)
        np.testing.assert_allclose(one_by_one.mean, layer.mean, rtol=1e-6)
        np.testing.assert_allclose(one_by_one.std, layer.std, rtol=1e-6)

    def test_a_large_offset_does_not_spoil_the_deviation(self):
        frames = np.random.default_rng(0).normal(size=(50, 1000, 1), loc=1e4).astype(np.float32)
        layer = FeatureNormalization("corpus")
        layer.adapt((row, 1000) for row in frames)
        np.testing.assert_allclose(layer.std, frames.astype(np.float64).std(), rtol=1e-5)

    def test_applies_them_to_other_rows_and_zeroes_the_padding(self):
        layer, frames = self.adapted()
        features, mask = padded_features(seed=1)
        result = layer(features, mask=mask).numpy()
        expected = (features.numpy() - frames.mean(axis=0)) / (frames.std(axis=0) + layer.epsilon)
        np.testing.assert_allclose(result, np.where(mask[..., None], expected, 0.0), atol=1e-5)

    def test_weights_are_saved_and_do_not_train(self, tmp_path):
        layer, _ = self.adapted()
        assert layer.trainable_weights == []
        features, mask = padded_features(seed=1)
        inputs = keras.Input((None, 5)), keras.Input((None,), dtype="bool")
        model = keras.Model(inputs, layer(inputs[0], mask=inputs[1]))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(loaded([features, mask]), layer(features, mask=mask), atol=1e-6)

    def test_is_refused_before_adapt(self):
        features, _ = padded_features(padding=0.0)
        with pytest.raises(tf.errors.InvalidArgumentError, match="no statistics yet: call adapt"):
            FeatureNormalization("corpus")(features)

    def test_adapt_on_nothing(self):
        with pytest.raises(ValueError, match="adapt received no real frame"):
            FeatureNormalization("corpus").adapt([(np.zeros((4, 5), np.float32), 0)])

    def test_unknown_number_of_bins(self):
        with pytest.raises(ValueError, match="needs the number of bins"):
            FeatureNormalization("corpus").build((None, None, None))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_rounds_only_the_result(policy):
    features, mask = padded_features()
    rounded = FeatureNormalization(dtype=policy)(features, mask=mask)
    assert rounded.dtype == keras.DTypePolicy(policy).compute_dtype
    exact = FeatureNormalization()(features, mask=mask)
    np.testing.assert_array_equal(rounded, tf.cast(exact, rounded.dtype))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scope": "batch"}, "scope: expected one of utterance, corpus, received 'batch'"),
        ({"epsilon": 0.0}, "epsilon: expected > 0"),
    ],
)
def test_impossible_settings(arguments, said):
    with pytest.raises(ValueError, match=said):
        FeatureNormalization(**arguments)
