"""The figures of the epochs on disk, and training that goes on without them."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_ds2.training.tensorboard import TensorBoard
from tests.training.made_up_training import small_model


def board(folder, warn=print):
    callback = TensorBoard(folder, warn)
    callback.set_model(small_model())
    return callback


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_epoch_is_on_the_disk_when_it_is_over(tmp_path):
    callback = board(tmp_path)
    callback.on_epoch_end(0, {"loss": 1.0, "val_wer": 0.5})
    events = {}
    for part in ("train", "validation"):
        accumulator = EventAccumulator(str(tmp_path / part))
        accumulator.Reload()
        events[part] = set(accumulator.Tags()["tensors"])
    assert events == {
        "train": {"epoch_loss", "epoch_learning_rate"},
        "validation": {"epoch_wer"},
    }
    callback.on_train_end()


def test_what_cannot_be_written_is_told_and_training_goes_on(tmp_path):
    (tmp_path / "train").write_text("a file")
    said = []
    callback = board(tmp_path, said.append)
    callback.on_epoch_end(0, {"loss": 1.0, "val_wer": 0.5})
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path / 'train'}: epoch 1 cannot be written (")
    assert any((tmp_path / "validation").iterdir())
    callback.on_train_end()
