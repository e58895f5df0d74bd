"""From the `augmentation` section to what training sees: no key is without effect."""

import io

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from keras_ds2.data.augmentation import Augmentation
from keras_ds2.data.loader import epoch_seed, hear
from keras_ds2.data.manifest import ManifestError
from keras_ds2.data.recordings import RecordingsError, read_recordings
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.recipe.build import build
from keras_ds2.recipe.build_augmentation import build_augmentation
from keras_ds2.recipe.schema import AugmentationSection
from tests.audio.made_up_audio import tone, wav
from tests.made_up_corpus import (
    RATE,
    audio_changes,
    audio_corpus,
    spoken,
    tiny_recipe,
    write_manifest_lines,
)

NOISE = {"noise_share": 1.0, "noise_snr_db": [0, 0]}
RECORDED = {**NOISE, "noise_manifest": "noise.jsonl"}
ROOM = {"rir_share": 1.0, "rir_manifest": "rir.jsonl"}
TIME = {"time_masks": 1, "time_mask_max_frames": 4}
FREQUENCY = {"frequency_masks": 1, "frequency_mask_max_bins": 10}
# Of every key: a section, and the same with another value of that key; what is heard differs.
CHANGES = {
    "speed": ({}, {"speed": [0.8, 0.8]}),
    "shift_ms": ({}, {"shift_ms": [50, 50]}),
    "rir_share": ({}, ROOM),
    "rir_manifest": (ROOM, {**ROOM, "rir_manifest": "other_rir.jsonl"}),
    "noise_share": ({}, NOISE),
    "noise_snr_db": (NOISE, {**NOISE, "noise_snr_db": [10, 10]}),
    "noise_manifest": (NOISE, RECORDED),
    "noise_color": (NOISE, {**NOISE, "noise_color": "pink"}),
    "gain_db": ({}, {"gain_db": [20, 20]}),
    "vocal_tract": ({}, {"vocal_tract": [0.8, 0.9]}),
    "time_warp": ({}, {"time_warp": [1.2, 1.2]}),
    "gaussian_noise_stddev": ({}, {"gaussian_noise_stddev": 0.5}),
    "time_masks": (TIME, {**TIME, "time_masks": 3}),
    "time_mask_max_frames": (TIME, {**TIME, "time_mask_max_frames": 10}),
    "frequency_masks": (FREQUENCY, {**FREQUENCY, "frequency_masks": 3}),
    "frequency_mask_max_bins": (FREQUENCY, {**FREQUENCY, "frequency_mask_max_bins": 40}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus with noise and rooms beside it; a noise that is no audio among them."""
    folder = tmp_path_factory.mktemp("augmentation")
    audio_corpus(folder, ("bad", "cab"))
    audio_corpus(folder, ("dad",), "validation")
    draws = np.random.default_rng(0)
    room = np.exp(-np.arange(2000) / 300) * draws.normal(size=2000) * 0.2
    files = {
        "noise": {"n0": wav(tone(300, RATE, 1.0), RATE), "n1": b"no audio"},
        "rir": {"r0": wav(room, RATE)},
        "other_rir": {"r1": wav(room[:500], RATE)},
        "broken": {"b0": b"no audio"},
        "long_rir": {"l0": wav(tone(300, RATE, 11), RATE)},
    }
    for manifest, contents in files.items():
        rows = []
        for name, content in contents.items():
            (folder / f"{name}.wav").write_bytes(content)
            rows.append({"audio_filepath": f"{name}.wav", "duration": 1.0})
        write_manifest_lines(folder / f"{manifest}.jsonl", rows)
    return folder


def recipe_of(folder, **section):
    changes = {f"augmentation__{key}": value for key, value in section.items()}
    return tiny_recipe(
        folder, **{**audio_changes(), "features__normalization": "utterance"}, **changes
    )


def built(folder, console=None, **section):
    console = console or Console(file=io.StringIO())
    return build_augmentation(recipe_of(folder, **section), RATE, console)


def heard(folder, **section):
    """The features that training makes of one utterance in a few epochs."""
    augmentation, front_end = built(folder, **section), FeatureFrontEnd(sampling_rate=RATE)
    waveform = tf.constant(spoken("bad cab"), tf.float32)
    return [
        hear(waveform, 0, epoch_seed(1, epoch), front_end, augmentation)[1].numpy()
        for epoch in range(3)
    ]


def test_every_key_is_walked():
    assert set(CHANGES) == set(AugmentationSection.model_fields)
    for key, (before, after) in CHANGES.items():
        assert {name for name in after if after[name] != before.get(name)} >= {key}


@pytest.mark.parametrize("key", CHANGES)
def test_every_key_changes_what_training_sees(folder, key):
    before, after = CHANGES[key]
    pairs = zip(heard(folder, **before), heard(folder, **after), strict=True)
    assert any(one.shape != other.shape or np.abs(one - other).max() > 0.05 for one, other in pairs)


def test_the_vocal_tract_of_cepstra_changes_what_training_sees():
    front_end = FeatureFrontEnd(kind="precomputed", num_bins=13)
    cepstra = tf.constant(np.random.default_rng(0).normal(size=(50, 13)), tf.float32)
    plain, warped = (
        hear(cepstra, 0, epoch_seed(1, 0), front_end, Augmentation(**changes))[1].numpy()
        for changes in ({}, {"vocal_tract": (0.8, 0.9)})
    )
    assert np.abs(plain - warped).max() > 0.05


def test_a_run_has_it_and_says_what_it_could_not_use(folder):
    said = io.StringIO()
    section = {**RECORDED, **ROOM}
    made = build(recipe_of(folder, **section), Console(file=said, width=200)).augmentation
    assert (made.noise_share, made.rir_share) == (1.0, 1.0)
    assert (len(made.noise_recordings), len(made.rir_recordings)) == (1, 1)
    assert made.noise_recordings.samples == RATE
    text = said.getvalue()
    assert "noise_manifest: 1 recordings, 0.0 min held in memory; 1 skipped as unusable" in text
    assert f"skipped {folder}/noise.jsonl:2: {folder}/n1.wav: not audio" in text
    assert "rir_manifest: 1 recordings, 0.0 min held in memory; 0 skipped as unusable" in text


def test_what_does_not_fit_into_memory_is_cut_and_said(folder, monkeypatch):
    monkeypatch.setitem(read_recordings.__kwdefaults__, "held_samples", RATE // 2)
    said = io.StringIO()
    made = built(folder, Console(file=said, width=200), **RECORDED)
    assert made.noise_recordings.samples == RATE // 2
    assert "0.0 min held in memory, the longest cut to 0.5 s to fit; 1 skipped" in said.getvalue()


@pytest.mark.parametrize(
    ("section", "error", "messages"),
    [
        (
            {**NOISE, "noise_manifest": "broken.jsonl"},
            RecordingsError,
            ("augmentation.noise_manifest: ", "not one usable recording of 1", "not audio"),
        ),
        (
            {**ROOM, "rir_manifest": "long_rir.jsonl"},
            RecordingsError,
            ("augmentation.rir_manifest: ", "11.0 s; expected at most 10 s"),
        ),
        (
            {**ROOM, "rir_manifest": "absent.jsonl"},
            ManifestError,
            ("augmentation.rir_manifest: ", "absent.jsonl: no such manifest"),
        ),
    ],
)
def test_unusable_recordings_are_an_error_that_names_the_key(folder, section, error, messages):
    with pytest.raises(error) as caught:
        built(folder, **section)
    for message in messages:
        assert message in str(caught.value)
