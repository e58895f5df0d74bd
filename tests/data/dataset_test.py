"""From examples to batches: what is in them, in which order, and the same from any start."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.audio.io import read_audio
from keras_ds2.data.augmentation import Augmentation
from keras_ds2.data.batching import bucket_widths, plan_epoch
from keras_ds2.data.checking import check_utterances
from keras_ds2.data.dataset import (
    count_training_batches,
    evaluation_dataset,
    feature_dataset,
    largest_evaluation_batch,
    made_up_batch,
    training_dataset,
)
from keras_ds2.data.features_file import read_features
from keras_ds2.data.loader import epoch_seed, hear
from keras_ds2.data.manifest import read_manifest
from keras_ds2.data.recordings import Recordings
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.text.alphabet import Alphabet
from keras_ds2.text.normalization import as_it_is
from tests.made_up_corpus import RATE, audio_corpus, features_corpus, wav_bytes

ALPHABET = Alphabet(list(" abcd"))
BATCH = 5
SOUND = Augmentation(noise_share=0.5, noise_snr_db=(0, 20), gain_db=(-6, 6))
EVERYTHING = Augmentation(
    speed=(0.9, 1.1),
    shift_ms=(-20, 20),
    rir_share=0.5,
    rir_recordings=Recordings([np.float32([0, 1, 0.5, 0.25]), np.float32([1, 0, 0, -0.5])]),
    noise_share=0.5,
    noise_snr_db=(0, 20),
    noise_recordings=Recordings([np.linspace(-1, 1, 999, dtype=np.float32)]),
    gain_db=(-6, 6),
    vocal_tract=(0.9, 1.1),
    time_warp=(0.8, 1.2),
    gaussian_noise_stddev=0.1,
    time_masks=1,
    time_mask_max_frames=10,
    frequency_masks=1,
    frequency_mask_max_bins=8,
)


EVERYTHING_OF_FEATURES = Augmentation(time_warp=(0.8, 1.2), gaussian_noise_stddev=0.1)


class Corpus:
    """Examples, their front end, and what it reads of each."""

    def __init__(self, manifest, front_end, read):
        self.front_end = front_end
        self.examples, skipped = check_utterances(
            read_manifest(manifest), front_end, ALPHABET, as_it_is, [2]
        )
        assert not skipped
        self.inputs = [read(example.utterance.filepath) for example in self.examples]

    def features(self, index):
        """An utterance's features by the front end alone."""
        return self.front_end(self.inputs[index][np.newaxis]).numpy()[0]

    def training(self, **options):
        size = {} if "batch_frames" in options else {"batch_size": BATCH}
        return training_dataset(self.examples, self.front_end, **{**size, "epochs": 3, **options})

    def evaluation(self, batch_size):
        return evaluation_dataset(self.examples, self.front_end, batch_size=batch_size)


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """WAV and FLAC of three rates."""
    manifest = audio_corpus(tmp_path_factory.mktemp("audio"))
    return Corpus(manifest, FeatureFrontEnd(sampling_rate=RATE), lambda p: read_audio(p, RATE))


@pytest.fixture(scope="module")
def precomputed(tmp_path_factory):
    manifest = features_corpus(tmp_path_factory.mktemp("features"))
    front_end = FeatureFrontEnd(kind="precomputed", num_bins=4, deltas=1)
    return Corpus(manifest, front_end, lambda path: read_features(path, 4))


@pytest.fixture(params=["audio", "precomputed"])
def corpus(request):
    return request.getfixturevalue(request.param)


def content(dataset):
    """All batches as bytes and shapes: equal only where every bit is."""
    return [
        {name: (value.shape, value.tobytes()) for part in batch for name, value in part.items()}
        for batch in dataset.as_numpy_iterator()
    ]


def expected_indices(corpus, epochs, seed=0, augmentation=None, **options):
    augmentation = augmentation or Augmentation()
    frames = [augmentation.longest(example.frames, 2) for example in corpus.examples]
    for epoch in epochs:
        size = {} if "batch_frames" in options else {"batch_size": BATCH}
        yield from plan_epoch(frames, epoch=epoch, seed=seed, **size, **options)


def assert_narrowest(inputs, planned, widths):
    """A batch has the narrowest of the planned widths that fits what it holds."""
    width, longest = inputs["features"].shape[1], inputs["feature_length"].max()
    assert width in widths
    assert longest <= width <= planned
    assert not any(longest <= narrower < width for narrower in widths)


