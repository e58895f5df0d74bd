"""Augmentation as a recipe names it: what is on changes, what is off does not, by seed alone."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ds2.audio.augmentation import add_noise_at_snr
from keras_ds2.data.augmentation import Augmentation
from keras_ds2.data.recordings import Recordings
from keras_ds2.features.log_spectrogram import LogSpectrogram
from keras_ds2.sequence import frames_in

WAVEFORM = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
FEATURES = np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32)

RATE = 8000
ROOM = np.exp(-np.arange(500) / 100) * np.random.default_rng(2).normal(size=500)
RECORDINGS = Recordings([np.sin(np.arange(300, dtype=np.float32) * k) for k in (0.1, 0.2, 0.3)])
RESPONSES = Recordings([np.float32(ROOM), np.float32(ROOM[::2])])
NOISE = {"noise_share": 1.0, "noise_snr_db": (10.0, 10.0)}
OF_WAVEFORMS = {
    "white noise": NOISE,
    "pink noise": {**NOISE, "noise_color": "pink"},
    "recorded noise": {**NOISE, "noise_recordings": RECORDINGS},
    "room": {"rir_share": 1.0, "rir_recordings": RESPONSES},
    "shift": {"shift_ms": (-50, 100)},
    "gain": {"gain_db": [-6, 6]},
}
OF_FEATURES = {
    "time_warp": {"time_warp": [0.8, 1.2]},
    "gaussian_noise": {"gaussian_noise_stddev": 0.1},
    "time_mask": {"time_masks": 2, "time_mask_max_frames": 20},
    "frequency_mask": {"frequency_masks": 2, "frequency_mask_max_bins": 8},
}


def seeds(count):
    return [tf.constant([5, number], tf.int32) for number in range(count)]


def augmented(augmentation, waveform, seed):
    return augmentation.augment_waveform(waveform, seed, RATE)


def test_all_off_changes_nothing():
    augmentation = Augmentation()
    for seed in seeds(3):
        np.testing.assert_array_equal(augmented(augmentation, WAVEFORM, seed), WAVEFORM)
        np.testing.assert_array_equal(augmentation.augment_spectrogram(FEATURES, seed), FEATURES)
        np.testing.assert_array_equal(augmentation.augment_features(FEATURES, seed), FEATURES)
    assert augmentation.longest(123, 2) == 123


@pytest.mark.parametrize("numbers", OF_WAVEFORMS.values(), ids=OF_WAVEFORMS)
def test_each_of_waveforms_changes_them_by_seed(numbers):
    augmentation = Augmentation(**numbers)
    results = [augmented(augmentation, WAVEFORM, seed).numpy() for seed in seeds(6)]
    np.testing.assert_array_equal(results[0], augmented(augmentation, WAVEFORM, seeds(1)[0]))
    for result in results:
        assert result.shape == WAVEFORM.shape
        assert np.abs(result - WAVEFORM).max() > 0
    assert len({result.tobytes() for result in results}) > 1
    assert augmentation.longest(50, 2) == 50


def test_a_new_one_leaves_the_others_as_they_were():
    """Each has a seed of its own: runs go on as they began, whatever was added since."""
    before = {"speed": (0.9, 1.1), **NOISE}
    more = {"rir_share": 1e-9, "rir_recordings": RESPONSES}
    for seed in seeds(3):
        np.testing.assert_array_equal(
            augmented(Augmentation(**before), WAVEFORM, seed),
            augmented(Augmentation(**before, **more), WAVEFORM, seed),
        )


def test_white_noise_is_what_it_was_when_it_was_the_only_one():
    for seed in seeds(3):
        draws = tf.unstack(tf.random.experimental.stateless_split(seed, 5))
        noise = tf.random.stateless_normal([len(WAVEFORM)], draws[0])
        snr_db = tf.random.stateless_uniform([], draws[1], 3.0, 20.0)
        augmentation = Augmentation(noise_share=1.0, noise_snr_db=(3, 20))
        np.testing.assert_array_equal(
            augmented(augmentation, WAVEFORM, seed), add_noise_at_snr(WAVEFORM, noise, snr_db)
        )


def test_noise_and_rooms_come_from_all_recordings():
    """Of the right ones: each added noise is one of the sines, each room one of the two."""
    silent_but_one = np.zeros(4000, np.float32)
    silent_but_one[0] = 1.0
    noise = Augmentation(noise_share=1.0, noise_snr_db=(0, 0), noise_recordings=RECORDINGS)
    pitches, lengths = set(), set()
    for seed in seeds(20):
        added = (augmented(noise, WAVEFORM, seed) - WAVEFORM).numpy()[:300]
        pitches.add(round(np.abs(np.fft.rfft(added, 2400)).argmax() * 2 * np.pi / 2400, 1))
        played = augmented(
            Augmentation(rir_share=1.0, rir_recordings=RESPONSES), silent_but_one, seed
        ).numpy()
        lengths.add(round(int(np.flatnonzero(np.abs(played) > 1e-6).max()), -2))
    assert pitches == {0.1, 0.2, 0.3}
    assert len(lengths) == 2


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"noise_share": 0.1}, "expected noise_snr_db beside it"),
        ({"rir_share": 0.1}, "expected rir_recordings beside it"),
        ({"noise_color": "green"}, "expected one of white, pink, received 'green'"),
    ],
)
def test_what_could_have_no_effect_is_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**numbers)


@pytest.mark.parametrize("numbers", OF_FEATURES.values(), ids=OF_FEATURES)
def test_each_of_features_changes_them_by_seed(numbers):
    augment = Augmentation(**numbers).augment_features
    results = [augment(FEATURES, seed).numpy() for seed in seeds(6)]
    np.testing.assert_array_equal(results[0], augment(FEATURES, seeds(1)[0]))
    assert any(result.shape != FEATURES.shape or np.any(result != FEATURES) for result in results)
    assert len({result.tobytes() for result in results}) > 3
    assert all(result.shape[1] == 12 and np.isfinite(result).all() for result in results)


def test_noise_has_the_ratio_asked_for():
    noisy = augmented(Augmentation(**NOISE), WAVEFORM, seeds(1)[0]).numpy()
    power = np.mean(WAVEFORM.astype(float) ** 2)
    snr_db = 10 * np.log10(power / np.mean((noisy - WAVEFORM).astype(float) ** 2))
    assert snr_db == pytest.approx(10, abs=0.01)


def test_noise_comes_to_its_share_of_utterances():
    augmentation = Augmentation(noise_share=0.4, noise_snr_db=(0, 10))
    augment = tf.function(lambda seed: augmented(augmentation, WAVEFORM[:50], seed))
    changed = [np.any(augment(seed) != WAVEFORM[:50]) for seed in seeds(300)]
    assert 0.3 < np.mean(changed) < 0.5


class TestGain:
    @pytest.mark.parametrize("gain_db", [-20, 6, 15, 30])
    def test_changes_the_features_where_it_overloads_and_nowhere_else(self, gain_db):
        spectrogram = LogSpectrogram()
        for seed in seeds(3):
            loud = augmented(Augmentation(gain_db=(gain_db, gain_db)), WAVEFORM, seed)
            overloads = np.abs(WAVEFORM).max() * 10 ** (gain_db / 20) > 1
            difference = np.abs(spectrogram(loud[None]) - spectrogram(WAVEFORM[None])).max()
            assert (difference > 0.1) if overloads else (difference < 0.01)

    def test_noise_comes_before_it_so_that_no_value_leaves_full_scale(self):
        loud_noise = {"noise_share": 1.0, "noise_snr_db": (-20, 0)}
        loud = Augmentation(**loud_noise, gain_db=(0, 20))
        results = [augmented(loud, 5 * WAVEFORM, seed).numpy() for seed in seeds(10)]
        assert all(np.abs(result).max() == 1 for result in results)
        np.testing.assert_array_equal(results[0], augmented(loud, 5 * WAVEFORM, seeds(1)[0]))
        assert len({result.tobytes() for result in results}) == 10


def test_a_silent_waveform_stays_finite():
    silence = np.zeros(100, np.float32)
    numbers = {key: value for each in OF_WAVEFORMS.values() for key, value in each.items()}
    result = augmented(Augmentation(**numbers), silence, seeds(1)[0])
    np.testing.assert_array_equal(result, silence)


@pytest.mark.parametrize("rates", [(0.85, 1.15), (0.9, 0.9), (1.1, 1.3), (0.37, 3.0)])
def test_no_warped_utterance_is_longer_than_planned(rates):
    augmentation = Augmentation(time_warp=rates)
    warp = tf.function(augmentation.augment_features, reduce_retracing=True)
    for frames in (1, 2, 3, 9, 10, 27, 45, 90):
        lengths = [len(warp(np.zeros((frames, 2), np.float32), seed)) for seed in seeds(25)]
        assert 1 <= min(lengths) <= max(lengths) <= augmentation.longest(frames, 2)


def test_masks_leave_half_of_a_short_utterance():
    augment = Augmentation(time_masks=1, time_mask_max_frames=100).augment_features
    features = np.ones((10, 2), np.float32)
    left = [float(tf.reduce_mean(augment(features, seed))) for seed in seeds(50)]
    assert min(left) >= 0.5
    assert min(left) < 0.8


def test_masks_write_zero_after_the_noise():
    augmentation = Augmentation(
        gaussian_noise_stddev=1.0, frequency_masks=1, frequency_mask_max_bins=12
    )
    results = [augmentation.augment_features(FEATURES, seed).numpy() for seed in seeds(10)]
    hidden = [np.all(result == 0, axis=0).sum() for result in results]
    assert max(hidden) > 0


@settings(max_examples=60)
@given(
    samples=st.integers(0, 4000),
    window=st.sampled_from([(320, 160), (400, 160), (160, 160)]),
    speed=st.floats(0.3, 1.5),
    warp=st.floats(0.5, 2.0),
)
def test_the_longest_holds_at_the_slowest(samples, window, speed, warp):
    """Short utterances too, whose windows count for more than their hops."""
    size, hop = window
    waveform = tf.zeros(samples + size)
    augmentation = Augmentation(speed=(speed, speed), time_warp=(warp, warp))
    played = augmented(augmentation, waveform, tf.constant([1, 2]))
    features = tf.zeros((frames_in(len(played), size, hop), 3))
    if len(features):
        longest = augmentation.longest(frames_in(len(waveform), size, hop), size / hop)
        assert len(augmentation.augment_features(features, tf.constant([1, 2]))) <= longest
