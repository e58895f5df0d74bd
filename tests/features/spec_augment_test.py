"""Feature augmentation: widths, places, paces and seeds."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.features.spec_augment import frequency_mask, gaussian_noise, time_mask, time_warp

FEATURES = tf.constant(np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32) + 5.0)
SEED = np.array([1, 2], np.int32)


def stretches(hidden):
    """Widths of the runs of True."""
    edges = np.diff(np.concatenate([[0], hidden.astype(int), [0]]))
    return np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)


@pytest.mark.parametrize(("mask", "axis", "size"), [(time_mask, 0, 50), (frequency_mask, 1, 12)])
class TestMasks:
    def test_zeroes_whole_stretches_of_every_width_and_place(self, mask, axis, size):
        widths, hidden_somewhere = set(), np.zeros(size, bool)
        for i in range(300):
            masked = mask(FEATURES, (0, i), 1, 4).numpy()
            hidden = (masked == 0.0).all(axis=1 - axis)
            kept = np.compress(~hidden, masked, axis=axis)
            np.testing.assert_array_equal(kept, np.compress(~hidden, FEATURES, axis=axis))
            runs = stretches(hidden)
            assert len(runs) <= 1
            widths.add(int(runs.sum()))
            hidden_somewhere |= hidden
        assert widths == {0, 1, 2, 3, 4}
        assert hidden_somewhere.all()

    def test_count(self, mask, axis, size):
        most = 0
        for i in range(50):
            hidden = (mask(FEATURES, (0, i), 3, 2).numpy() == 0.0).all(axis=1 - axis)
            assert hidden.sum() <= 6
            most = max(most, len(stretches(hidden)))
        assert most == 3

    def test_none_asked_for(self, mask, axis, size):
        np.testing.assert_array_equal(mask(FEATURES, SEED, 0, 10), FEATURES)
        np.testing.assert_array_equal(mask(FEATURES, SEED, 5, 0), FEATURES)

    def test_wider_than_the_features(self, mask, axis, size):
        assert mask(FEATURES, SEED, 2, 1000).shape == FEATURES.shape
        assert mask(FEATURES[:0], SEED, 2, 10).shape == (0, 12)


def test_time_mask_leaves_most_of_a_short_utterance():
    for i in range(50):
        masked = time_mask(FEATURES[:10], (0, i), 1, 40, max_fraction=0.2).numpy()
        assert (masked == 0.0).all(axis=1).sum() <= 2


class TestTimeWarp:
    @pytest.mark.parametrize("rate", [0.5, 0.9, 1.0, 1.25, 2.0])
    def test_length_and_values(self, rate):
        ramp = tf.range(50, dtype=tf.float32)[:, tf.newaxis] * [1.0, -2.0]
        warped = time_warp(ramp, SEED, rate, rate)
        frames = round(50 / rate)
        assert warped.shape == (frames, 2)
        line = np.linspace(0.0, 49.0, frames)
        np.testing.assert_allclose(warped, np.stack([line, -2 * line], axis=1), atol=1e-4)

    def test_rate_one_changes_nothing(self):
        np.testing.assert_allclose(time_warp(FEATURES, SEED, 1.0, 1.0), FEATURES, atol=1e-4)

    def test_rates_are_drawn_within_the_bounds(self):
        frames = [len(time_warp(FEATURES, (0, i), 0.8, 1.25)) for i in range(100)]
        assert 40 <= min(frames) < 43
        assert 58 < max(frames) <= 63

    @pytest.mark.parametrize("frames", [0, 1, 2])
    def test_very_short(self, frames):
        warped = time_warp(FEATURES[:frames], SEED, 2.0, 2.0)
        assert len(warped) == min(frames, 1)
        np.testing.assert_array_equal(warped, FEATURES[: min(frames, 1)])


def test_gaussian_noise_has_its_deviation():
    added = (gaussian_noise(tf.zeros([500, 40]), SEED, 0.3)).numpy()
    assert added.std() == pytest.approx(0.3, rel=0.02)
    assert added.mean() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    "draw",
    [
        lambda features, seed: time_mask(features, seed, 3, 10),
        lambda features, seed: frequency_mask(features, seed, 3, 4),
        lambda features, seed: time_warp(features, seed, 0.7, 1.4),
        lambda features, seed: gaussian_noise(features, seed, 1.0),
    ],
)
def test_same_seed_same_result_in_a_dataset_too(draw):
    first = draw(FEATURES, SEED)
    assert first.dtype == tf.float32
    np.testing.assert_array_equal(draw(FEATURES, SEED), first)
    other = draw(FEATURES, (5, 6))
    assert other.shape != first.shape or not np.array_equal(other, first)
    dataset = tf.data.Dataset.from_tensors((FEATURES, SEED)).map(draw)
    np.testing.assert_allclose(next(iter(dataset)), first, atol=1e-5)
