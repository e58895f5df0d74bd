"""What a run trains on, kept with it: gone on with, it plans the same batches of the same examples.

Batches are planned by the number of examples and the frames of each. A file that breaks later must
not change that: its utterance keeps its place in the plan, where it is found unreadable.
"""

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence

from keras_ds2.data.checking import Example, Skipped, known_labels
from keras_ds2.data.manifest import Utterance
from keras_ds2.text.alphabet import Alphabet

NAME = "examples.jsonl"
"""Of the file in a run's folder: one JSON object for each line of the training data."""

_SHOWN = 10


class ChangedDataError(ValueError):
    """The training data are not what the run began with: the message names lines and remedies."""


@dataclasses.dataclass(frozen=True)
class KeptExample:
    """One utterance of the training data, as it was when the run began.

    Attributes:
        line: its line in the manifest.
        file: its audio or features, relative to the manifest's folder.
        frames: int > 0; None where it is not trained on.
        text: digest of its normalised text; None where it is not trained on.
        skipped: why it could not be used; None where it is trained on, or left out by its length.
    """

    line: int
    file: str
    frames: int | None = None
    text: str | None = None
    skipped: str | None = None

    def __post_init__(self):
        for name, kind in self.__annotations__.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{name}: expected {kind}, received {value!r}")
        if (self.frames is None) != (self.text is None):
            raise ValueError("expected frames and text, or neither")


@dataclasses.dataclass(frozen=True)
class Matched:
    """The training data as they are now, beside what was kept.

    Attributes:
        trained: what is trained on, in the order of the run's beginning, each with what was kept.
        skipped: what could not be used at the beginning and is left out for good.
        left_out: int, utterances left out by their length.
    """

    trained: list[tuple[Utterance, KeptExample]]
    skipped: list[Skipped]
    left_out: int

    def with_unread(
        self,
        examples: Iterable[Example],
        normalize: Callable[[str], str],
        alphabet: Alphabet,
    ) -> list[Example]:
        """One example for each utterance, with the frames that it began with.

        Args:
            examples: those that can be read now.
            normalize: as in `check_utterances`.
            alphabet: gives the labels.

        Raises:
            ChangedDataError: if any has another number of frames now.
        """
        read = {each.utterance.where: each for each in examples}
        found, changes = [], []
        for utterance, kept in self.trained:
            example = read.get(utterance.where)
            if example is None:
                text = normalize(utterance.text)
                labels = known_labels(text, alphabet, utterance.where)
                example = Example(utterance, text, labels, kept.frames)
            elif example.frames != kept.frames:
                changes.append(
                    f"{utterance.where}: {kept.file}: had {kept.frames} frames, now "
                    f"{example.frames}"
                )
            found.append(example)
        _raise_changes(changes)
        return found


def format_examples(
    utterances: Iterable[Utterance], examples: Iterable[Example], skipped: Iterable[Skipped]
) -> str:
    """The content of the file that `parse_examples` reads.

    Args:
        utterances: of the training data, those left out too.
        examples: those of them that are trained on.
        skipped: those of them that cannot be used, and any others.
    """
    trained = {each.utterance.where: each for each in examples}
    reasons = {each.utterance.where: each.reason for each in skipped}
    lines = []
    for utterance in utterances:
        row = {"line": utterance.line, "file": _file(utterance)}
        example = trained.get(utterance.where)
        if example is not None:
            row |= {"frames": example.frames, "text": _digest(example.text)}
        elif utterance.where in reasons:
            row["skipped"] = reasons[utterance.where]
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)


def parse_examples(content: str) -> list[KeptExample]:
    """Reads what `format_examples` gave.

    Raises:
        ValueError: if it is damaged.
    """
    kept = []
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        try:
            kept.append(KeptExample(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"line {number}: {error}") from None
    if not any(each.frames for each in kept):
        raise ValueError("names no example")
    return kept


def match_examples(
    kept: Sequence[KeptExample],
    utterances: Iterable[Utterance],
    normalize: Callable[[str], str],
) -> Matched:
    """Finds what was kept in the training data as they are now; reads no file.

    Lines may stand in another order; those that were not trained on may be gone, or say something
    else.

    Args:
        kept: of the run's beginning.
        utterances: of the training data now.
        normalize: as in `check_utterances`.

    Raises:
        ChangedDataError: if an utterance that is trained on is gone or has another text, or there
            is one that was not there.
    """
    now = collections.defaultdict(collections.deque)
    for utterance in utterances:
        now[_file(utterance)].append(utterance)
    trained, skipped, left_out, changes = [], [], 0, []
    for each in kept:
        same = now[each.file]
        utterance = same.popleft() if same else None
        if each.frames is not None:
            if utterance is None:
                changes.append(f"line {each.line}: {each.file}: is no longer there")
            elif _digest(normalize(utterance.text)) != each.text:
                changes.append(f"{utterance.where}: {each.file}: has another text than before")
            else:
                trained.append((utterance, each))
        elif utterance is not None and each.skipped is not None:
            skipped.append(Skipped(utterance, each.skipped))
        elif utterance is not None:
            left_out += 1
    changes += [
        f"{utterance.where}: {file}: was not there before"
        for file, added in now.items()
        for utterance in added
    ]
    _raise_changes(changes)
    return Matched(trained, skipped, left_out)


def _file(utterance):
    folder = os.path.dirname(os.path.abspath(utterance.manifest))
    return os.path.relpath(utterance.filepath, folder)


def _digest(text):
    return hashlib.blake2b(text.encode("utf-8"), digest_size=8).hexdigest()


def _raise_changes(changes):
    if not changes:
        return
    lines = [f"\n  {change}" for change in changes[:_SHOWN]]
    if len(changes) > _SHOWN:
        lines.append(f"\n  ... and {len(changes) - _SHOWN} more")
    raise ChangedDataError(
        f"data.train_manifest: {len(changes)} utterance{'s' if len(changes) > 1 else ''} of the "
        f"training data changed since this run began:{''.join(lines)}\nPut the data back as they "
        "were to go on, or name a new --output to train on them as they are. A file that cannot be "
        "read, or is gone, may stay so: leave its line in the manifest."
    )
