"""What each key takes and refuses, and the faults that need two keys."""

import inspect

import pytest
import yaml

from keras_ds2.models.deep_speech_2 import DeepSpeech2
from keras_ds2.recipe import RecipeError, parse_recipe
from keras_ds2.recipe.schema import FeaturesSection, ModelSection
from tests.recipe.made_up import recipe_values


def load(**changes):
    return parse_recipe(yaml.safe_dump(recipe_values(**changes)), "x.yaml")


def faults(**changes):
    with pytest.raises(RecipeError) as caught:
        load(**changes)
    return caught.value.faults


def test_numbers_are_read_as_yaml_leaves_them():
    recipe = parse_recipe(
        yaml.safe_dump(recipe_values()).replace("0.001", "1e-3").replace("0.1", ".1"), "x.yaml"
    )
    assert recipe.training.learning_rate == 1e-3
    assert recipe.data.validation_share == 0.1
    assert isinstance(load(training__learning_rate=1).training.learning_rate, float)
    assert load(training__epochs=3.0).training.epochs == 3


def test_given_holds_only_what_was_set():
    recipe = load(model__bidirectional=False, model__dense_units=0)
    assert recipe.model.given("variant") == {"units": 64, "bidirectional": False, "dense_units": 0}
    assert FeaturesSection(hop_ms=5).given() == {"kind": "log_spectrogram", "hop_ms": 5.0}


def test_a_recipe_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        load().training.epochs = 3


def test_every_number_of_the_model_is_an_argument_of_it():
    arguments = set(inspect.signature(DeepSpeech2).parameters)
    assert set(ModelSection.model_fields) - {"variant"} <= arguments


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ("features__window_ms", -20, "features.window_ms: expected > 0 ms, received -20"),
        ("features__sampling_rate", 0, "features.sampling_rate: expected >= 1 Hz, received 0"),
        (
            "features__sampling_rate",
            True,
            "features.sampling_rate: expected a number, received true",
        ),
        ("features__deltas", True, "features.deltas: expected a number, received true"),
        ("features__deltas", 3, "features.deltas: expected 0, 1 or 2, received 3"),
        ("training__epochs", 2.5, "training.epochs: expected a whole number, received 2.5"),
        ("training__epochs", "many", "training.epochs: expected a whole number, received 'many'"),
        (
            "training__learning_rate",
            "fast",
            "training.learning_rate: expected a number, received 'fast'",
        ),
        (
            "training__learning_rate",
            float("nan"),
            "training.learning_rate: expected a finite number, received nan",
        ),
        (
            "training__sorta_grad",
            "maybe",
            "training.sorta_grad: expected true or false, received 'maybe'",
        ),
        ("training__sorta_grad", 1, "training.sorta_grad: expected true or false, received 1"),
        (
            "training__optimizer",
            "sdg",
            "training.optimizer: expected adamw, adam or sgd, received 'sdg'",
        ),
        ("model__dropout", 1, "model.dropout: expected < 1, received 1"),
        ("model", "english", "model: expected keys with values, received 'english'"),
        ("name", 7, "name: expected text, received 7"),
        ("name", "", "name: expected text, received ''"),
        (
            "augmentation__gain_db",
            [3, -3],
            "augmentation.gain_db: expected [minimum, maximum] with minimum <= maximum, "
            "received [3, -3]",
        ),
        (
            "augmentation__gain_db",
            [3],
            "augmentation.gain_db: expected 2 values, [minimum, maximum], received [3]",
        ),
        (
            "augmentation__time_warp",
            [0, 1],
            "augmentation.time_warp[0]: expected > 0, received 0",
        ),
        (
            "model__conv_strides",
            [[2, 2], [0, 1]],
            "model.conv_strides: expected a list, one whole number >= 1 or pair of them per layer, "
            "received [[2, 2], [0, 1]]",
        ),
    ],
)
def test_a_value_out_of_range_or_kind(place, value, line):
    assert faults(**{place: value}) == [line]


