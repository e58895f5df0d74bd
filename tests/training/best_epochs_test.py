"""Weights of the best epochs: which are kept, their average, and runs that are broken off."""

import json

import keras
import numpy as np
import pytest

from keras_ds2.training.callbacks import TrainingInterrupted
from keras_ds2.training.checkpoints import CheckpointError
from keras_ds2.training.schedules import build_optimizer
from tests.test_case import assert_all_close, assert_all_equal
from tests.training.made_up_training import (
    STEPS,
    Validation,
    batches,
    run,
    send_signal_after,
    small_model,
)

WERS = [0.5, 0.2, 0.4, 0.3, 0.6]
BETTER, WORSE = [*WERS, 0.1], [*WERS, 0.25]


class Watched(Validation):
    """Remembers the weights that were scored."""

    def __init__(self, wers, model):
        super().__init__(wers)
        self.model = model
        self.scored = []

    def __call__(self):
        self.scored.append(self.model.get_weights())
        return super().__call__()


def model_with_statistics():
    """The small model with moving statistics too."""
    plain = small_model()
    layers = [keras.Input((3,)), keras.layers.BatchNormalization(), *plain.layers]
    model = keras.Sequential(layers)
    model.compile(build_optimizer("adam", 0.05, ema_momentum=0.5), "mean_squared_error")
    return model


def trained(folder, wers, epochs=5, **options):
    """Trains with an average of three epochs; returns model, validation, screen."""
    model = model_with_statistics()
    validate = Watched(wers, model)
    options = {"make_dataset": lambda epoch, step: batches(epoch, step, epochs=epochs), **options}
    _, _, screen = run(
        folder, model=model, validate=validate, epochs=epochs, average_best=3, **options
    )
    return model, validate, screen


def read(path):
    model = keras.Sequential.from_config(model_with_statistics().get_config())
    model.load_weights(path)
    return model.get_weights()


