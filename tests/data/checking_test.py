"""Utterances read before training: what is kept, what is left out, and what is said of it."""

import numpy as np
import pytest

from keras_ds2.data.checking import Example, Skipped, check_utterances
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.sequence import frames_in
from keras_ds2.text.alphabet import Alphabet
from keras_ds2.text.english import normalize_english
from tests.audio.made_up_audio import wav
from tests.made_up_corpus import RATE, features_of, flac_bytes, spoken, utterance, wav_bytes

ALPHABET = Alphabet(list(" abcd"))
AUDIO = FeatureFrontEnd(sampling_rate=RATE)
FEATURES = FeatureFrontEnd(kind="precomputed", num_bins=4)

SPOKEN = spoken("bad")
WINDOW, HOP = 160, 80

# Name of the file, what it holds, its text; all of them are fine.
GOOD = [
    ("plain.wav", wav_bytes("bad"), "bad"),
    ("flac.flac", flac_bytes("bad"), "Bad!"),
    ("stereo.wav", wav(np.stack([SPOKEN, 0 * SPOKEN], axis=1), RATE), "b-a.d"),
    ("48kHz.wav", wav_bytes("bad", 48000), "bad"),
    ("44.1kHz.flac", flac_bytes("bad", 44100), "bad"),
    ("flac named.wav", flac_bytes("bad"), "bad"),
    ("wav named.mp3", wav_bytes("bad"), "bad"),
    ("no ending", wav_bytes("bad"), "bad"),
    ("one window.wav", wav(SPOKEN[:WINDOW], RATE), "a"),
    ("whisper.wav", wav(SPOKEN * 1e-3, RATE), "bad"),
]
# The same, with what is said of it and how it can be helped.
BAD = [
    ("empty.wav", b"", "bad", "empty", "get or record"),
    ("zero samples.wav", wav(SPOKEN[:0], RATE), "bad", "holds no samples", "get or record"),
    ("truncated.wav", wav_bytes("bad")[:-900], "bad", "truncated", "get or record"),
    ("truncated.flac", flac_bytes("bad")[:-900], "bad", "truncated", "get or record"),
    ("text.wav", b"no audio, whatever it is named", "bad", "not audio", "convert it"),
    ("silent.wav", wav(0 * SPOKEN, RATE), "bad", "silent, every sample is 0", "leave it out"),
    ("short.wav", wav(SPOKEN[: WINDOW - 1], RATE), "a", "159 samples at 8000 Hz", "leave it out"),
    ("absent.wav", None, "bad", "cannot be read", "check the path"),
    ("words.wav", wav_bytes("bad"), "?!", "nothing left to write", "correct it"),
    ("symbol.wav", wav_bytes("bad"), "bat", "outside the alphabet: 't'", "leave it out"),
    ("long.wav", wav_bytes("a"), "a bad cab", "9 symbols need 9 steps", "cut off"),
    ("repeat.wav", wav(SPOKEN[: 4 * WINDOW], RATE), "aadd", "4 symbols need 6 steps", "cut off"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checking")
    for name, content, *_ in (*GOOD, *BAD):
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def check(utterances, front_end=AUDIO, time_strides=(2,), **options):
    strides = iter(time_strides)  # any iterable will do
    return check_utterances(utterances, front_end, ALPHABET, normalize_english, strides, **options)


@pytest.fixture(scope="module")
def checked(folder):
    """Good and bad ones in turns, so that none can pass by its place; what came of them."""
    rows = [row for pair in zip(BAD, [*GOOD, *GOOD], strict=False) for row in pair]
    utterances = [
        utterance(folder / row[0], row[2], line) for line, row in enumerate(rows, start=1)
    ]
    calls = []
    examples, skipped = check(utterances, progress=lambda: calls.append(1))
    assert len(calls) == len(utterances)
    return rows, examples, skipped


class TestAudio:
    def test_every_good_one_is_kept_in_order(self, checked):
        rows, examples, _ = checked
        kept = [row for row in rows if len(row) == 3]
        assert len(kept) == len(BAD)
        for row, example in zip(kept, examples, strict=True):
            assert isinstance(example, Example)
            assert example.utterance.filepath.endswith(row[0])
            assert example.text == normalize_english(row[2])
            assert example.labels.dtype == np.int32
            assert ALPHABET.decode(example.labels) == example.text

    def test_frames_are_those_of_the_audio_at_the_models_rate(self, checked):
        for example in checked[1]:
            whole = not example.utterance.filepath.endswith("one window.wav")
            samples = len(SPOKEN) if whole else WINDOW
            assert example.frames == frames_in(samples, WINDOW, HOP)

    @pytest.mark.parametrize("row", BAD, ids=[row[0] for row in BAD])
    def test_every_bad_one_is_named_with_reason_and_remedy(self, checked, row):
        rows, _, skipped = checked
        assert len(skipped) == len(BAD)
        (found,) = [each for each in skipped if each.utterance.filepath.endswith("/" + row[0])]
        assert isinstance(found, Skipped)
        assert str(found) == f"made_up.jsonl:{rows.index(row) + 1}: {found.reason}"
        assert row[3] in found.reason
        assert row[4] in found.reason

    def test_a_reason_about_a_file_has_its_path(self, checked):
        for skipped in checked[2][:8]:
            assert skipped.utterance.filepath in skipped.reason

    def test_nothing_in_nothing_out(self):
        assert check([]) == ([], [])


class TestLabelsThatJustFit:
    @pytest.mark.parametrize(
        ("text", "frames", "strides", "fits"),
        [
            ("ab", 2, (1,), True),
            ("abc", 2, (1,), False),
            ("ab", 3, (2,), True),
            ("ab", 2, (2,), False),
            ("aa", 3, (1,), True),
            ("aa", 2, (1,), False),
            ("aab", 9, (2, 2), False),
            ("aab", 13, (2, 2), True),
            ("a", 1, (2, 3), True),
        ],
    )
    def test_by_steps_and_repeats(self, tmp_path, text, frames, strides, fits):
        path = tmp_path / "f.npy"
        np.save(path, np.zeros((frames, 4), np.float32))
        examples, skipped = check([utterance(path, text)], FEATURES, strides)
        assert (len(examples), len(skipped)) == ((1, 0) if fits else (0, 1))

    def test_the_reason_has_the_sum(self, tmp_path):
        path = tmp_path / "f.npy"
        np.save(path, np.zeros((5, 4), np.float32))
        _, (skipped,) = check([utterance(path, "aabb")], FEATURES)
        assert skipped.reason.startswith("4 symbols need 6 steps, 5 frames leave 3; ")


class TestForScoring:
    def test_unknown_symbols_stay_in_the_text_and_out_of_the_labels(self, folder):
        (example,), skipped = check(
            [utterance(folder / "plain.wav", "Batman")], keep_unknown_symbols=True
        )
        assert skipped == []
        assert example.text == "batman"
        assert ALPHABET.decode(example.labels) == "baa"

    def test_a_text_of_unknown_symbols_alone_is_kept(self, folder):
        (example,), _ = check([utterance(folder / "plain.wav", "xyz")], keep_unknown_symbols=True)
        assert example.labels.shape == (0,)

    def test_labels_that_do_not_fit_are_kept(self, folder):
        (example,), _ = check([utterance(folder / "long.wav", "a bad cab")], keep_unfit=True)
        assert len(example.labels) == 9

    def test_bad_audio_and_empty_texts_are_not(self, folder):
        examples, skipped = check(
            [utterance(folder / "silent.wav"), utterance(folder / "plain.wav", "...")],
            keep_unfit=True,
            keep_unknown_symbols=True,
        )
        assert (len(examples), len(skipped)) == (0, 2)


class TestFeatures:
    def test_are_counted_by_their_frames(self, tmp_path):
        path = tmp_path / "f.npy"
        np.save(path, features_of("bad"))
        (example,), _ = check([utterance(path, "bad")], FEATURES)
        assert example.frames == len(features_of("bad"))

    @pytest.mark.parametrize(
        ("array", "reason"),
        [
            (np.array([{}], object), "expected real numbers, received type |O"),
            (np.full((9, 4), np.nan), "not finite"),
            (np.zeros((9, 5)), "expected shape (frames, 4), received (9, 5)"),
            (np.zeros((0, 4)), "received (0, 4)"),
        ],
    )
    def test_broken_ones_are_left_out(self, tmp_path, array, reason):
        path, good = tmp_path / "f.npy", tmp_path / "good.npy"
        np.save(path, array, allow_pickle=True)
        np.save(good, features_of("bad"))
        examples, (skipped,) = check([utterance(path), utterance(good, line=2)], FEATURES)
        assert [example.utterance.line for example in examples] == [2]
        assert str(skipped).startswith(f"made_up.jsonl:1: {path}: ")
        assert reason in skipped.reason

    def test_features_for_a_model_of_audio_and_the_reverse(self, folder, tmp_path):
        path = tmp_path / "f.npy"
        np.save(path, features_of("bad"))
        _, (skipped,) = check([utterance(path)], AUDIO)
        assert "expected audio_filepath, received features_filepath" in skipped.reason
        assert "features.kind to precomputed" in skipped.reason
        _, (skipped,) = check([utterance(folder / "plain.wav")], FEATURES)
        assert "expected features_filepath, received audio_filepath" in skipped.reason
        assert "log_spectrogram" in skipped.reason
