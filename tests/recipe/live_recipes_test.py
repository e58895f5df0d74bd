"""The recipes for live use: their models stream."""

import io

import numpy as np
import pytest
from rich.console import Console

from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models import build_model
from keras_ds2.recipe import find_recipe, load_recipe
from keras_ds2.recipe.train import train_recipe
from keras_ds2.recognition import Recognizer
from keras_ds2.streaming import StreamingStep
from tests.made_up_corpus import RATE, audio_corpus, spoken

NAME = "english/letters_numbers_live"
TWINS = {NAME: "english/letters_numbers", "demo_live": "demo"}


@pytest.mark.parametrize("name", TWINS)
def test_its_model_streams_within_what_it_says(name):
    recipe = load_recipe(find_recipe(name))
    front_end = FeatureFrontEnd(**recipe.features.given())
    assert front_end.is_measured
    model = build_model(
        recipe.model.variant,
        num_bins=front_end.num_output_bins,
        hop_ms=front_end.hop_ms,
        **recipe.model.given("variant"),
    )
    step = StreamingStep(model, front_end)
    assert step.latency["lookahead"] == 400
    assert step.latency_ms == 560


@pytest.mark.parametrize("names", TWINS.items())
def test_it_reads_the_data_of_its_twin(names):
    live, twin = (load_recipe(find_recipe(name)) for name in names)
    assert live.data == twin.data
    assert live.text == twin.text


@pytest.mark.slow
def test_a_small_run_of_it_trains_and_streams(tmp_path):
    audio_corpus(tmp_path / "corpus")
    changes = {
        "data.folder": tmp_path / "corpus",
        "data.validation_share": 0.25,
        "features.sampling_rate": RATE,
        "model.num_rnn_layers": 1,
        "model.units": 16,
        "model.conv_filters": [8],
        "training.epochs": 1,
        "training.batch_size": 4,
    }
    overrides = [f"{key}={value}" for key, value in changes.items()]
    recipe = load_recipe(find_recipe(NAME), overrides)
    train_recipe(recipe, tmp_path / "run", Console(file=io.StringIO()))
    recognizer = Recognizer.load(tmp_path / "run")
    waveform = spoken("bad cab dad").astype(np.float32)
    session = recognizer.stream(RATE)
    for start in range(0, len(waveform), 700):
        session.accept(waveform[start : start + 700])
    expected = recognizer.recognize(waveform, RATE)
    final = session.finish()
    assert final.text == expected.text
    assert final.hypothesis.log_prob == pytest.approx(expected.hypothesis.log_prob, rel=1e-4)
