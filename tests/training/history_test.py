"""The figures of the epochs."""

import csv
import math

import pytest

from keras_ds2.training.history import History


def history(*wers, losses=None):
    made = History()
    for epoch, wer in enumerate(wers):
        loss = losses[epoch] if losses else 1.0
        made.add(epoch, {"loss": 3.0 - epoch, "val_wer": wer, "val_loss": loss})
    return made


def test_rows_count_from_one_and_hold_plain_numbers():
    rows = history(0.5).rows
    assert rows == [{"epoch": 1, "loss": 3.0, "val_wer": 0.5, "val_loss": 1.0}]


def test_rows_given_are_gone_on_with_and_not_changed():
    before = history(0.5, 0.4).rows
    more = History(before)
    more.add(2, {"val_wer": 0.3})
    assert len(before) == 2
    assert [row["epoch"] for row in more.rows] == [1, 2, 3]
    assert more.best_epoch("val_wer") == 2


class TestBestEpoch:
    def test_is_the_lowest(self):
        assert history(0.5, 0.2, 0.4).best_epoch("val_wer") == 1

    def test_of_equal_ones_has_the_lower_loss_and_else_comes_first(self):
        assert history(0.5, 0.2, 0.2, losses=[1.0, 0.9, 0.8]).best_epoch("val_wer") == 2
        assert history(0.5, 0.2, 0.2).best_epoch("val_wer") == 1

    def test_there_is_none_without_a_figure(self):
        assert History().best_epoch("val_wer") is None
        assert history(0.5).best_epoch("val_cer") is None

    def test_no_number_is_worse_than_any(self):
        assert history(math.nan, 0.9).best_epoch("val_wer") == 1
        assert history(0.9, math.nan).best_epoch("val_wer") == 0
        losses = [math.nan, 5.0]
        assert history(0.5, 0.5, losses=losses).best_epoch("val_wer") == 1
        assert history(0.5, 0.5, losses=losses).best_epoch("val_loss") == 1

    def test_is_no_more_than_one_epoch_of_all_undefined(self):
        assert history(math.nan, math.nan).best_epoch("val_wer") == 0


class TestBestEpochs:
    def test_are_in_order_and_as_many_as_there_are(self):
        made = history(0.5, 0.2, 0.4, 0.2, losses=[1.0, 0.9, 0.8, 0.7])
        assert made.best_epochs("val_wer", 3) == [3, 1, 2]
        assert made.best_epochs("val_wer", 9) == [3, 1, 2, 0]
        assert made.best_epochs("val_cer", 3) == []

    def test_better_is_better_than_all(self):
        made = history(0.5, 0.3, losses=[1.0, 0.9])
        assert made.is_better({"val_wer": 0.2, "val_loss": 5.0}, "val_wer")
        assert made.is_better({"val_wer": 0.3, "val_loss": 0.8}, "val_wer")
        assert not made.is_better({"val_wer": 0.3, "val_loss": 0.9}, "val_wer")
        assert not made.is_better({"val_wer": 0.4, "val_loss": 0.1}, "val_wer")
        assert not made.is_better({"val_wer": math.nan, "val_loss": 0.1}, "val_wer")


class TestStale:
    @pytest.mark.parametrize(
        ("wers", "patience", "stale"),
        [
            ((), 1, False),
            ((0.5,), 1, False),
            ((0.5, 0.4), 1, False),
            ((0.5, 0.5), 1, True),
            ((0.4, 0.5, 0.45), 2, True),
            ((0.4, 0.5, 0.45), 3, False),
            ((0.4, 0.5, 0.39), 2, False),
            ((0.1, 0.5, 0.5, 0.5), None, False),
        ],
    )
    def test_after_so_many_epochs_without_a_better_one(self, wers, patience, stale):
        assert history(*wers).is_stale("val_wer", patience) is stale

    def test_never_by_a_figure_that_is_not_there(self):
        assert not history(0.1, 0.2, 0.3).is_stale("val_cer", 1)


class TestCsv:
    def test_has_a_row_for_each_epoch_and_every_column(self, tmp_path):
        made = history(0.5)
        made.add(1, {"loss": 2.0, "unfit": 3.0})
        made.write_csv(tmp_path / "log.csv")
        with open(tmp_path / "log.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["epoch", "loss", "val_wer", "val_loss", "unfit"]
        assert (rows[0]["unfit"], rows[1]["unfit"], rows[1]["val_wer"]) == ("", "3.0", "")

    def test_keeps_every_digit(self, tmp_path):
        made = history(0.1 + 0.2)
        made.write_csv(tmp_path / "log.csv")
        assert str(0.1 + 0.2) in (tmp_path / "log.csv").read_text()
