"""From a recipe to its objects: what fits together, who is held out, what is said of bad data."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from keras_ds2.data.manifest import ManifestError
from keras_ds2.recipe.build import DataError, build, split_utterances
from keras_ds2.text.alphabet import UnknownSymbolError
from tests.made_up_corpus import TEXTS, features_corpus, tiny_recipe

VALIDATION = ("ab", "cad", "bad")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    features_corpus(folder)
    features_corpus(folder, VALIDATION, "validation", seed=100)
    return folder


def built(folder, **changes):
    return build(tiny_recipe(folder, **changes), Console(file=io.StringIO()))


def lines(utterances):
    return [utterance.line for utterance in utterances]


def held_out(**values):
    """Changes that hold utterances of the training manifest out."""
    return {
        "data__validation_manifest": None,
        **{f"data__{key}": value for key, value in values.items()},
    }


def change_lines(manifest, change):
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps(change(dict(row))) + "\n" for row in rows))


class TestObjects:
    def test_fit_together(self, folder):
        made = built(folder, features__deltas=2, features__hop_ms=12.5)
        assert (made.skipped, made.left_out) == ([], 0)
        assert set(made.alphabet.symbols) == set("abcd ")
        assert made.model.vocabulary_size == len(made.alphabet) == 6
        assert made.model.num_bins == made.front_end.num_output_bins == 12
        assert made.model.step_ms == 25.0
        assert [example.text for example in made.train] == list(TEXTS)
        assert [example.text for example in made.validation] == list(VALIDATION)

    def test_augmentation_and_precision_are_the_recipes(self, folder):
        made = built(
            folder,
            augmentation__time_warp=[0.9, 1.1],
            augmentation__gaussian_noise_stddev=0.2,
            training__mixed_precision="mixed_float16",
        )
        assert list(made.augmentation.time_warp) == [0.9, 1.1]
        assert made.augmentation.gaussian_noise_stddev == 0.2
        assert made.augmentation.time_masks == 0
        assert made.model.dtype_policy.name == "mixed_float16"
        assert built(folder).model.dtype_policy.name == "float32"

    def test_corpus_statistics_are_of_training(self, folder):
        front_end = built(folder, features__normalization="corpus").front_end
        rows = [np.load(path) for path in sorted(folder.glob("train_*.npy"))]
        frames = np.concatenate(rows)
        normalized = (frames - frames.mean(axis=0)) / frames.std(axis=0)
        got = front_end(frames[np.newaxis]).numpy()[0]
        np.testing.assert_allclose(got, normalized, atol=1e-3)

    def test_weights_are_drawn_by_the_seed(self, folder):
        def kernel(seed):
            return built(folder, training__seed=seed).model.get_weights()[0]

        one, again, other, large = (kernel(seed) for seed in (1, 1, 2, 2**40))
        np.testing.assert_array_equal(one, again)
        assert np.abs(one - other).max() > 0
        assert np.isfinite(large).all()

    def test_alphabets(self, folder):
        english = {"text__alphabet": "english"}
        assert len(built(folder, **english).alphabet) == 29
        mandarin = built(folder, text__language="mandarin", text__alphabet="mandarin").alphabet
        assert {"a", "z", " "} < set(mandarin.symbols)


class TestHeldOut:
    def test_speakers_named(self, folder):
        made = built(folder, **held_out(validation_speakers=["speaker 1", "speaker 3"]))
        assert [each.utterance.speaker for each in made.train] == ["speaker 0", "speaker 2"] * 3
        assert {each.utterance.speaker for each in made.validation} == {"speaker 1", "speaker 3"}
        assert len(made.validation) == 6

    @pytest.mark.parametrize(
        ("share", "speakers"), [(0.01, 1), (0.25, 1), (0.5, 2), (0.7, 3), (0.8, 3)]
    )
    def test_a_share_of_speakers_and_all_they_said(self, folder, share, speakers):
        recipe = tiny_recipe(folder, **held_out(validation_share=share))
        train, validation = split_utterances(recipe)
        parts = [{each.speaker for each in part} for part in (train, validation)]
        assert len(parts[1]) == speakers
        assert not parts[0] & parts[1]
        assert sorted(lines(train) + lines(validation)) == list(range(1, 13))

    def test_a_share_of_utterances(self, folder):
        changes = held_out(validation_share=0.25, validation_split_by="utterance")
        train, validation = split_utterances(tiny_recipe(folder, **changes))
        assert len(validation) == 3
        assert lines(train) == sorted(lines(train))
        assert sorted(lines(train) + lines(validation)) == list(range(1, 13))

    @pytest.mark.parametrize("split_by", ["speaker", "utterance"])
    def test_are_drawn_by_the_seed(self, folder, split_by):
        def drawn(seed):
            changes = held_out(validation_share=0.3, validation_split_by=split_by)
            recipe = tiny_recipe(folder, training__seed=seed, **changes)
            return tuple(lines(split_utterances(recipe)[1]))

        assert drawn(1) == drawn(1)
        assert len({drawn(seed) for seed in range(6)}) > 1

    def test_the_alphabet_is_of_those_in_training(self, tmp_path):
        features_corpus(tmp_path, ("ab", "ba", "ab", "abcd"))
        made = built(tmp_path, **held_out(validation_speakers=["speaker 3"]))
        assert set(made.alphabet.symbols) == {"a", "b"}
        assert [each.text for each in made.validation] == ["abcd"]


class TestLeftOut:
    def test_by_length_of_training_alone(self, folder):
        # Six frames a letter: "dab ad" and "bad cab" are longer than 0.3 s, "a" and "c" shorter
        # than 0.1 s; of the validation nothing is left out.
        made = built(folder, data__min_seconds=0.1, data__max_seconds=0.3)
        assert made.left_out == 4
        kept = [text for text in TEXTS if 1 < len(text) < 6]
        assert [example.text for example in made.train] == kept
        assert len(made.validation) == 3

    def test_what_cannot_be_used_is_skipped_and_named(self, tmp_path):
        features_corpus(tmp_path)
        features_corpus(tmp_path, VALIDATION, "validation")
        np.save(tmp_path / "train_3.npy", np.zeros((4, 7)))
        (tmp_path / "validation_1.npy").write_bytes(b"")
        made = built(tmp_path)
        assert (len(made.train), len(made.validation)) == (11, 2)
        places = [str(each) for each in made.skipped]
        assert places[0].startswith(f"{tmp_path}/train.jsonl:4: ")
        assert places[1].startswith(f"{tmp_path}/validation.jsonl:2: ")

    def test_nothing_usable_is_an_error_with_the_reasons(self, tmp_path):
        features_corpus(tmp_path)
        features_corpus(tmp_path, VALIDATION, "validation")
        for path in tmp_path.glob("validation_*.npy"):
            path.write_bytes(b"")
        with pytest.raises(
            DataError, match=r"data\.validation: not one usable utterance"
        ) as caught:
            built(tmp_path)
        assert str(caught.value).count("validation.jsonl:") == 3
        with pytest.raises(DataError, match=r"data\.train: not one usable utterance"):
            built(tmp_path, data__min_seconds=100)


class TestUnknownSymbols:
    @pytest.fixture
    def rare(self, tmp_path):
        features_corpus(tmp_path, ("ab", "ba", "ab", "abq"))
        features_corpus(tmp_path, ("ab", "xa"), "validation")
        return tmp_path

    def test_stop_by_default_with_the_place_and_both_remedies(self, rare):
        with pytest.raises(UnknownSymbolError) as caught:
            built(rare, text__min_count=2)
        message = str(caught.value)
        assert caught.value.symbols == ("q",)
        assert f"{rare}/train.jsonl:4: 'q' in 'abq'" in message
        assert "data.unknown_symbols: skip" in message

    def test_or_leave_the_utterance_out(self, rare):
        made = built(rare, text__min_count=2, data__unknown_symbols="skip")
        assert [example.text for example in made.train] == ["ab", "ba", "ab"]
        assert "'q'" in made.skipped[0].reason

    def test_in_validation_they_are_errors_of_the_model(self, rare):
        made = built(rare)
        assert [example.text for example in made.validation] == ["ab", "xa"]
        assert made.alphabet.decode(made.validation[1].labels) == "a"


class TestData:
    @pytest.mark.parametrize("key", ["train_manifest", "validation_manifest"])
    def test_absent_ones_are_an_error_that_says_how_to_get_them(self, folder, key):
        with pytest.raises(DataError) as caught:
            built(folder, **{f"data__{key}": "absent.jsonl"})
        assert str(caught.value).split("\n") == [
            f"{folder}/absent.jsonl: no such file (data.{key}).",
            "record ten people",
            "Elsewhere? Say where: --set data.folder=FOLDER",
        ]

    def test_a_faulty_manifest_is_named_with_its_key(self, tmp_path):
        manifest = features_corpus(tmp_path)
        features_corpus(tmp_path, VALIDATION, "validation")
        manifest.write_text(manifest.read_text() + "{}\nnot json\n")
        with pytest.raises(ManifestError, match=r"^data\.train_manifest: .*train\.jsonl") as caught:
            built(tmp_path)
        assert [fault.split(": ")[0][-2:] for fault in caught.value.faults[-1:]] == ["14"]

    def test_speakers_that_are_not_there(self, folder):
        with pytest.raises(DataError) as caught:
            built(folder, **held_out(validation_speakers=["speaker 9", "speaker 1", "bob"]))
        assert "bob, speaker 9; its speakers are speaker 0, speaker 1, " in str(caught.value)

    def test_lines_without_a_speaker_cannot_be_held_out_by_one(self, tmp_path):
        manifest = features_corpus(tmp_path)
        change_lines(manifest, lambda row: row | {"speaker": None} if row["text"] == "ad" else row)
        with pytest.raises(DataError, match=r"train\.jsonl:7: no speaker \(1 such lines\)"):
            built(tmp_path, **held_out(validation_share=0.5))
        changes = held_out(validation_share=0.5, validation_split_by="utterance")
        assert len(built(tmp_path, **changes).train) == 6

    def test_someone_has_to_be_left_to_train_on(self, tmp_path):
        manifest = features_corpus(tmp_path)
        change_lines(manifest, lambda row: row | {"speaker": "ann"})
        with pytest.raises(DataError, match="all 1 speakers are held out"):
            built(tmp_path, **held_out(validation_share=0.1))
