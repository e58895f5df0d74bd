"""Weights of one run as the beginning of another: what fits, logits by symbol, what does not."""

import keras
import numpy as np
import pytest

from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models import build_model
from keras_ds2.recognition.run_folder import RunFolderError, write_configuration
from keras_ds2.recognition.transfer import transfer_weights
from keras_ds2.text.alphabet import Alphabet
from keras_ds2.training.checkpoints import save_weights
from tests.models.made_up_batch import TINY
from tests.test_case import randomize

THERE = Alphabet(list("abcd"))


def front_end(**options):
    return FeatureFrontEnd(kind="precomputed", num_bins=9, **options)


def tiny(alphabet, **changes):
    return build_model("english", **{**TINY, "vocabulary_size": len(alphabet), **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run with weights that no initializer gives, and its model."""
    folder = tmp_path_factory.mktemp("run")
    model = randomize(tiny(THERE, num_rnn_layers=2), seed=4)
    write_configuration(folder, model, front_end(), THERE, "english", False, "wer")
    save_weights(model, folder / "best.weights.h5")
    return folder, model


def by_name(model):
    return {weight.path.split("/", 1)[1]: np.array(weight) for weight in model.weights}


def test_the_same_model_and_alphabet_take_over_everything(run):
    folder, source = run
    keras.utils.set_random_seed(1)
    tiny(THERE)  # Keras numbers the layers inside the next model's layers otherwise
    model = tiny(THERE, num_rnn_layers=2)
    transfer = transfer_weights(model, THERE, front_end(), folder)
    for one, two in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(transfer.kept) == len(model.weights)
    assert (transfer.left, transfer.unused, transfer.new_symbols) == ([], [], [])
    assert transfer.symbols == list("abcd")
    assert "0 left as new; 4 symbols kept, 0 new" in transfer.summary()


def test_logits_go_from_symbol_to_symbol(run):
    folder, source = run
    here = Alphabet(list("xdb a"))
    model = tiny(here, num_rnn_layers=2)
    before = by_name(model)
    transfer = transfer_weights(model, here, front_end(), folder)
    after, there = by_name(model), by_name(source)
    for name in ("logits/kernel", "logits/bias"):
        assert name in transfer.kept
        for new, old in {0: 0, 2: 4, 3: 2, 5: 1}.items():  # blank, d, b, a
            np.testing.assert_array_equal(after[name][..., new], there[name][..., old])
        for new in (1, 4):  # x, space
            np.testing.assert_array_equal(after[name][..., new], before[name][..., new])
    assert transfer.symbols == ["d", "b", "a"]
    assert transfer.new_symbols == ["x", " "]
    assert transfer.left == []
    assert "new symbols: 'x' ' '" in transfer.summary()


def test_alphabets_of_one_size_are_not_taken_for_the_same(run):
    here = Alphabet(list("dcba"))
    model = tiny(here, num_rnn_layers=2)
    transfer_weights(model, here, front_end(), run[0])
    kernel = by_name(model)["logits/kernel"]
    np.testing.assert_array_equal(kernel, by_name(run[1])["logits/kernel"][:, [0, 4, 3, 2, 1]])


def test_what_does_not_fit_is_left_as_it_was_and_told(run):
    folder, source = run
    model = tiny(THERE, num_rnn_layers=3, conv_kernel_size=[[7, 3]], dense_units=5)
    before = by_name(model)
    transfer = transfer_weights(model, THERE, front_end(deltas=0, hop_ms=20), folder)
    assert "conv_1/kernel: shape (5, 3, 1, 4) there, (7, 3, 1, 4) here" in transfer.left
    assert "dense/kernel: not in that run" in transfer.left
    assert "rnn_3/sequence_batch_norm/gamma: not in that run" in transfer.left
    assert "logits/kernel: shape (6, 5) there, (5, 5) here" in transfer.left
    assert [each for each in transfer.left if each.startswith("logits/bias")]
    assert "rnn_2/recurrent_kernel" in transfer.kept
    assert transfer.other_features == ["hop_ms: 10.0, 20.0"]
    after = by_name(model)
    changed = {name for name in after if np.any(after[name] != before[name])}
    assert "rnn_2/recurrent_kernel" in changed
    np.testing.assert_array_equal(
        after["rnn_2/recurrent_kernel"], by_name(source)["rnn_2/recurrent_kernel"]
    )
    assert not changed & {"conv_1/kernel", "dense/kernel", "logits/kernel", "logits/bias"}
    for line in ("left as new: conv_1/kernel: shape", "other features (there, here): hop_ms"):
        assert line in transfer.summary()


def test_a_smaller_model_says_what_it_has_no_place_for(run):
    transfer = transfer_weights(tiny(THERE), THERE, front_end(), run[0])
    assert "rnn_2/recurrent_kernel" in transfer.unused
    assert "not used: rnn_2/recurrent_kernel" in transfer.summary()
    assert transfer.left == []


def test_nothing_that_fits_is_an_error_with_all_that_does_not(run):
    changes = {"units": 7, "conv_filters": [3], "batch_norm": False}
    model = tiny(THERE, **changes)
    before = model.get_weights()
    with pytest.raises(RunFolderError, match="nothing of it fits") as caught:
        transfer_weights(model, THERE, front_end(), run[0])
    assert "rnn_1/recurrent_kernel: shape (6, 6) there, (7, 7) here" in str(caught.value)
    for one, two in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(RunFolderError, match="expected the folder of a run"):
        transfer_weights(tiny(THERE), THERE, front_end(), tmp_path)
