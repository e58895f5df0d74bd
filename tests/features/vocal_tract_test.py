"""Features of another vocal tract: cepstra checked on the mel spectrum itself, then spectra."""

import numpy as np
import pytest

from keras_ds2.features.vocal_tract import random_vocal_tract, random_vocal_tract_of_bins

FILTERS, COEFFICIENTS = 40, 13
ORDER = np.arange(COEFFICIENTS)[:, np.newaxis]
COSINES = np.cos(np.pi * ORDER * (np.arange(FILTERS) + 0.5) / FILTERS) / FILTERS


def cepstra_of(spectra):
    return (spectra @ COSINES.T).astype(np.float32)


def spectra_of(cepstra):
    return cepstra @ np.linalg.pinv(COSINES).T


def warp(cepstra, low, high, seed=(1, 2)):
    return random_vocal_tract(cepstra, seed, low, high).numpy()


def bump(place):
    return np.exp(-0.5 * ((np.arange(FILTERS) - place) / 4.0) ** 2)[np.newaxis]


def test_one_tract_is_the_speakers_own():
    cepstra = np.random.default_rng(0).normal(size=(7, COEFFICIENTS)).astype(np.float32)
    np.testing.assert_allclose(warp(cepstra, 1.0, 1.0), cepstra, atol=1e-5)


def test_formants_move_up_in_a_shorter_one_and_down_in_a_longer_one():
    for rate in (0.8, 0.9, 1.1, 1.25):
        spectrum = spectra_of(warp(cepstra_of(bump(20)), rate, rate))
        assert abs(np.argmax(spectrum) - 20 / rate) <= 1


def test_loudness_and_frames_that_are_level_stay():
    level = cepstra_of(np.full((3, FILTERS), 5.0))
    np.testing.assert_allclose(warp(level, 0.8, 1.2), level, atol=1e-4)


def test_an_utterance_has_one_rate_and_seeds_have_others():
    cepstra = np.repeat(cepstra_of(bump(12)), 4, axis=0)
    warped = warp(cepstra, 0.8, 1.2)
    np.testing.assert_allclose(warped, np.repeat(warped[:1], 4, axis=0), atol=1e-6)
    np.testing.assert_array_equal(warp(cepstra, 0.8, 1.2), warped)
    assert np.abs(warp(cepstra, 0.8, 1.2, seed=(1, 3)) - warped).max() > 1e-3


BINS, TOP = 161, 160


def stretch(spectra, low, high, seed=(1, 2)):
    return random_vocal_tract_of_bins(spectra.astype(np.float32), seed, low, high).numpy()


def place(heard, rate):
    """Where Jaitly and Hinton's map of 16 kHz, with its boundary of 4800 Hz, takes a frequency."""
    hz, half_rate, boundary = heard * 50.0, 8000.0, 4800.0
    bend = boundary * min(rate, 1.0)
    if hz <= bend / rate:
        return hz * rate / 50.0
    return (half_rate - (half_rate - bend) / (half_rate - bend / rate) * (half_rate - hz)) / 50.0


class TestBins:
    def test_a_rate_of_one_is_the_identity(self):
        spectra = np.random.default_rng(0).normal(size=(7, BINS)).astype(np.float32)
        np.testing.assert_array_equal(stretch(spectra, 1.0, 1.0), spectra)

    @pytest.mark.parametrize("rate", [0.7, 0.88, 0.95, 1.05, 1.12, 1.4])
    def test_each_bin_is_read_where_the_formula_says(self, rate):
        """Of a ramp, what is read is the place itself."""
        expected = [place(bin_, rate) for bin_ in range(BINS)]
        (places,) = stretch(np.arange(BINS)[np.newaxis], rate, rate)
        np.testing.assert_allclose(places, expected, atol=1e-3)
        assert places[0] == 0
        assert places[-1] == TOP
        assert np.all(np.diff(places) > 0)

    @pytest.mark.parametrize("rate", [0.8, 1.25])
    @pytest.mark.parametrize("peak", [30, 60, 120, 150])
    def test_a_peak_moves_to_the_bin_that_is_read_from_it(self, rate, peak):
        triangle = np.maximum(0.0, 1.0 - np.abs(np.arange(BINS) - peak) / 3.0)
        found = int(np.argmax(stretch(triangle[np.newaxis], rate, rate)[0]))
        expected = np.interp(peak, [place(bin_, rate) for bin_ in range(BINS)], range(BINS))
        assert abs(found - expected) <= 0.6
        assert found > peak if rate < 1 else found < peak
        if peak <= 60:
            assert abs(found - peak / rate) <= 0.6

    def test_an_utterance_has_one_rate_and_seeds_have_others_of_the_range(self):
        ramps = np.repeat(np.arange(BINS)[np.newaxis], 4, axis=0)
        stretched = stretch(ramps, 0.8, 1.2)
        np.testing.assert_array_equal(stretched, np.repeat(stretched[:1], 4, axis=0))
        np.testing.assert_array_equal(stretch(ramps, 0.8, 1.2), stretched)
        rates = [stretch(ramps, 0.8, 1.2, seed=(1, other))[0, 10] / 10 for other in range(50)]
        assert 0.8 <= min(rates) < 0.85 < 1.15 < max(rates) <= 1.2

    @pytest.mark.parametrize("bins", [2, 3, 81])
    def test_of_any_number_of_bins_none_outside_is_read(self, bins):
        level = np.full((2, bins), 5.0)
        for rate in (0.5, 2.0):
            np.testing.assert_allclose(stretch(level, rate, rate), level, rtol=1e-6)
