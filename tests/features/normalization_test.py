"""Normalisation over real frames only, per utterance and per corpus."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.features import FeatureNormalization
from keras_ds2.features.running_moments import first_state
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


class TestRunning:
    def adapted(self, **frames):
        features, _ = padded_features()
        layer = FeatureNormalization("running", **frames)
        layer.adapt([(features, LENGTHS)])
        return layer

    def by_hand(self, layer, frames):
        """One frame after the other, in float64."""
        corpus_std = np.asarray(layer.std, np.float64) + layer.epsilon
        mean = np.asarray(layer.mean, np.float64)
        variance = corpus_std**2
        result = []
        for number, frame in enumerate(frames.astype(np.float64), start=1):
            weight = 1 / min(layer.prior_frames + number, layer.memory_frames)
            step = frame - mean
            mean = mean + weight * step
            variance = (1 - weight) * (variance + weight * step**2)
            std = np.maximum(np.sqrt(variance), 0.1 * corpus_std)
            result.append((frame - mean) / std)
        return np.array(result)

    @pytest.mark.parametrize("frames", [1, 63, 64, 65, 300])
    def test_follows_its_formula(self, frames):
        layer = self.adapted(prior_frames=10, memory_frames=50)
        features = np.random.default_rng(frames).normal(4.0, 3.0, (1, frames, 5))
        result = layer(features.astype(np.float32))[0]
        np.testing.assert_allclose(result, self.by_hand(layer, features[0]), atol=1e-4)

    def test_while_it_remembers_all_it_is_the_moments_of_prior_and_frames(self):
        layer = self.adapted(prior_frames=20, memory_frames=1000)
        frames = np.random.default_rng(1).normal(2.0, 2.0, (30, 5)).astype(np.float32)
        mean, std = np.asarray(layer.mean), np.asarray(layer.std) + layer.epsilon
        mean_so_far = (20 * mean + frames.sum(axis=0)) / 50
        squares = 20 * (std**2 + (mean - mean_so_far) ** 2)
        squares = squares + np.square(frames - mean_so_far).sum(axis=0)
        expected = (frames[-1] - mean_so_far) / np.sqrt(squares / 50)
        np.testing.assert_allclose(layer(frames[None])[0, -1], expected, atol=1e-4)

    def test_the_future_changes_nothing(self):
        layer = self.adapted()
        features = np.random.default_rng(2).normal(size=(1, 200, 5)).astype(np.float32)
        whole = layer(features)
        changed = features.copy()
        changed[:, 150:] += 100.0
        np.testing.assert_array_equal(layer(changed)[:, :150], whole[:, :150])

    def test_padding_is_never_read_and_rows_stand_alone(self):
        layer = self.adapted(prior_frames=5)
        (dirty, mask), (clean, _) = padded_features(np.nan, seed=3), padded_features(0.0, seed=3)
        together = layer(dirty, mask=mask).numpy()
        np.testing.assert_array_equal(together, layer(clean, mask=mask))
        np.testing.assert_array_equal(together[~mask.numpy()], 0.0)
        for row, length in enumerate(LENGTHS[:3]):
            alone = layer(clean[row : row + 1, :length])[0]
            np.testing.assert_allclose(together[row, :length], alone, atol=1e-5)

    @pytest.mark.parametrize("size", [1, 7, 64])
    def test_block_by_block_is_the_whole(self, size):
        layer = self.adapted(prior_frames=5, memory_frames=40)
        features = np.random.default_rng(4).normal(1.0, 2.0, (2, 150, 5)).astype(np.float32)
        state, parts = first_state(2, 5), []
        for start in range(0, 150, size):
            block = tf.constant(features[:, start : start + size])
            part, state = layer.normalize_block(block, tf.ones(block.shape[:2], tf.bool), state)
            parts.append(part)
        np.testing.assert_allclose(tf.concat(parts, axis=1), layer(features), atol=2e-5)

    def test_a_block_skips_what_is_masked(self):
        layer = self.adapted(prior_frames=5)
        features = np.random.default_rng(5).normal(size=(1, 6, 5)).astype(np.float32)
        gappy = np.full((1, 10, 5), np.nan, np.float32)
        real = np.array([[False, True, True, False, False, True, True, True, True, False]])
        gappy[real] = features[0]
        dense, dense_state = layer.normalize_block(
            tf.constant(features), tf.ones((1, 6), tf.bool), first_state(1, 5)
        )
        found, state = layer.normalize_block(tf.constant(gappy), real, first_state(1, 5))
        np.testing.assert_allclose(found.numpy()[real], dense[0], atol=1e-6)
        np.testing.assert_array_equal(found.numpy()[~real], 0.0)
        for one, other in zip(state, dense_state, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)

    def test_a_change_of_gain_is_followed(self):
        layer = self.adapted(prior_frames=10, memory_frames=100)
        features = np.random.default_rng(6).normal(size=(1, 1000, 5)).astype(np.float32)
        features[:, 300:] += 8.0  # 35 dB louder
        result = layer(features).numpy()[0]
        assert result[300].mean() > 2.0
        assert np.abs(result[900:].mean(axis=0)).max() < 0.5
        np.testing.assert_allclose(result[900:].std(axis=0), 1.0, atol=0.3)

    @pytest.mark.slow
    def test_an_hour_is_as_exact_as_a_second(self):
        layer = FeatureNormalization("running", prior_frames=1, memory_frames=500)
        draws = np.random.default_rng(7)
        layer.adapt([(draws.normal(-9.0, 2.0, (100, 1)).astype(np.float32), 100)])
        last = draws.normal(30.0, 0.5, (6000, 1)).astype(np.float32)
        hour = np.concatenate([draws.normal(30.0, 0.5, (354000, 1)).astype(np.float32), last])
        found = layer(hour[np.newaxis])[0, -1000:]
        np.testing.assert_allclose(found, layer(last[np.newaxis])[0, -1000:], atol=2e-3)

    def test_digital_silence_is_no_noise(self):
        layer = self.adapted(prior_frames=1, memory_frames=20)
        result = layer(np.full((1, 400, 5), -32.0, np.float32)).numpy()
        assert np.isfinite(result).all()
        np.testing.assert_allclose(result[0, -1], 0.0, atol=1e-3)

    def test_is_refused_before_adapt(self):
        with pytest.raises(tf.errors.InvalidArgumentError, match="no statistics yet: call adapt"):
            FeatureNormalization("running")(np.zeros((1, 3, 5), np.float32))


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
        (
            {"scope": "batch"},
            "scope: expected one of utterance, corpus, running, received 'batch'",
        ),
        ({"epsilon": 0.0}, "epsilon: expected > 0"),
        ({"prior_frames": 0}, "1 <= prior <= memory, received 0 and 1000"),
        ({"prior_frames": 9, "memory_frames": 8}, "1 <= prior <= memory, received 9 and 8"),
    ],
)
def test_impossible_settings(arguments, said):
    with pytest.raises(ValueError, match=said):
        FeatureNormalization(**arguments)
