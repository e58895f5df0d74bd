"""What a run trains on, kept and found again in a manifest that may have changed."""

import json

import numpy as np
import pytest

from keras_ds2.data.checking import Example, Skipped
from keras_ds2.data.kept_examples import (
    ChangedDataError,
    KeptExample,
    format_examples,
    match_examples,
    parse_examples,
)
from keras_ds2.data.manifest import read_manifest
from keras_ds2.text.alphabet import Alphabet

ALPHABET = Alphabet(list(" abcd"))


def lines(folder, *rows):
    """Utterances of `(file, text)`."""
    manifest = folder / "train.jsonl"
    contents = [
        {"audio_filepath": file, "duration": 1.0, "text": text, "speaker": "s"}
        for file, text in rows
    ]
    manifest.write_text("".join(f"{json.dumps(content)}\n" for content in contents))
    return read_manifest(manifest, require_files=False)


def example(utterance, frames):
    labels = ALPHABET.encode(utterance.text, utterance.where)
    return Example(utterance, utterance.text, labels, frames)


ROWS = ("sub/a.wav", "ab"), ("b.wav", "ba"), ("broken.wav", "c"), ("long.wav", "d"), ("b.wav", "ad")


@pytest.fixture
def kept(tmp_path):
    """Of five lines three are trained on, two of the same file; the others are not."""
    utterances = lines(tmp_path, *ROWS)
    examples = [example(utterances[index], 10 + index) for index in (0, 1, 4)]
    skipped = [Skipped(utterances[2], "no\naudio")]
    return parse_examples(format_examples(utterances, examples, skipped))


def match(kept, utterances):
    return match_examples(kept, utterances, str.lower)


def test_what_is_kept(kept):
    assert kept[0] == KeptExample(1, "sub/a.wav", frames=10, text=kept[0].text)
    assert kept[2] == KeptExample(3, "broken.wav", skipped="no\naudio")
    assert kept[3] == KeptExample(4, "long.wav")
    assert len({each.text for each in kept}) == 4  # three texts and none


def test_the_same_data_are_found(kept, tmp_path):
    found = match(kept, lines(tmp_path, *ROWS))
    assert [utterance.line for utterance, _ in found.trained] == [1, 2, 5]
    assert [each.frames for _, each in found.trained] == [10, 11, 14]
    assert [str(each) for each in found.skipped] == [f"{tmp_path}/train.jsonl:3: no\naudio"]
    assert found.left_out == 1


def test_another_order_and_lines_not_trained_on_change_nothing(kept, tmp_path):
    found = match(
        kept, lines(tmp_path, ("broken.wav", "x"), ROWS[1], ROWS[4], ("Sub/../sub/a.wav", "AB"))
    )
    assert [utterance.line for utterance, _ in found.trained] == [4, 2, 3]
    assert [str(each) for each in found.skipped] == [f"{tmp_path}/train.jsonl:1: no\naudio"]
    assert found.left_out == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((*ROWS[:4], ("b.wav", "da")), "train.jsonl:5: b.wav: has another text than before"),
        (ROWS[1:], "line 1: sub/a.wav: is no longer there"),
        (ROWS[:4], "line 5: b.wav: is no longer there"),
        ((*ROWS, ("c.wav", "a")), "train.jsonl:6: c.wav: was not there before"),
        ((*ROWS, ROWS[0]), "train.jsonl:6: sub/a.wav: was not there before"),
    ],
)
def test_other_data_are_refused(kept, tmp_path, rows, message):
    with pytest.raises(ChangedDataError) as caught:
        match(kept, lines(tmp_path, *rows))
    said = str(caught.value)
    assert "data.train_manifest: 1 utterance of the training data changed" in said
    assert message in said


def test_many_changes_are_counted(kept, tmp_path):
    with pytest.raises(ChangedDataError, match=r"13 utterances(.|\n)*\.\.\. and 3 more\n"):
        match(kept, lines(tmp_path, *ROWS, *[(f"{number}.wav", "a") for number in range(13)]))


def test_what_cannot_be_read_keeps_frames_and_labels(kept, tmp_path):
    utterances = lines(tmp_path, *ROWS)
    found = match(kept, utterances)
    examples = found.with_unread([example(utterances[1], 11)], str.lower, ALPHABET)
    assert [each.frames for each in examples] == [10, 11, 14]
    np.testing.assert_array_equal(examples[2].labels, ALPHABET.encode("ad"))
    with pytest.raises(ChangedDataError, match=r"train\.jsonl:2: b\.wav: had 11 frames, now 12"):
        found.with_unread([example(utterances[1], 12)], str.lower, ALPHABET)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: "),
        ('{"line": 1, "file": "a.wav"}\n', "names no example"),
        ("[]\n", "line 1: "),
        ('{"line": 1, "file": "a.wav"}\n{"line": 2, "fi', "line 2: "),
        ('{"line": 1, "file": "a.wav", "frames": 3}\n', "line 1: expected frames and text"),
        ('{"line": 1, "file": "a.wav", "frames": "3", "text": "x"}\n', "line 1: frames: expected"),
        ('{"line": 1, "file": "a.wav", "frame": 3}\n', "line 1: .*'frame'"),
    ],
)
def test_damage_is_told(content, message):
    with pytest.raises(ValueError, match=message):
        parse_examples(content)
