"""Word and character error rates of a whole corpus, counted with jiwer."""

import dataclasses
import math
from collections.abc import Iterable

import jiwer


@dataclasses.dataclass(frozen=True)
class EditCounts:
    """Edits that turn references into hypotheses, summed over utterances.

    Attributes:
        hits: units that agree.
        substitutions: reference units read as another.
        insertions: hypothesis units that the reference lacks.
        deletions: reference units that the hypothesis lacks.
    """

    hits: int = 0
    substitutions: int = 0
    insertions: int = 0
    deletions: int = 0

    @property
    def errors(self) -> int:
        """All edits."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def reference_length(self) -> int:
        """Units in the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Errors by reference units; with no reference units, 0 if there is no error, else inf."""
        if self.reference_length:
            return self.errors / self.reference_length
        return math.inf if self.errors else 0.0

    def __add__(self, other: "EditCounts") -> "EditCounts":
        return EditCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.insertions + other.insertions,
            self.deletions + other.deletions,
        )


@dataclasses.dataclass(frozen=True)
class Score:
    """Scores of a corpus: sums over its utterances, never averages of their rates.

    Attributes:
        word_edits: edits in words; a word is what stands between white space.
        character_edits: edits in characters.
        utterances: utterances scored.
        skipped: utterances that could not be scored (such as unreadable audio).
    """

    word_edits: EditCounts = EditCounts()
    character_edits: EditCounts = EditCounts()
    utterances: int = 0
    skipped: int = 0

    @property
    def wer(self) -> float:
        """Word error rate, a fraction: 0.05 is 5 %."""
        return self.word_edits.rate

    @property
    def cer(self) -> float:
        """Character error rate, a fraction."""
        return self.character_edits.rate

    @property
    def substitutions(self) -> int:
        """Substituted words."""
        return self.word_edits.substitutions

    @property
    def insertions(self) -> int:
        """Inserted words."""
        return self.word_edits.insertions

    @property
    def deletions(self) -> int:
        """Deleted words."""
        return self.word_edits.deletions

    @property
    def words(self) -> int:
        """Words in the references."""
        return self.word_edits.reference_length

    @property
    def characters(self) -> int:
        """Characters in the references."""
        return self.character_edits.reference_length

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.word_edits + other.word_edits,
            self.character_edits + other.character_edits,
            self.utterances + other.utterances,
            self.skipped + other.skipped,
        )


class ErrorCounter:
    """Scores batch by batch: `update` each batch, read `result` at any time.

    Args:
        ignore_spaces: count no spaces in the character error rate. For Mandarin, whose texts have
            no words to separate and whose primary figure is the character error rate.
    """

    def __init__(self, ignore_spaces: bool = False):
        self.ignore_spaces = ignore_spaces
        self.reset()

    def reset(self) -> None:
        """Starts over."""
        self._score = Score()

    def update(self, references: Iterable[str], hypotheses: Iterable[str]) -> None:
        """Adds a batch.

        Args:
            references: what was said, one text an utterance; an empty one makes every word of its
                hypothesis an insertion.
            hypotheses: what was recognised, in the same order; may be empty texts.

        Raises:
            ValueError: if the two are not equally many, or hold anything but texts.
        """
        references, hypotheses = check_texts(references, hypotheses)
        if references:
            words, characters = align(references, hypotheses, self.ignore_spaces)
            batch = Score(_counts(words), _counts(characters), len(references))
            self._score = self._score + batch

    def skip(self, utterances: int = 1) -> None:
        """Counts utterances that could not be scored."""
        self._score = self._score + Score(skipped=utterances)

    def result(self) -> Score:
        """The score of all that was added."""
        return self._score


def score(
    references: Iterable[str], hypotheses: Iterable[str], *, ignore_spaces: bool = False
) -> Score:
    """Scores a whole corpus at once; texts are compared as they are, so normalise both alike.

    Args:
        references: what was said, one text an utterance.
        hypotheses: what was recognised, in the same order.
        ignore_spaces: count no spaces in the character error rate (Mandarin).

    Returns:
        The corpus's `Score`.

    Raises:
        ValueError: if the two are not equally many, or hold anything but texts.
    """
    counter = ErrorCounter(ignore_spaces)
    counter.update(references, hypotheses)
    return counter.result()


def rates_in_order(primary: str) -> list[str]:
    """Both rates by name, `"wer"` and `"cer"`, the primary one first.

    Args:
        primary: the one that a report leads with.

    Raises:
        ValueError: if it is neither.
    """
    rates = ["wer", "cer"]
    if primary not in rates:
        raise ValueError(f"primary: expected wer or cer, received {primary!r}")
    return sorted(rates, key=lambda rate: rate != primary)


def align(
    references: list[str], hypotheses: list[str], ignore_spaces: bool = False
) -> tuple[jiwer.WordOutput, jiwer.CharacterOutput]:
    """Aligns checked texts by words and by characters (runs of white space count as one space)."""
    references = [" ".join(text.split()) for text in references]
    hypotheses = [" ".join(text.split()) for text in hypotheses]
    words = jiwer.process_words(references, hypotheses)
    if ignore_spaces:
        references = [text.replace(" ", "") for text in references]
        hypotheses = [text.replace(" ", "") for text in hypotheses]
    return words, jiwer.process_characters(references, hypotheses)


def check_texts(
    references: Iterable[str], hypotheses: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Returns both as lists, or raises ValueError if they are not texts in equal number."""
    checked = []
    for name, texts in (("references", references), ("hypotheses", hypotheses)):
        if isinstance(texts, (str, bytes)):
            raise ValueError(f"{name}: expected a list of texts, received one text {texts!r}.")
        texts = list(texts)
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(
                    f"{name}[{index}]: expected a text (str), received {type(text).__name__}."
                )
        checked.append(texts)
    if len(checked[0]) != len(checked[1]):
        raise ValueError(
            f"Expected as many hypotheses as references, received {len(checked[0])} references "
            f"and {len(checked[1])} hypotheses. Give an empty text for a failed utterance, or "
            "count it as skipped."
        )
    return checked[0], checked[1]


def _counts(output: jiwer.WordOutput | jiwer.CharacterOutput) -> EditCounts:
    return EditCounts(output.hits, output.substitutions, output.insertions, output.deletions)