def assert_holds(corpus, batch, indices, width):
    """A batch holds these utterances in this order, padded with zeros to this width."""
    inputs, labels = batch
    assert inputs["features"].shape == (len(indices), width, corpus.front_end.num_output_bins)
    assert inputs["features"].dtype == np.float32
    assert {inputs["feature_length"].dtype, labels["label_length"].dtype} == {np.dtype("int32")}
    assert labels["labels"].dtype == np.int32
    assert labels["labels"].shape[1] == labels["label_length"].max()
    for row, index in enumerate(indices):
        example = corpus.examples[index]
        length, symbols = inputs["feature_length"][row], labels["label_length"][row]
        assert (length, symbols) == (example.frames, len(example.labels))
        np.testing.assert_array_equal(labels["labels"][row, :symbols], example.labels)
        assert not labels["labels"][row, symbols:].any()
        features = inputs["features"][row]
        np.testing.assert_allclose(features[:length], corpus.features(index), atol=1e-3)
        assert not features[length:].any()


class TestTraining:
    def test_batches_are_the_planned_ones(self, corpus):
        batches = list(corpus.training(seed=3, num_buckets=2).as_numpy_iterator())
        plan = list(expected_indices(corpus, range(3), seed=3, num_buckets=2))
        assert len({batch.width for batch in plan}) == 2
        for batch, planned in zip(batches, plan, strict=True):
            assert_holds(corpus, batch, planned.indices, planned.width)

    def test_batches_of_so_many_frames_are_the_planned_ones(self, precomputed):
        options = {"batch_frames": 100, "num_buckets": 3}
        warp = {"augmentation": Augmentation(time_warp=(0.8, 1.2))}
        count = count_training_batches(
            precomputed.examples, precomputed.front_end, **options, **warp
        )
        plan = list(expected_indices(precomputed, range(3), seed=3, **options, **warp))
        assert len(plan) == 3 * count.steps_per_epoch
        dataset = precomputed.training(seed=3, **options, **warp)
        shapes = set()
        for (inputs, labels), planned in zip(dataset.as_numpy_iterator(), plan, strict=True):
            rows, frames, _ = inputs["features"].shape
            assert (rows, frames) == (len(planned.indices), planned.width)
            assert rows * frames <= 100
            symbols = [len(precomputed.examples[index].labels) for index in planned.indices]
            assert labels["label_length"].tolist() == symbols
            shapes.add((rows, frames))
        assert 1 < len(shapes) <= count.shapes
        rest = precomputed.training(seed=3, first_epoch=1, first_step=2, **options, **warp)
        assert content(rest) == content(dataset)[count.steps_per_epoch + 2 :]

    @pytest.mark.parametrize("size", [{"batch_size": BATCH}, {"batch_frames": 100}])
    def test_no_batch_is_larger_than_the_one_to_try(self, precomputed, size):
        largest = count_training_batches(precomputed.examples, precomputed.front_end, **size)
        made_up = made_up_batch(precomputed.front_end, 6, *largest.largest)
        dataset = precomputed.training(epochs=1, **size)
        assert made_up.element_spec == dataset.element_spec
        ((inputs, labels),) = made_up.as_numpy_iterator()
        rows, frames, bins = inputs["features"].shape
        symbols = labels["labels"].shape[1]
        assert (rows, frames, symbols) == largest.largest
        assert bins == precomputed.front_end.num_output_bins
        assert 1 <= labels["labels"].min() <= labels["labels"].max() < 6
        assert np.all(np.diff(labels["labels"]) != 0)
        for batch, truth in dataset.as_numpy_iterator():
            states = 2 * truth["labels"].shape[1] + 1
            size_of = batch["features"].shape[0] * batch["features"].shape[1] * states
            assert size_of <= rows * frames * (2 * symbols + 1)

    def test_without_sorta_grad_the_first_epoch_is_in_another_order(self, precomputed):
        lengths = [
            [batch[0]["feature_length"].max() for batch in dataset.as_numpy_iterator()]
            for dataset in (
                precomputed.training(epochs=1, seed=1),
                precomputed.training(epochs=1, seed=1, sorta_grad=False),
            )
        ]
        assert lengths[0] == sorted(lengths[0])
        assert lengths[1] != lengths[0]

    def test_shares_together_are_the_whole_batches_to_the_bit(self, precomputed):
        """Twelve utterances in batches of five, shared by three: rows to fill up weigh nothing."""
        options = {"seed": 3, "augmentation": EVERYTHING_OF_FEATURES, "num_buckets": 1}
        whole = list(precomputed.training(**options).as_numpy_iterator())
        of_two = iter(precomputed.training(replicas=3, own=[0, 1], **options).as_numpy_iterator())
        of_one = iter(precomputed.training(replicas=3, own=[2], **options).as_numpy_iterator())
        for inputs, labels in whole:
            shares = [next(of_two), next(of_two), next(of_one)]
            rows = len(inputs["features"])
            for name in ("features", "feature_length", "label_length"):
                part = "label" in name
                expected = (inputs, labels)[part][name]
                dealt = [share[part][name] for share in shares]
                assert len({each.shape for each in dealt}) == 1
                # Row by row: first of each share, second of each share, ...
                found = np.stack(dealt, axis=1).reshape(-1, *expected.shape[1:])
                np.testing.assert_array_equal(found[:rows], expected)
                assert not found[rows:].any()
            weights = np.stack([share[2] for share in shares], axis=1).ravel()
            assert weights.tolist() == [1] * rows + [0] * (len(weights) - rows)

    def test_shares_have_no_end(self, precomputed):
        dataset = precomputed.training(epochs=1, replicas=2)
        assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
        assert len(list(dataset.take(4))) == 4  # an epoch has three

    def test_from_any_start_it_is_the_rest_of_the_whole(self, corpus):
        whole = content(corpus.training(seed=7, augmentation=EVERYTHING))
        per_epoch = len(whole) // 3
        # A graph that decodes audio takes seconds to build: one start tells enough of it.
        audio = corpus.front_end.kind == "log_spectrogram"
        for epoch, step in [(1, 2)] if audio else [(0, 2), (1, 0), (2, 1), (3, 0)]:
            rest = corpus.training(
                seed=7, augmentation=EVERYTHING, first_epoch=epoch, first_step=step
            )
            assert content(rest) == whole[epoch * per_epoch + step :]

    def test_augmentation_is_another_in_each_epoch_and_for_each_seed(self, precomputed):
        def spoken(**options):
            """The features of each utterance, by its labels."""
            found = {}
            for inputs, labels in precomputed.training(augmentation=EVERYTHING, **options):
                for row, length in enumerate(inputs["feature_length"]):
                    key = labels["labels"][row].numpy()[: labels["label_length"][row]].tobytes()
                    found[key] = inputs["features"][row, :length].numpy().tobytes()
            return found

        first, second, other = (
            spoken(epochs=1),
            spoken(epochs=2, first_epoch=1),
            spoken(epochs=1, seed=1),
        )
        assert len(first) == len(precomputed.examples)
        for label, features in first.items():
            assert second[label] != features
            assert other[label] != features

    def test_waveforms_are_augmented_before_their_features(self, audio):
        planned = next(iter(expected_indices(audio, [0])))
        inputs, _ = next(audio.training(epochs=1, augmentation=SOUND).as_numpy_iterator())
        changed = []
        for row, index in enumerate(planned.indices):
            plain = audio.features(index)
            assert inputs["feature_length"][row] == len(plain)
            # Features are normalised, so that a gain alone would not show: noise does.
            changed.append(np.abs(inputs["features"][row, : len(plain)] - plain).max() > 0.1)
        assert 0 < sum(changed) < BATCH

    def test_what_is_heard_depends_on_the_utterance_and_the_epoch_not_on_the_batch(self, audio):
        """To the bit, in whatever company and order; and as `hear` gives it."""

        def heard(**options):
            found = {}
            for inputs, labels in audio.training(
                augmentation=EVERYTHING, first_epoch=1, epochs=2, seed=7, **options
            ):
                for row, length in enumerate(inputs["feature_length"]):
                    symbols = labels["labels"][row, : labels["label_length"][row]].numpy()
                    found[symbols.tobytes()] = inputs["features"][row, :length].numpy()
            return found

        fives, threes = heard(batch_size=5), heard(batch_size=3)
        assert len(fives) == len(threes) == len(audio.examples)
        for index, (example, inputs) in enumerate(zip(audio.examples, audio.inputs, strict=True)):
            features = fives[example.labels.tobytes()]
            np.testing.assert_array_equal(features, threes[example.labels.tobytes()])
            seed = epoch_seed(7, 1)
            _, alone = hear(tf.constant(inputs), index, seed, audio.front_end, EVERYTHING)
            np.testing.assert_allclose(features, alone, atol=0.02)  # quiet bins, in logarithms

    def test_features_have_no_waveform_to_augment(self, precomputed):
        plain = content(precomputed.training(epochs=1))
        assert content(precomputed.training(epochs=1, augmentation=SOUND)) == plain

    def test_warped_utterances_fit_their_batches(self, precomputed):
        warp = Augmentation(time_warp=(0.5, 2.0))
        plan = expected_indices(precomputed, range(6), augmentation=warp)
        widths = bucket_widths([warp.longest(each.frames, 2) for each in precomputed.examples])
        dataset = precomputed.training(epochs=6, augmentation=warp)
        lengths = []
        for (inputs, _), planned in zip(dataset.as_numpy_iterator(), plan, strict=True):
            assert_narrowest(inputs, planned.width, widths)
            frames = np.array([precomputed.examples[i].frames for i in planned.indices])
            lengths.extend(inputs["feature_length"] / frames)
        assert min(lengths) < 0.7
        assert max(lengths) > 1.4

    def test_utterances_played_slower_fit_their_batches(self, audio):
        slow = Augmentation(speed=(0.6, 1.0))
        plan = expected_indices(audio, range(3), augmentation=slow)
        widths = bucket_widths([slow.longest(each.frames, 2) for each in audio.examples])
        rates = []
        for (inputs, _), planned in zip(
            audio.training(epochs=3, augmentation=slow).as_numpy_iterator(), plan, strict=True
        ):
            assert_narrowest(inputs, planned.width, widths)
            frames = np.array([audio.examples[i].frames for i in planned.indices])
            rates.extend(frames / inputs["feature_length"])
        assert 0.55 < min(rates) < 0.75 < 0.9 < max(rates) < 1.05

    def test_any_seed_will_do(self, precomputed):
        one, other = (
            content(precomputed.training(epochs=1, seed=seed, augmentation=EVERYTHING))
            for seed in (2**31 - 1, 2**40 + 5)
        )
        assert one != other


