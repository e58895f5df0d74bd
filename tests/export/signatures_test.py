"""The exported functions are the Recognizer's, whatever the run."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.export.metadata import metadata
from keras_ds2.export.signatures import NEXT_STATE, STATE, Signatures
from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models import build_model
from keras_ds2.recognition import Recognizer
from tests.streaming.made_up_streams import ALPHABET, RATE, heard, recognizer

KIND = "2d_gru_lookahead_running"
IDLE_KIND = "precomputed_running"


@functools.cache
def bidirectional(rnn_type="relu"):
    """A recognizer that needs the whole utterance for everything, and trims it."""
    front_end = FeatureFrontEnd(sampling_rate=RATE, trim_db=20.0, epsilon=1e-3, deltas=1)
    keras.utils.set_random_seed(1)
    model = build_model(
        "english",
        vocabulary_size=len(ALPHABET),
        num_bins=front_end.num_output_bins,
        num_rnn_layers=2,
        rnn_type=rnn_type,
        units=6,
        conv_filters=[2, 2],
        dense_units=5,
    )
    return Recognizer(model, front_end, ALPHABET)


def quiet_at_its_ends():
    waveform = heard(KIND, 8000)
    waveform[:2000] *= 0.001
    waveform[7000:] *= 0.001
    return waveform


@pytest.mark.parametrize(
    ("rnn_type", "fourier_transform"),
    [
        ("relu", False),
        pytest.param("relu", True, marks=pytest.mark.slow),
        pytest.param("gru", True, marks=pytest.mark.slow),
    ],
)
def test_serve_of_a_padded_batch_is_the_recognizers(rnn_type, fourier_transform):
    found = bidirectional(rnn_type)
    signatures = Signatures(found, fourier_transform=fourier_transform)
    assert signatures.streaming is None
    serve = signatures.function("serve", signatures.serve_shapes())
    waveforms = [quiet_at_its_ends(), heard(KIND, 4321)]
    batch = np.full((2, 9000), 3.0, np.float32)
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = waveform
    outputs = serve(
        waveform=tf.constant(batch), waveform_length=tf.constant([len(each) for each in waveforms])
    )
    log_probs = tf.nn.log_softmax(outputs["logits"]).numpy()
    for row, length, waveform in zip(
        log_probs, outputs["logit_length"].numpy(), waveforms, strict=True
    ):
        expected = found.recognize(waveform, RATE).log_probs
        assert length == len(expected)
        np.testing.assert_allclose(row[:length], expected, atol=1e-4)
    assert outputs["logit_length"][0] < 8000 // 80 // 2 - 5  # its silence is cut away


@pytest.fixture(scope="module")
def steps():
    """Signatures and the traced function of three streams."""
    signatures = Signatures(recognizer(IDLE_KIND), chunk_ms=60, fourier_transform=False)
    return signatures, signatures.function("step", signatures.step_shapes(3))


@pytest.mark.parametrize("rest", [float("nan"), 1e30])
def test_what_an_idle_row_holds_is_handed_back_and_moves_no_other(steps, rest):
    signatures, step = steps
    rows = np.arange(3)
    inputs = {
        name: np.full((3, *spec.shape[1:]), 0, spec.dtype.as_numpy_dtype)
        for name, spec in signatures.step_shapes().items()
    }
    size = signatures.streaming.chunk_shape[0]
    inputs["chunk"][:] = heard(IDLE_KIND, size)
    inputs |= {"chunk_length": np.full(3, size, np.int32), "active": rows == 1}
    inputs["start"] = np.ones(3, bool)
    alone = step(**{name: tf.constant(array) for name, array in inputs.items()})
    for name, array in inputs.items():
        if name.startswith(STATE) or name == "chunk":
            array[rows != 1] = rest if array.dtype == np.float32 else 7
    inputs["end"] = rows != 1
    found = step(**{name: tf.constant(array) for name, array in inputs.items()})
    for name, array in found.items():
        np.testing.assert_array_equal(array[1], alone[name][1], err_msg=name)
        if name.startswith(NEXT_STATE):
            held = inputs[name.replace(NEXT_STATE, STATE)][rows != 1]
            np.testing.assert_array_equal(array.numpy()[rows != 1], held, err_msg=name)
    assert not found["logit_mask"].numpy()[rows != 1].any()
    assert not found["done"].numpy()[rows != 1].any()


def test_empty_chunks_behind_done_give_nothing_more(steps):
    signatures, step = steps
    size = signatures.streaming.chunk_shape[0]
    given = heard(IDLE_KIND, 2 * size)
    inputs = {
        name: np.zeros((3, *spec.shape[1:]), spec.dtype.as_numpy_dtype)
        for name, spec in signatures.step_shapes().items()
    }
    inputs["active"][:] = True
    found, done = 0, []
    for place in range(0, (2 + signatures.flush_chunks + 1) * size, size):
        piece = given[place : place + size]
        inputs["chunk"][:, : len(piece)] = piece
        inputs["chunk_length"][:] = len(piece)
        inputs["start"][:] = place == 0
        outputs = step(**{name: tf.constant(array) for name, array in inputs.items()})
        inputs |= {
            name.replace(NEXT_STATE, STATE): array.numpy()
            for name, array in outputs.items()
            if name.startswith(NEXT_STATE)
        }
        new = np.count_nonzero(outputs["logit_mask"][0])
        assert not (any(done) and new)
        found += new
        done.append(bool(outputs["done"][0]))
    first = done.index(True)
    assert all(done[first:])
    assert first < len(done) - 1
    assert found == signatures.streaming.steps_of(len(given))


@pytest.fixture(scope="module")
def bidirectionals():
    """Signatures and the traced function of a run that needs the whole utterance."""
    signatures = Signatures(bidirectional(), fourier_transform=False)
    return signatures, signatures.function("serve", signatures.serve_shapes())


def test_what_is_computed_by_machines_own_kernels_is_not_in_it(bidirectionals):
    graph = bidirectionals[1].graph.as_graph_def()
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    assert "while" in " ".join(node.name for node in nodes)
    for node in nodes:
        assert "RFFT" not in node.op
        assert not node.op.startswith("Xla")
        assert not node.attr["_gradient_op_type"].s
        assert not node.attr["_XlaMustCompile"].b
    assert not any(function.attr["_XlaMustCompile"].b for function in functions)


@pytest.mark.slow
def test_mixed_precision_is_exported_in_float32():
    exact = bidirectional()
    config = {**exact.model.get_config(), "dtype": "mixed_bfloat16"}
    model = type(exact.model).from_config(config)
    model.set_weights(exact.model.get_weights())
    signatures = Signatures(Recognizer(model, exact.front_end, ALPHABET))
    serve = signatures.function("serve", signatures.serve_shapes())
    waveform = heard(KIND, 4321)
    outputs = serve(
        waveform=tf.constant(waveform[np.newaxis]), waveform_length=tf.constant([len(waveform)])
    )
    expected = exact.recognize(waveform, RATE).log_probs
    np.testing.assert_allclose(tf.nn.log_softmax(outputs["logits"])[0], expected, atol=1e-4)


def test_metadata_of_a_run_that_does_not_stream(bidirectionals):
    signatures, serve = bidirectionals
    said = metadata(bidirectional(), signatures, {"serve": serve}, precision="float32")
    assert said["signatures"]["serve"] == {
        "inputs": {
            "waveform": {"dtype": "float32", "shape": [-1, -1]},
            "waveform_length": {"dtype": "int32", "shape": [-1]},
        },
        "outputs": {
            "logits": {"dtype": "float32", "shape": [-1, -1, len(ALPHABET)]},
            "logit_length": {"dtype": "int32", "shape": [-1]},
        },
    }
    assert "streaming" not in said
    assert (said["blank_id"], said["sampling_rate"], said["step_ms"]) == (0, RATE, 20.0)
    assert said["alphabet"] == [" ", "a", "b", "c", "d"]
