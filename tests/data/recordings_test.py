"""Recordings held in memory: what is kept of them, what is left out, and that each is drawn."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.data.recordings import Recordings, RecordingsError, read_recordings
from tests.audio.made_up_audio import tone, wav
from tests.made_up_corpus import RATE, flac_bytes, utterance


def contents(recordings, draws=60):
    """The distinct recordings that are drawn, shortest first."""
    drawn = [recordings.draw(tf.constant([3, number])).numpy() for number in range(draws)]
    return sorted({each.tobytes(): each for each in drawn}.values(), key=len)


def write(folder, **files):
    """Manifest lines of these files."""
    for name, content in files.items():
        (folder / f"{name}.wav").write_bytes(content)
    return [utterance(folder / f"{name}.wav", line=i) for i, name in enumerate(files, start=1)]


class TestRecordings:
    def test_each_is_drawn_whole_and_as_often(self):
        waveforms = [np.full(size, size, np.float32) for size in (1, 2, 5)]
        recordings = Recordings(waveforms)
        assert (len(recordings), recordings.samples) == (3, 8)
        for drawn, expected in zip(contents(recordings), waveforms, strict=True):
            np.testing.assert_array_equal(drawn, expected)
        sizes = [len(recordings.draw(tf.constant([0, number]))) for number in range(300)]
        assert all(70 < sizes.count(size) < 130 for size in (1, 2, 5))

    def test_in_a_dataset_it_is_the_same(self):
        recordings = Recordings([np.full(size, size, np.float32) for size in (1, 2, 5)])
        seeds = [[0, number] for number in range(20)]
        dataset = tf.data.Dataset.from_tensor_slices(np.int32(seeds)).map(recordings.draw)
        for seed, drawn in zip(seeds, dataset, strict=True):
            np.testing.assert_array_equal(drawn, recordings.draw(tf.constant(seed)))

    @pytest.mark.parametrize("waveforms", [[], [np.zeros(0, np.float32)]])
    def test_nothing_to_draw_from_is_refused(self, waveforms):
        with pytest.raises(RecordingsError, match="expected waveforms with samples"):
            Recordings(waveforms)


class TestReading:
    def test_all_are_brought_to_one_rate(self, tmp_path):
        files = {"low": wav(tone(440, RATE, 0.5), RATE), "high": wav(tone(440, 48000, 1.0), 48000)}
        calls = []
        recordings, skipped = read_recordings(
            write(tmp_path, **files), RATE, progress=lambda: calls.append(1)
        )
        assert (skipped, len(calls)) == ([], 2)
        low, high = contents(recordings)
        np.testing.assert_allclose(low, tone(440, RATE, 0.5), atol=1e-3)
        np.testing.assert_allclose(high[200:-200], tone(440, RATE, 1.0)[200:-200], atol=2e-3)

    def test_what_cannot_be_used_is_named_with_the_reason(self, tmp_path):
        np.save(tmp_path / "features.npy", np.zeros((3, 4)))
        utterances = write(
            tmp_path,
            good=flac_bytes("bad"),
            broken=flac_bytes("bad")[:-900],
            silent=wav(np.zeros(800), RATE),
            text=b"no audio",
            long=wav(tone(440, RATE, 3.1), RATE),
        )
        utterances.append(utterance(tmp_path / "features.npy", line=6))
        recordings, skipped = read_recordings(utterances, RATE, longest_seconds=3)
        assert len(recordings) == 1
        reasons = (
            "truncated",
            "silent",
            "not audio",
            "3.1 s; expected at most 3 s",
            "expected audio",
        )
        for line, (each, reason) in enumerate(zip(skipped, reasons, strict=True), start=2):
            assert str(each).startswith(f"made_up.jsonl:{line}: {each.utterance.filepath}: ")
            assert reason in each.reason

    def test_none_left_is_an_error_that_says_why(self, tmp_path):
        utterances = write(tmp_path, silent=wav(np.zeros(800), RATE), text=b"no audio")
        with pytest.raises(RecordingsError, match="not one usable recording of 2 is left\n") as one:
            read_recordings(utterances, RATE)
        assert "made_up.jsonl:1: " in str(one.value)
        assert "made_up.jsonl:2: " in str(one.value)


@pytest.mark.parametrize(
    ("sizes", "bound", "kept"),
    [
        ((400, 100, 800), 1300, (100, 400, 800)),
        ((400, 100, 800), 1299, (100, 400, 799)),
        ((400, 100, 800), 700, (100, 300, 300)),
        ((400, 100, 800), 301, (100, 100, 100)),
        ((400, 100, 800), 200, (66, 66, 66)),
        # Far more than fits is cut while it is read.
        (tuple(range(100, 900, 50)), 1600, (100,) * 16),
        (tuple(range(100, 900, 50)), 2000, (100, *[126] * 15)),
    ],
)
def test_too_much_is_cut_at_the_ends_of_the_longest(tmp_path, sizes, bound, kept):
    draws = np.random.default_rng(0)
    waveforms = {f"n{size}": draws.uniform(-0.5, 0.5, size) for size in sizes}
    utterances = write(tmp_path, **{name: wav(w, RATE) for name, w in waveforms.items()})
    recordings, skipped = read_recordings(utterances, RATE, held_samples=bound)
    assert skipped == []
    found = contents(recordings, draws=40 * len(sizes))
    assert tuple(map(len, found)) == kept
    assert recordings.samples == sum(kept) <= bound
    assert recordings.cut_to == (None if kept == tuple(sorted(sizes)) else max(kept))
    for each in found:
        assert any(
            np.allclose(waveform[: len(each)], each, atol=1e-3)
            for waveform in waveforms.values()
            if len(waveform) >= len(each)
        )