class TestEvaluation:
    @pytest.mark.parametrize("batch_size", [1, 5, 100])
    def test_all_once_in_their_order(self, precomputed, batch_size):
        self.assert_in_order(precomputed, batch_size)

    def test_audio_too(self, audio):
        self.assert_in_order(audio, 5)

    def assert_in_order(self, corpus, batch_size):
        count, seen = len(corpus.examples), 0
        for batch in corpus.evaluation(batch_size).as_numpy_iterator():
            indices = range(seen, min(seen + batch_size, count))
            width = max(corpus.examples[index].frames for index in indices)
            assert_holds(corpus, batch, indices, width)
            seen += len(indices)
        assert seen == count

    def test_batches_of_so_many_frames(self, precomputed):
        examples = sorted(precomputed.examples, key=lambda example: example.frames)
        longest = examples[-1].frames
        dataset = evaluation_dataset(examples, precomputed.front_end, batch_frames=2 * longest - 1)
        lengths, shapes = [], []
        for inputs, _ in dataset.as_numpy_iterator():
            lengths += inputs["feature_length"].tolist()
            shapes.append(inputs["features"].shape[:2])
        assert lengths == [example.frames for example in examples]
        assert all(rows * frames < 2 * longest for rows, frames in shapes)
        assert shapes[0][0] > 1
        assert shapes[-1] == (1, longest)
        largest = largest_evaluation_batch(examples, batch_frames=2 * longest - 1)
        assert largest in shapes
        assert np.prod(largest) == max(map(np.prod, shapes))
        (*_, (inputs, _)) = evaluation_dataset(examples, precomputed.front_end, batch_frames=1)
        assert inputs["features"].shape[:2] == (1, longest)

    def test_it_can_be_gone_through_again(self, precomputed):
        dataset = precomputed.evaluation(5)
        assert content(dataset) == content(dataset)


