"""Cepstra of another vocal tract: a spectrum stretched, checked on the mel spectrum itself."""

import numpy as np

from keras_ds2.features.vocal_tract import random_vocal_tract

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
