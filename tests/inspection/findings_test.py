"""Counts of a corpus by hand."""

import numpy as np
import pytest

from keras_ds2.data.batching import Batch
from keras_ds2.data.checking import Example, Skipped
from keras_ds2.data.manifest import Utterance
from keras_ds2.data.sound_facts import SoundFacts
from keras_ds2.inspection.findings import find
from keras_ds2.text.alphabet import Alphabet

ALPHABET = Alphabet(list(" abcz"))


def example(line, text, seconds=1.0, speaker="anna", stated=None, clipped=0.0, sound=True, **facts):
    utterance = Utterance(
        "x.wav", None, stated or seconds, text, speaker, manifest="train.jsonl", line=line
    )
    facts = {"audio_format": "WAV", "sampling_rate": 16000, "channels": 1, **facts}
    heard = SoundFacts(seconds=seconds, clipped_share=clipped, **facts) if sound else None
    return Example(utterance, text, ALPHABET.encode(text), round(seconds * 100), heard)


TRAIN = [
    example(1, "a" * 12, 2.0),
    example(2, "ab", 2.0, "bert", stated=3.0),
    example(3, "abc", 0.5, None, clipped=0.25),
    example(4, "b a" * 4, 4.0, "anna", clipped=0.5, audio_format="FLAC", channels=2),
    example(5, "c" * 11, 1.0, "bert", stated=1.05),
]
VALIDATION = [example(6, "a", 3.0, "bert"), example(7, "a", 1.0, "carl")]
BATCHES = [Batch(np.array([2, 4]), 100), Batch(np.array([0, 1]), 400), Batch(np.array([3]), 400)]


@pytest.fixture(scope="module")
def found():
    skipped = [
        Skipped(VALIDATION[0].utterance, "no sound", "silent"),
        Skipped(TRAIN[0].utterance, "gone", "broken"),
        Skipped(TRAIN[1].utterance, "gone too", "broken"),
    ]
    return find(TRAIN, VALIDATION, skipped, BATCHES, ALPHABET, 10.0, left_out=4)


def lines(examples):
    return [each.utterance.line for each in examples]


def test_portions(found):
    training, validation = found.portions
    assert (training.name, validation.name) == ("training", "validation")
    np.testing.assert_array_equal(training.seconds, [2, 2, 0.5, 4, 1])
    assert training.hours == pytest.approx(9.5 / 3600)
    assert training.sounds == {("WAV", 16000, 1): 4, ("FLAC", 16000, 2): 1}
    assert training.speakers == {"anna": 2, "bert": 2, None: 1}
    assert found.shared_speakers == ["bert"]
    assert found.left_out == 4


def test_symbols(found):
    assert found.symbols == {"a": 18, "c": 12, "b": 6, " ": 4, "z": 0}
    assert next(iter(found.symbols)) == "a"
    assert found.rare == [" ", "b"]
    assert found.unseen == ["z"]


def test_what_stands_out(found):
    assert {kind: len(each) for kind, each in found.skipped.items()} == {"broken": 2, "silent": 1}
    assert lines(found.clipped) == [4, 3]
    assert lines(found.misdated) == [2]
    np.testing.assert_allclose(found.pace, [6, 1, 6, 3, 11])
    assert lines(found.slowest) == [2, 4, 1, 3, 5]
    assert lines(found.fastest) == [5, 3, 1, 4, 2]


def test_padding(found):
    small, large = found.buckets
    assert (small.width, small.batches, small.utterances) == (100, 1, 2)
    assert (large.width, large.batches, large.utterances) == (400, 2, 3)
    assert small.padding_share == pytest.approx(1 - 150 / 200)
    assert large.padding_share == pytest.approx(1 - 800 / 1200)
    assert found.padding_share == pytest.approx(1 - 950 / 1400)


def test_features_have_the_length_of_their_frames():
    train = [example(1, "a", 2.0, sound=False)]
    found = find(train, train, [], [Batch(np.array([0]), 200)], ALPHABET, 5.0)
    assert found.portions[0].seconds.tolist() == [1.0]
    assert not found.portions[0].sounds
    assert (found.clipped, found.padding_share) == ([], 0)
