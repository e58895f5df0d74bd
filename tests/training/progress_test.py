"""What is shown while work goes on."""

import io

import pytest
from rich.console import Console

from keras_ds2.training import progress
from keras_ds2.training.progress import EpochProgress, counting, duration


@pytest.fixture(params=[False, True], ids=["file", "terminal"])
def console(request):
    return Console(file=io.StringIO(), width=160, force_terminal=request.param, color_system=None)


def screen(console):
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (41.4, "41 s"),
        (59.6, "1 min 0 s"),
        (725, "12 min 5 s"),
        (3599.7, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


class TestCounting:
    def test_says_what_and_how_many(self, console):
        with counting(console, "reading", 3) as advance:
            advance()
            advance(2)
        assert "reading: 3 in " in screen(console)

    def test_says_nothing_of_work_that_failed(self, console):
        def fail():
            with counting(console, "reading", 3):
                raise ValueError("no file")

        with pytest.raises(ValueError, match="no file"):
            fail()
        assert "3 in" not in screen(console)


ROW = {"loss": 2.5, "learning_rate": 1e-3, "val_loss": 3.0, "val_wer": 0.5, "val_cer": 0.125}


class TestEpochs:
    def test_an_epoch_leaves_its_figures(self, console):
        shown = EpochProgress(console)
        shown.begin(1, 4, 0, 2)
        shown.advance(8, 2.6, 1e-3)
        shown.advance(8, 2.5, 1e-3)
        shown.end({**ROW, "unfit": 2.0}, [])
        for part in (
            "epoch 2/4 loss 2.500",
            "validation: WER 50.0 % CER 12.5 % loss 3.000",
            "rate 1.00e-03",
            "2 utterances did not fit their steps",
            "utterances/s",
            "left",
        ):
            assert part in " ".join(screen(console).split())  # lines may break anywhere

    def test_the_primary_rate_stands_first(self, console):
        shown = EpochProgress(console, "cer")
        shown.begin(0, 1, 0, 1)
        shown.end(ROW, [])
        assert "validation: CER 12.5 %  WER 50.0 %  loss 3.000" in screen(console)

    def test_transcripts_are_shown_as_they_are(self, console):
        shown = EpochProgress(console)
        shown.begin(0, 1, 0, 1)
        shown.advance(1, 1.0, 1.0)
        shown.end(ROW, [("turn [red]on[/red]", "[/] \\[x]")])
        assert "said  turn [red]on[/red]" in screen(console)
        assert "read  [/] \\[x]" in screen(console)

    def test_in_a_file_a_line_comes_now_and_then(self, monkeypatch):
        monkeypatch.setattr(progress, "_LINE_SECONDS", -1)
        console = Console(file=io.StringIO(), width=160)
        shown = EpochProgress(console)
        shown.begin(0, 2, 3, 10)
        shown.advance(8, 2.6, 1e-3)
        shown.stop()
        assert screen(console).startswith("epoch 1/2  step 4/10  loss 2.600  rate 1.00e-03")

    def test_nothing_to_stop_is_no_error(self, console):
        EpochProgress(console).stop()