def test_feature_dataset_gives_what_the_front_end_reads(precomputed):
    rows = feature_dataset(precomputed.examples, precomputed.front_end).as_numpy_iterator()
    for (inputs, length), expected in zip(rows, precomputed.inputs, strict=True):
        assert length == len(expected)
        np.testing.assert_array_equal(inputs, expected)


def test_corpus_statistics_are_used_in_every_batch(tmp_path):
    front_end = FeatureFrontEnd(kind="precomputed", num_bins=4, normalization="corpus")
    corpus = Corpus(features_corpus(tmp_path), front_end, lambda path: read_features(path, 4))
    front_end.adapt(feature_dataset(corpus.examples, front_end))
    rows = [
        inputs["features"][row, :length]
        for inputs, _ in corpus.training(epochs=1).as_numpy_iterator()
        for row, length in enumerate(inputs["feature_length"])
    ]
    frames = np.concatenate(rows)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-3)


def test_an_utterance_without_labels_has_none(tmp_path):
    manifest = features_corpus(tmp_path, texts=("xx", "yy"))
    front_end = FeatureFrontEnd(kind="precomputed", num_bins=4)
    examples, _ = check_utterances(
        read_manifest(manifest), front_end, ALPHABET, as_it_is, [2], keep_unknown_symbols=True
    )
    ((_, labels),) = evaluation_dataset(examples, front_end, batch_size=2).as_numpy_iterator()
    assert labels["labels"].shape == (2, 0)
    assert labels["label_length"].tolist() == [0, 0]


