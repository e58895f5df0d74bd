"""Progress on a terminal: bars where it is one, a line now and then where it is a file."""

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from keras_ds2.evaluation.metrics import rates_in_order

_LINE_SECONDS = 30


def warning(console: Console):
    """A function that shows a line as a warning."""

    def warn(line):
        console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)

    return warn


def counting(console: Console, what: str, total: int):
    """A progress bar for counted work, as a context manager that gives `advance(n=1)`.

    Args:
        console: where it is drawn.
        what: said beside it.
        total: int, how much there is to do.
    """
    return _Counting(console, what, total)


class _Counting:
    def __init__(self, console, what, total):
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.console, self.what, self.total = console, what, total

    def __enter__(self):
        self.bar.start()
        self.task = self.bar.add_task(self.what, total=self.total)
        self.started = time.monotonic()
        return lambda count=1: self.bar.advance(self.task, count)

    def __exit__(self, *error):
        self.bar.stop()
        if error[0] is None:
            seconds = time.monotonic() - self.started
            self.console.print(f"{self.what}: {self.total} in {seconds:.1f} s")


class EpochProgress:
    """Draws the epochs of a training run.

    Args:
        console: where it is drawn.
        primary: `"wer"` or `"cer"`, the validation score that stands first.
    """

    def __init__(self, console: Console, primary: str = "wer"):
        self.console = console
        self.rates = rates_in_order(primary)
        self.started = time.monotonic()
        self.done_steps = 0
        self.bar = None

    def begin(self, epoch: int, epochs: int, first_step: int, steps: int) -> None:
        """Starts an epoch, counted from 0."""
        self.epoch, self.epochs, self.step, self.steps = epoch, epochs, first_step, steps
        self.utterances = 0
        self.begun = self.said = time.monotonic()
        self.bar = Progress(
            TextColumn(f"epoch {epoch + 1}/{epochs}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.bar.start()
        self.task = self.bar.add_task("", total=steps, completed=first_step, figures="")

    def advance(self, utterances: int, loss: float, rate: float) -> None:
        """Counts one step."""
        self.step += 1
        self.done_steps += 1
        self.utterances += utterances
        now = time.monotonic()
        speed = self.utterances / max(now - self.begun, 1e-9)
        left = (self.epochs - self.epoch) * self.steps - self.step
        seconds_left = left * (now - self.started) / self.done_steps
        figures = (
            f"loss {loss:.3f}  rate {rate:.2e}  {speed:.1f} utterances/s  "
            f"{duration(seconds_left)} left"
        )
        self.bar.update(self.task, completed=self.step, figures=figures)
        if not self.console.is_terminal and now - self.said > _LINE_SECONDS:
            self.said = now
            place = f"epoch {self.epoch + 1}/{self.epochs}  step {self.step}/{self.steps}"
            self.console.print(f"{place}  {figures}")

    def end(self, row: dict[str, float], samples: list[tuple[str, str]]) -> None:
        """Ends an epoch: its figures and some transcripts stay on the screen."""
        self.stop()
        seconds = time.monotonic() - self.begun
        speed = self.utterances / max(seconds, 1e-9)
        left = (self.epochs - self.epoch - 1) * self.steps
        seconds_left = left * (time.monotonic() - self.started) / max(self.done_steps, 1)
        scores = f"loss {row['loss']:.3f}"
        if "val_wer" in row:
            rates = (f"{rate.upper()} {100 * row[f'val_{rate}']:.1f} %" for rate in self.rates)
            scores += f"  validation: {'  '.join(rates)}  loss {row['val_loss']:.3f}"
        if row.get("unfit"):
            scores += f"  {row['unfit']:.0f} utterances did not fit their steps"
        if row.get("unread"):
            scores += f"  {row['unread']:.0f} utterances could not be read"
        if row.get("not_finite"):
            scores += f"  {row['not_finite']:.0f} batches not finite"
        self.console.print(
            f"epoch {self.epoch + 1}/{self.epochs}  {scores}  rate {row['learning_rate']:.2e}  "
            f"{speed:.1f} utterances/s  {duration(seconds)}, {duration(seconds_left)} left",
            highlight=False,
        )
        for said, recognized in samples:
            self.console.print(f"    said  {escape(said)}", style="dim", highlight=False)
            self.console.print(f"    read  {escape(recognized)}", highlight=False)

    def stop(self) -> None:
        """Takes the bar from the screen."""
        if self.bar is not None:
            self.bar.stop()


def duration(seconds: float) -> str:
    """Says a time: `41 s`, `12 min 5 s`, `3 h 20 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
