"""What went wrong while training ran, told once and kept in a file."""

import dataclasses
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from keras_ds2.atomic_write import WriteError, write_text_atomically

MAX_UNREAD_SHARE = 0.01
"""Of all utterances, unless told otherwise: more than these, and something is wrong."""

MOST_IN_A_ROW = 10
"""Batches passed over one after the other: more, and the model is broken, not the data."""

_SHOWN = 10


def most_unread(utterances: int, share: float = MAX_UNREAD_SHARE) -> int:
    """How many of so many utterances may fail in an epoch: a share of them, and always one."""
    return max(1, int(share * utterances))


class TrainingError(RuntimeError):
    """Training cannot go on: the message says why and what to change."""


class Faults:
    """Lines about utterances and batches that were passed over.

    Args:
        path: the file they are kept in; lines that it holds are not told again. None for none.
        warn: is given each new line, and after ten of them where to find more.

    Attributes:
        seen: the faults told by this process, in their order, as keys.
    """

    def __init__(self, path: str | os.PathLike | None, warn: Callable[[str], None]):
        self.path = path and Path(path)
        self.warn = warn
        self.told = 0
        self.new = deque()
        known = []
        if self.path is not None and self.path.exists():
            known = self.path.read_text(encoding="utf-8").splitlines()
        self.lines = dict.fromkeys(known)
        self.is_written, self.failure = True, None
        self.seen = {}

    def add(self, fault: object) -> None:
        """Takes a fault, from any thread."""
        self.new.append(str(fault))

    def take(self) -> list[str]:
        """Takes away what has come since the last time, untold."""
        taken = []
        while self.new:
            taken.append(self.new.popleft())
        return taken

    def tell(self) -> None:
        """Tells what has come since the last time, and writes it down.

        A file that cannot be written is told of, and tried again the next time.
        """
        for fault in self.take():
            line = fault.replace("\n", " ")
            self.seen[line] = None
            if line not in self.lines:
                self.lines[line] = None
                self.is_written = False
                self.told += 1
                if self.told <= _SHOWN:
                    self.warn(f"  passed over: {line}")
                if self.told == _SHOWN and self.path is not None:
                    self.warn(f"  ... all that follow stand in {self.path}")
        if self.is_written or self.path is None:
            return
        try:
            write_text_atomically(self.path, "".join(f"{line}\n" for line in self.lines))
            self.is_written, self.failure = True, None
        except WriteError as error:
            if self.failure is None:
                self.warn(f"{error}; tried again later")
            self.failure = error

    def check_unread(self, where: str, unread: int, most: int) -> None:
        """Compares the utterances that could not be read with those that may fail.

        Raises:
            TrainingError: if these are too many.
        """
        if unread <= most:
            return
        lines = "".join(f"\n  {line}" for line in list(self.seen)[-_SHOWN:])
        raise TrainingError(
            f"{where}: {unread} utterances that were sound at the start cannot be read, expected "
            f"{f'at most {most}' if most else 'none'}:{lines}\nPut the files back and run the same "
            "command; or let more of them be passed over by data.on_error: skip and "
            "data.max_error_share."
        )


@dataclasses.dataclass
class Guard:
    """What training does about utterances and batches that are passed over.

    Attributes:
        faults: where they are told.
        describe: from epoch and step, counted from 0, to the places of the batch's utterances.
        skips_not_finite: whether training goes on after a batch whose loss or gradient is not
            finite.
        most_unread: int, utterances of an epoch that may fail to be read; if 0, training stops
            before the first one's batch.
    """

    faults: Faults
    describe: Callable[[int, int], list[str]] = lambda epoch, step: []
    skips_not_finite: bool = False
    most_unread: int = 0

    def look_at_loss(self, epoch: int, step: int, in_a_row: int) -> None:
        """Tells of a batch that was not finite; `in_a_row` counts it and those just before it.

        Raises:
            TrainingError: if training is to stop.
        """
        utterances = self.describe(epoch, step)
        where = f"epoch {epoch + 1}, step {step + 1}"
        fault = "its loss, a gradient or a moving statistic is no finite number"
        self.faults.add(f"{where}: {fault}; the batch: {', '.join(utterances)}")
        if self.skips_not_finite and in_a_row <= MOST_IN_A_ROW:
            return
        lines = "".join(f"\n  {utterance}" for utterance in utterances)
        remedy = "Lower training.learning_rate, set training.clip_norm, or lengthen "
        remedy += "training.warmup_steps"
        if self.skips_not_finite:
            raise TrainingError(
                f"{where}: {fault}, the {in_a_row}th batch in a row.{lines}\n{remedy}."
            )
        raise TrainingError(
            f"{where}: {fault}. The batch was not learnt from; look at its utterances:{lines}\n"
            f"{remedy}; or set training.on_nan: skip to pass over such batches."
        )
