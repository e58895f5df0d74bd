"""The picture of a live transcript: when words appear and settle."""

import dataclasses

import numpy as np
import pytest

from keras_ds2.evaluation.live_picture import Shown, _rows, save_live_picture


@dataclasses.dataclass
class Word:
    text: str
    start_ms: float
    end_ms: float


TEXT = "turn on on 开灯"
WORDS = [
    Word("turn", 100.0, 300.0),
    Word("on", 320.0, 400.0),
    Word("on", 420.0, 500.0),
    Word("开", 600.0, 650.0),
    Word("灯", 700.0, 750.0),
]
SHOWN = [
    Shown(0.1, "", ""),
    Shown(0.4, "", "torn"),
    Shown(0.5, "", "turn o"),
    Shown(0.6, "turn", " on"),
    Shown(0.7, "turn on", " on"),
    Shown(0.9, "turn on", " on 开"),
]


def times(shown):
    return [(row.appeared, row.settled) for row in _rows(shown, TEXT, WORDS, 1.0)]


def test_a_word_appears_once_it_is_whole_and_right():
    assert [appeared for appeared, _ in times(SHOWN)] == [0.5, 0.6, 0.7, 0.9, 1.0]


def test_it_settles_when_it_stays():
    assert [settled for _, settled in times(SHOWN)] == [0.6, 0.7, 1.0, 1.0, 1.0]


def test_what_was_never_shown_comes_at_the_end():
    assert times([]) == [(1.0, 1.0)] * len(WORDS)


@pytest.mark.parametrize("words", [WORDS, [], WORDS[:1] * 60])
@pytest.mark.parametrize("sampling_rate", [16000, None])
def test_is_a_png(tmp_path, words, sampling_rate):
    pytest.importorskip("matplotlib", reason="the extra demo is not installed")
    from matplotlib import image

    features = np.random.default_rng(0).normal(size=(100, 21))
    path = tmp_path / "live.png"
    text = " ".join(word.text for word in words)
    save_live_picture(path, features, SHOWN, text, words, seconds=1.0, sampling_rate=sampling_rate)
    assert image.imread(path).shape[1] >= 900