def content(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.h5")}


@pytest.fixture(scope="module")
def better(tmp_path_factory):
    """A run whose average is better than its best epoch."""
    folder = tmp_path_factory.mktemp("better")
    return folder, *trained(folder, BETTER)


def test_the_best_epochs_are_kept_as_they_were_scored(better):
    folder, _, validate, _ = better
    kept = sorted((folder / "best_epochs").iterdir())
    assert [path.name for path in kept] == [f"epoch-0000{n}.weights.h5" for n in (2, 3, 4)]
    for path, scored in zip(kept, validate.scored[1:4], strict=True):
        assert_all_equal(read(path), scored)


def test_a_better_average_is_kept_as_the_best(better):
    folder, model, validate, screen = better
    mean = [np.mean(each, axis=0) for each in zip(*validate.scored[1:4], strict=True)]
    assert_all_close(validate.scored[5], mean, atol=1e-6)
    assert_all_equal(read(folder / "best.weights.h5"), validate.scored[5])
    assert "average of the epochs 2, 3, 4: val_wer 0.1000, of epoch 2 alone 0.2000" in screen
    assert "it is kept as best.weights.h5" in screen
    record = json.loads((folder / "average.json").read_text())
    assert record["epochs"] == [2, 3, 4]
    assert (record["kept"], record["val_wer"]) == (True, 0.1)
    assert any(np.abs(one - two).max() > 1e-4 for one, two in zip(mean, model.get_weights()))  # noqa: B905


def test_the_model_has_its_own_weights_again(better, tmp_path):
    model = model_with_statistics()
    make_dataset = lambda epoch, step: batches(epoch, step, epochs=5)  # noqa: E731
    run(tmp_path, model=model, validate=Validation(WERS), epochs=5, make_dataset=make_dataset)
    assert_all_equal(better[1].get_weights(), model.get_weights())


def test_a_worse_average_is_not_kept(tmp_path):
    _, validate, screen = trained(tmp_path, WORSE)
    assert_all_equal(read(tmp_path / "best.weights.h5"), validate.scored[1])
    assert "that epoch is kept as best.weights.h5" in screen
    assert json.loads((tmp_path / "average.json").read_text())["kept"] is False


def test_a_finished_run_is_not_averaged_again(better):
    folder = better[0]
    before = content(folder)
    _, validate, screen = trained(folder, [0.0])
    assert validate.calls == 0
    assert "average" not in screen
    assert content(folder) == before


@pytest.mark.parametrize("steps", [STEPS, 3 * STEPS, 3 * STEPS + 2, 5 * STEPS])
def test_broken_off_it_ends_as_the_whole(better, tmp_path, monkeypatch, steps):
    with monkeypatch.context() as patch:
        send_signal_after(patch, steps)
        with pytest.raises(TrainingInterrupted):
            trained(tmp_path, WERS)
    trained(tmp_path, BETTER[(steps - 1) // STEPS :])  # the last step's epoch is scored here
    assert_all_equal(read(tmp_path / "best.weights.h5"), read(better[0] / "best.weights.h5"))


def test_stopped_while_the_average_is_scored_it_is_scored_again(better, tmp_path):
    class Stops(Watched):
        def __call__(self):
            if self.calls == 5:
                raise KeyboardInterrupt
            return super().__call__()

    model = model_with_statistics()
    make_dataset = lambda epoch, step: batches(epoch, step, epochs=5)  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run(
            tmp_path,
            model=model,
            validate=Stops(WERS, model),
            epochs=5,
            make_dataset=make_dataset,
            average_best=3,
        )
    assert_all_equal(model.get_weights(), better[1].get_weights())
    trained(tmp_path, [0.1])
    assert_all_equal(read(tmp_path / "best.weights.h5"), read(better[0] / "best.weights.h5"))


def test_killed_before_the_checkpoint_no_better_epoch_is_missing(tmp_path, monkeypatch, better):
    """The third epoch's files are written, its checkpoint is not."""
    from keras_ds2.training.checkpoints import CheckpointStore

    save = CheckpointStore.save

    def killed(self, model, state):
        if state["epoch"] == 4:
            raise MemoryError
        save(self, model, state)

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointStore, "save", killed)
        with pytest.raises(MemoryError):
            trained(tmp_path, WERS)
    # Epoch 4 would drive epoch 1 out, which the checkpoint before still counts among the best.
    names = {path.name for path in (tmp_path / "best_epochs").iterdir()}
    assert names == {f"epoch-0000{n}.weights.h5" for n in (1, 2, 3, 4)}
    trained(tmp_path, BETTER[3:])
    assert_all_equal(read(tmp_path / "best.weights.h5"), read(better[0] / "best.weights.h5"))


def test_more_epochs_are_averaged_anew_and_their_best_is_no_older_average(tmp_path):
    trained(tmp_path, [0.5, 0.2, 0.4, 0.1], epochs=3)
    _, validate, _ = trained(tmp_path, [0.3, 0.6, 0.9])
    assert validate.calls == 3
    second = read(tmp_path / "best_epochs" / "epoch-00002.weights.h5")
    assert_all_equal(read(tmp_path / "best.weights.h5"), second)


def test_a_damaged_file_is_named_and_without_it_the_others_are_averaged(tmp_path):
    trained(tmp_path, WORSE)
    path = tmp_path / "best_epochs" / "epoch-00003.weights.h5"
    path.write_bytes(path.read_bytes()[:500])
    (tmp_path / "average.json").unlink()
    with pytest.raises(CheckpointError, match=f"{path}: damaged weights .*Delete this file"):
        trained(tmp_path, [0.1])
    path.unlink()
    _, _, screen = trained(tmp_path, [0.1])
    assert "average of the epochs 2, 4: val_wer 0.1000" in screen


def test_one_epoch_is_no_average(tmp_path):
    _, validate, _ = trained(tmp_path, [0.5], epochs=1)
    assert validate.calls == 1
    assert not (tmp_path / "average.json").exists()
