"""Augmentation does what its name and its unit say, and repeats itself by seed."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_ds2.audio.augmentation import (
    add_noise_at_snr,
    pink_noise,
    random_excerpt,
    random_gain,
    random_shift,
    random_speed,
    reverberate,
    white_noise,
)
from tests.audio.made_up_audio import tone

TONE = tone(440.0, 16000, 0.5).astype(np.float32)
SEED = np.array([1, 2], np.int32)
OTHER_SEED = np.array([1, 3], np.int32)


def decibels(ratio_of_powers):
    return 10 * np.log10(ratio_of_powers)


class TestAddNoiseAtSnr:
    @pytest.mark.parametrize("snr_db", [-10.0, 0.0, 15.0])
    @pytest.mark.parametrize("noise_samples", [100, 8000, 20000])
    def test_the_ratio_is_the_one_asked_for(self, snr_db, noise_samples):
        noise = 0.03 * white_noise(noise_samples, SEED)
        added = add_noise_at_snr(TONE, noise, snr_db) - TONE
        measured = decibels(np.mean(TONE**2) / np.mean(np.square(added)))
        assert measured == pytest.approx(snr_db, abs=0.01)

    def test_short_noise_repeats(self):
        added = add_noise_at_snr(TONE, white_noise(100, SEED), 0.0) - TONE
        np.testing.assert_allclose(added[:100], added[100:200], atol=1e-6)

    @pytest.mark.parametrize(
        ("waveform", "noise"),
        [
            (np.zeros(100, np.float32), np.ones(50, np.float32)),
            (TONE, np.zeros(50, np.float32)),
            (TONE, np.zeros(0, np.float32)),
            (np.zeros(0, np.float32), np.ones(50, np.float32)),
        ],
    )
    def test_silence_on_either_side_changes_nothing(self, waveform, noise):
        np.testing.assert_array_equal(add_noise_at_snr(waveform, noise, 5.0), waveform)


class TestRandomGain:
    def test_is_uniform_in_decibels_within_its_bounds(self):
        quiet = 0.1 * TONE
        gains = [
            decibels(float(np.mean(np.square(random_gain(quiet, (0, i), -12.0, 6.0)))))
            - decibels(np.mean(quiet**2))
            for i in range(100)
        ]
        assert -12.01 <= min(gains) < -9.0
        assert 3.0 < max(gains) <= 6.01
        assert np.mean(gains) == pytest.approx(-3.0, abs=1.5)

    @given(st.floats(-40, 60), st.integers(0, 2**31 - 1))
    def test_what_overloads_is_clipped_and_the_rest_is_only_louder(self, gain_db, number):
        waveform = np.linspace(-1.5, 1.5, 31, dtype=np.float32)
        result = random_gain(waveform, (0, number), gain_db, gain_db).numpy()
        louder = waveform * np.float32(10 ** (gain_db / 20))
        np.testing.assert_allclose(result, np.clip(louder, -1, 1), rtol=1e-4)
        assert np.abs(result).max() <= 1


def test_speed_changes_length_and_pitch_together():
    faster = random_speed(TONE, SEED, 1.25, 1.25).numpy()
    assert len(faster) == 6400
    pitch = np.abs(np.fft.rfft(faster)).argmax() * 16000 / len(faster)
    assert pitch == pytest.approx(440.0 * 1.25, abs=3.0)
    np.testing.assert_array_equal(random_speed(TONE, SEED, 1.0, 1.0), TONE)


class TestRandomShift:
    def shifted(self, waveform, seed, low, high, frame=160):
        return random_shift(waveform, seed, low, high, frame).numpy()

    @pytest.mark.parametrize("shift", [-700, -1, 0, 1, 700])
    def test_all_that_stays_moves_by_the_shift(self, shift):
        result = self.shifted(TONE, SEED, shift, shift)
        assert result.shape == TONE.shape
        here, there = slice(max(shift, 0), len(TONE) + min(shift, 0)), slice(max(-shift, 0), None)
        np.testing.assert_array_equal(result[here], TONE[there][: len(TONE) - abs(shift)])

    def test_is_uniform_within_its_bounds(self):
        click = np.zeros(4000, np.float32)
        click[2000] = 1.0
        shifts = [self.shifted(click, (0, i), -100, 300).argmax() - 2000 for i in range(200)]
        assert -100 <= min(shifts) < -80
        assert 280 < max(shifts) <= 300
        assert np.mean(shifts) == pytest.approx(100, abs=30)

    def test_is_filled_as_quiet_as_the_quietest_stretch(self):
        draws = np.random.default_rng(0)
        room = draws.normal(0, 0.003, 8000).astype(np.float32)
        room[1000:6000] += TONE[:5000]
        for shift, filled in ((800, slice(0, 800)), (-800, slice(-800, None))):
            stretch = self.shifted(room, SEED, shift, shift)[filled]
            assert np.sqrt(np.mean(stretch**2)) == pytest.approx(0.003, rel=0.25)

    def test_digital_silence_stays_what_it_is(self):
        waveform = np.concatenate([np.zeros(400, np.float32), TONE])
        result = self.shifted(waveform, SEED, -50, -50)
        assert not result[-50:].any()

    @pytest.mark.parametrize("samples", [0, 1, 2, 100, 159])
    def test_half_of_a_short_waveform_stays(self, samples):
        waveform = np.ones(samples, np.float32)
        for shift in (-5000, 5000):
            result = self.shifted(waveform, SEED, shift, shift)
            assert (result == 1).sum() == samples - samples // 2


class TestReverberate:
    def room(self, before=37, echoes=((0, 1.0), (400, 0.5), (2500, -0.2))):
        response = np.zeros(before + 3000, np.float32)
        for time, gain in echoes:
            response[before + time] = gain
        return response

    @given(st.integers(0, 2999), st.integers(1, 6000))
    def test_a_bare_direct_path_changes_nothing_whatever_its_delay(self, before, samples):
        response = np.zeros(3000, np.float32)
        response[before] = -0.3
        result = reverberate(TONE[:samples], response)
        np.testing.assert_allclose(result, -TONE[:samples], atol=1e-5)

    def test_echoes_come_when_and_as_strong_as_the_room_says(self):
        waveform = np.zeros(4000, np.float32)
        waveform[1000] = 0.8
        result = reverberate(waveform, self.room()).numpy()
        assert len(result) == 4000
        result /= result[1000]
        expected = np.zeros(4000)
        expected[[1000, 1400, 3500]] = 1.0, 0.5, -0.2
        np.testing.assert_allclose(result, expected, atol=1e-5)

    def test_it_is_a_convolution_of_kept_power(self):
        draws = np.random.default_rng(1)
        waveform, response = draws.normal(size=5000), draws.normal(size=1700) * 0.1
        response[20] = 2.0
        full = np.convolve(waveform, response)[20:5020]
        full *= np.sqrt(np.mean(waveform**2) / np.mean(full**2))
        result = reverberate(waveform.astype(np.float32), response.astype(np.float32))
        np.testing.assert_allclose(result, full, atol=1e-4)

    def test_echoes_past_the_end_do_not_come_round_to_the_beginning(self):
        waveform = np.zeros(1000, np.float32)
        waveform[900:] = 1.0
        assert np.abs(reverberate(waveform, self.room()).numpy()[:890]).max() < 1e-5

    def test_silence_stays_silent(self):
        assert not reverberate(np.zeros(100, np.float32), self.room()).numpy().any()
        assert reverberate(np.zeros(0, np.float32), self.room()).shape == (0,)


def test_excerpts_come_from_everywhere_and_in_order():
    noise = tf.range(100, dtype=tf.float32)
    starts = set()
    for i in range(200):
        excerpt = random_excerpt(noise, (0, i), 91).numpy()
        np.testing.assert_array_equal(np.diff(excerpt), 1.0)
        starts.add(int(excerpt[0]))
    assert starts == set(range(10))
    np.testing.assert_array_equal(random_excerpt(noise[:3], SEED, 7), [0, 1, 2, 0, 1, 2, 0])


@pytest.mark.parametrize(("make", "decibels_an_octave"), [(white_noise, 0.0), (pink_noise, -3.0)])
def test_colour_of_noise(make, decibels_an_octave):
    noise = make(2**16, SEED).numpy()
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1.0, abs=0.02)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [np.mean(power[2**k : 2 ** (k + 1)]) for k in range(8, 15)]
    slope = np.polyfit(np.arange(7), decibels(np.array(octaves)), 1)[0]
    assert slope == pytest.approx(decibels_an_octave, abs=0.3)


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: random_gain(TONE, seed, -10.0, 10.0),
        lambda seed: random_speed(TONE, seed, 0.5, 2.0),
        lambda seed: random_shift(TONE, seed, -900, 900, 160),
        lambda seed: random_excerpt(TONE, seed, 1000),
        lambda seed: white_noise(1000, seed),
        lambda seed: pink_noise(1000, seed),
    ],
)
def test_same_seed_same_result_in_a_dataset_too(draw):
    first, again, other = draw(SEED), draw(SEED), draw(OTHER_SEED)
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    dataset = tf.data.Dataset.from_tensors(SEED).map(draw)
    np.testing.assert_allclose(next(iter(dataset)), first, atol=1e-5)
    assert first.dtype == tf.float32