class TestUnread:
    """Files that were sound when they were checked, and are not when they are read."""

    @pytest.fixture(params=[pytest.param("audio", marks=pytest.mark.slow), "precomputed"])
    def broken(self, request, tmp_path):
        """A corpus whose utterances 1 and 7 are gone, 4 is cut, 6 another, 8 silent or NaN."""
        audio = request.param == "audio"
        front_end = (
            FeatureFrontEnd(sampling_rate=RATE)
            if audio
            else FeatureFrontEnd(kind="precomputed", num_bins=4)
        )
        manifest = (audio_corpus if audio else features_corpus)(tmp_path)
        corpus = Corpus(manifest, front_end, Path)
        corpus.good = content(corpus.training(epochs=2, seed=5, augmentation=SOUND))
        paths = corpus.inputs
        paths[1].unlink()
        paths[7].unlink()
        paths[4].write_bytes(paths[4].read_bytes()[:-40])
        if audio:
            paths[6].write_bytes(wav_bytes("abcdabcdabcdabcd" * 2))
            paths[8].write_bytes(b"RIFF")
        else:
            np.save(paths[6], np.zeros((1000, 4), np.float32))
            np.save(paths[8], np.full((9, 4), np.nan, np.float32))
        corpus.broken = {1, 4, 6, 7, 8}
        return corpus

    def test_are_told_and_have_no_frame_and_all_else_is_as_it_was(self, broken):
        told = []
        plan = list(expected_indices(broken, range(2), seed=5, augmentation=SOUND))
        batches = broken.training(epochs=2, seed=5, augmentation=SOUND, unread=told.append)
        for found, before, planned in zip(content(batches), broken.good, plan, strict=True):
            for name in ("labels", "label_length"):
                assert found[name] == before[name]
            width = found["features"][0][1]  # less where the longest one is gone
            rows = zip(*(self.rows(batch) for batch in (found, before)), strict=True)
            for index, (one, two) in zip(planned.indices, rows, strict=True):
                if index in broken.broken:
                    assert one[0] == 0
                    assert not one[1].any()
                else:
                    assert one[0] == two[0]
                    np.testing.assert_array_equal(one[1], two[1][:width])
        expected = {broken.examples[index].utterance.where for index in broken.broken}
        assert {each.utterance.where for each in told} == expected
        assert len(told) == 2 * len(expected)
        for each in told:
            assert each.utterance.filepath in each.reason

    def rows(self, batch):
        (shape, values), (_, lengths) = batch["features"], batch["feature_length"]
        features = np.frombuffer(values, np.float32).reshape(shape)
        return zip(np.frombuffer(lengths, np.int32), features, strict=True)

    def test_without_anyone_to_tell_they_are_an_error(self, broken):
        with pytest.raises(tf.errors.OpError):
            list(broken.training(epochs=1))

    def test_for_evaluation_too(self, broken):
        told = []
        dataset = evaluation_dataset(
            broken.examples, broken.front_end, batch_size=5, unread=told.append
        )
        lengths = np.concatenate([inputs["feature_length"] for inputs, _ in dataset])
        assert set(np.flatnonzero(lengths == 0)) == broken.broken
        assert len(told) == len(broken.broken)
