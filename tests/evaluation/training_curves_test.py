"""Pictures of trainings, from their CSV files."""

import pytest

from keras_ds2.evaluation.training_curves import _read_curves, save_training_curves

HEADER = "epoch,loss,val_loss,val_wer,val_cer,learning_rate\n"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_the_columns_and_passes_over_empty_cells(tmp_path):
    rows = "1,50.5,60,1.0,0.9,0.1\n2,40,,,,0.1\n3,nan,50,0.5,0.4,x\n"
    curves = _read_curves(write(tmp_path / "h.csv", HEADER + rows))
    assert [list(part) for part in curves["loss"]] == [[1, 2], [50.5, 40]]
    assert [list(part) for part in curves["val_wer"]] == [[1, 3], [1.0, 0.5]]


@pytest.mark.parametrize(
    "text",
    [HEADER + "1,50,60,1.0,0.9,0\n2,40,50,0.5,0.4,0\n", "epoch,loss\n1,3.5\n"],
    ids=["all columns", "loss alone"],
)
def test_is_a_png(tmp_path, text):
    pytest.importorskip("matplotlib", reason="the extra demo is not installed")
    from matplotlib import image

    save_training_curves(tmp_path / "c.png", write(tmp_path / "h.csv", text))
    assert image.imread(tmp_path / "c.png").shape[1] >= 900


@pytest.mark.parametrize("text", ["", HEADER, "step,loss\n1,2\n", "epoch,accuracy\n1,2\n"])
def test_says_when_there_is_nothing_to_draw(tmp_path, text):
    with pytest.raises(ValueError, match=r"h\.csv.*epoch"):
        save_training_curves(tmp_path / "c.png", write(tmp_path / "h.csv", text))
    assert not (tmp_path / "c.png").exists()


def test_says_which_cell_is_not_a_number(tmp_path):
    with pytest.raises(ValueError, match=r"'loss'.*'many'"):
        save_training_curves(tmp_path / "c.png", write(tmp_path / "h.csv", "epoch,loss\n1,many\n"))