@pytest.mark.parametrize("value", [[[2, 2], [1, 2]], [2, 1, 1]])
def test_sizes_per_layer(value):
    assert load(model__conv_strides=value).model.conv_strides == value


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"data__validation_share": ...}, "data.validation_manifest"),
        ({"data__validation_manifest": "v.jsonl"}, "data.validation_share"),
        ({"data__validation_speakers": ["a"]}, "data.validation_share"),
        ({"data__min_seconds": 3, "data__max_seconds": 2}, "data.max_seconds"),
        ({"text__min_count": 2}, "text.min_count"),
        ({"features__num_bins": 161}, "features.num_bins"),
        ({"features__kind": "precomputed"}, "features.num_bins"),
        (
            {
                "features__kind": "precomputed",
                "features__num_bins": 13,
                "features__window_ms": 20,
            },
            "features.window_ms",
        ),
        (
            {
                "features__kind": "precomputed",
                "features__num_bins": 13,
                "features__power_normalize": False,
            },
            "features.power_normalize",
        ),
        ({"features__normalization_prior_frames": 9}, "features.normalization_prior_frames"),
        (
            {"features__normalization": "corpus", "features__normalization_memory_frames": 9},
            "features.normalization_memory_frames",
        ),
        (
            {
                "features__normalization": "running",
                "features__normalization_prior_frames": 10,
                "features__normalization_memory_frames": 9,
            },
            "features.normalization_memory_frames",
        ),
        (
            {"features__normalization": "running", "features__power_normalize": True},
            "features.power_normalize",
        ),
        ({"augmentation__time_masks": 2}, "augmentation.time_mask_max_frames"),
        ({"augmentation__frequency_mask_max_bins": 2}, "augmentation.frequency_mask_max_bins"),
        ({"augmentation__noise_share": 0.5}, "augmentation.noise_snr_db"),
        ({"augmentation__noise_snr_db": [0, 20]}, "augmentation.noise_snr_db"),
        ({"augmentation__noise_manifest": "noise.jsonl"}, "augmentation.noise_manifest"),
        ({"augmentation__noise_color": "pink"}, "augmentation.noise_color"),
        (
            {
                "augmentation__noise_share": 1,
                "augmentation__noise_snr_db": [0, 20],
                "augmentation__noise_manifest": "noise.jsonl",
                "augmentation__noise_color": "pink",
            },
            "augmentation.noise_color",
        ),
        ({"augmentation__rir_share": 0.5}, "augmentation.rir_manifest"),
        ({"augmentation__rir_manifest": "rir.jsonl"}, "augmentation.rir_manifest"),
        ({"augmentation__shift_ms": [0, 0]}, "augmentation.shift_ms"),
        ({"augmentation__gain_db": [-6, 0]}, "augmentation.gain_db"),
        ({"augmentation__gain_db": [-6, "-1e-1"]}, "augmentation.gain_db"),
        ({"training__batch_size": ...}, "training.batch_size"),
        ({"training__average_best": 3}, "training.average_best"),
        ({"training__batch_frames": 9000}, "training.batch_frames"),
        ({"training__schedule": "annealed"}, "training.anneal_factor"),
        ({"training__anneal_factor": 1.1}, "training.anneal_factor"),
        ({"training__replicas": 2}, "training.replicas"),
        ({"training__strategy": "multi_worker", "training__replicas": 2}, "training.replicas"),
        ({"training__strategy": "mirrored", "training__replicas": 9}, "training.replicas"),
        ({"training__momentum": 0.9}, "training.momentum"),
        ({"training__optimizer": "adam", "training__nesterov": True}, "training.nesterov"),
    ],
)
def test_keys_that_need_or_exclude_each_other(changes, key):
    (line,) = faults(**changes)
    assert line.startswith(f"{key}: ")
    assert "expected" in line


@pytest.mark.parametrize("gain_db", [[-6, 0.1], [3, 3]])
def test_a_gain_that_may_overload(gain_db):
    assert load(augmentation__gain_db=gain_db).augmentation.gain_db == gain_db


@pytest.mark.parametrize(
    "features",
    [
        {"features__normalization": "running"},
        {"features__normalization": "corpus", "features__power_normalize": False},
    ],
)
def test_a_gain_that_features_hear(features):
    assert load(**features, augmentation__gain_db=[-20, 0]).augmentation.gain_db == [-20, 0]


def test_waveform_augmentation_needs_waveforms():
    lines = faults(
        features__kind="precomputed",
        features__num_bins=13,
        augmentation__gain_db=[-3, 3],
        augmentation__noise_share=0.5,
        augmentation__noise_snr_db=[5, 20],
        augmentation__rir_share=0.5,
        augmentation__rir_manifest="rir.jsonl",
        augmentation__speed=[0.9, 1.1],
        augmentation__shift_ms=[0, 100],
    )
    assert [line.split(":")[0] for line in lines] == [
        "augmentation.rir_share",
        "augmentation.noise_share",
        "augmentation.speed",
        "augmentation.shift_ms",
        "augmentation.gain_db",
    ]


def test_manifests_lie_in_the_folder(tmp_path):
    data = load(data__folder="speech", data__test_manifest=str(tmp_path / "test.jsonl")).data
    assert data.path("train_manifest").as_posix() == "speech/train.jsonl"
    assert data.path("test_manifest") == tmp_path / "test.jsonl"
    assert data.path("validation_manifest") is None


def test_an_absolute_folder_means_the_same_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load(data__folder="speech").with_absolute_folder()
    assert recipe.data.folder == str(tmp_path.resolve() / "speech")
    assert recipe.with_absolute_folder() == recipe


def test_a_vocal_tract_is_of_spectrograms_and_of_cepstra():
    for features in ({}, {"features__kind": "precomputed", "features__num_bins": 13}):
        recipe = load(augmentation__vocal_tract=[0.9, 1.1], **features)
        assert list(recipe.augmentation.vocal_tract) == [0.9, 1.1]


def test_a_share_of_errors_needs_errors_to_be_passed_over():
    assert load(data__max_error_share=0.1).data.on_error == "skip"
    assert faults(data__on_error="stop", data__max_error_share=0.1) == [
        "data.max_error_share: has no effect where on_error is stop: expected no such key, "
        "received 0.1",
    ]


def test_a_service_makes_batches_of_waveforms():
    assert load(data__service="grpc://host.example:5000").data.service == "grpc://host.example:5000"
    for wrong in ("host:5000", "grpc://host", "http://host:5000"):
        assert faults(data__service=wrong) == [
            f"data.service: expected grpc://HOST:PORT, received '{wrong}'"
        ]
    (line,) = faults(
        data__service="grpc://[::1]:5000", features__kind="precomputed", features__num_bins=13
    )
    assert line.startswith("data.service: needs waveforms")
