"""What a score looks like: a table, a JSON-able dictionary, the worst utterances, groups."""

import dataclasses
import math
import unicodedata
from collections.abc import Iterable, Sequence

from jiwer import AlignmentChunk

from keras_ds2.evaluation.metrics import (
    EditCounts,
    ErrorCounter,
    Score,
    align,
    check_texts,
    rates_in_order,
)

_SIGNS = {"equal": " ", "substitute": "S", "insert": "I", "delete": "D"}


@dataclasses.dataclass(frozen=True)
class UtteranceErrors:
    """One utterance and what was misread in it.

    Attributes:
        where: the utterance's place or name.
        reference: what was said.
        hypothesis: what was recognised.
        edits: its errors, in words, or in characters where spaces are ignored.
        alignment: three lines one below the other (said, recognised, kind of error: S, I or D),
            as often as the width asks for.
    """

    where: str
    reference: str
    hypothesis: str
    edits: EditCounts
    alignment: str


def report_dict(score: Score) -> dict[str, int | float | None]:
    """Gives a score as a dictionary that JSON can hold.

    The rates `wer` and `cer` are fractions, None where errors stand against no reference at all;
    `substitutions`, `insertions` and `deletions` count words, those that begin with `character_`
    characters.
    """
    words, characters = score.word_edits, score.character_edits
    return {
        "wer": _finite(score.wer),
        "cer": _finite(score.cer),
        "substitutions": words.substitutions,
        "insertions": words.insertions,
        "deletions": words.deletions,
        "words": score.words,
        "character_substitutions": characters.substitutions,
        "character_insertions": characters.insertions,
        "character_deletions": characters.deletions,
        "characters": score.characters,
        "utterances": score.utterances,
        "skipped": score.skipped,
    }


def report_table(score: Score, primary: str = "wer") -> str:
    """Writes a score as a table of two rows, words and characters, and a line of utterances.

    Args:
        score: to write.
        primary: `"wer"` or `"cer"`, the rate that stands first.
    """
    skipped = f", {score.skipped} skipped" if score.skipped else ""
    rows = [["", "rate", "errors", "substitutions", "insertions", "deletions", "reference"]]
    kinds = {"wer": (score.word_edits, "words"), "cer": (score.character_edits, "characters")}
    for rate in rates_in_order(primary):
        edits, units = kinds[rate]
        counts = (edits.errors, edits.substitutions, edits.insertions, edits.deletions)
        reference = f"{edits.reference_length} {units}"
        rows.append([rate.upper(), _percent(edits.rate), *map(str, counts), reference])
    plural = "" if score.utterances == 1 else "s"
    return f"{_table(rows)}\n{score.utterances} utterance{plural}{skipped}"


def group_scores(
    references: Iterable[str],
    hypotheses: Iterable[str],
    groups: Iterable[str | None],
    *,
    ignore_spaces: bool = False,
) -> dict[str, Score]:
    """Scores each group, such as each speaker, apart.

    Args:
        references: what was said, one text an utterance.
        hypotheses: what was recognised, in the same order.
        groups: the group of each utterance; None is shown as `"(none)"`.
        ignore_spaces: count no spaces in the character error rate (Mandarin).

    Returns:
        The score of each group, by name. Their sum is the score of the whole.

    Raises:
        ValueError: if the three are not equally many.
    """
    references, hypotheses = check_texts(references, hypotheses)
    names = ["(none)" if group is None else str(group) for group in groups]
    _check_as_many("groups", names, references)
    scores = {}
    for name in sorted(set(names)):
        members = [index for index, other in enumerate(names) if other == name]
        counter = ErrorCounter(ignore_spaces)
        counter.update([references[i] for i in members], [hypotheses[i] for i in members])
        scores[name] = counter.result()
    return scores


def group_table(scores: dict[str, Score], name: str = "group", primary: str = "wer") -> str:
    """Writes the scores of groups as a table, a row each.

    Args:
        scores: what `group_scores` gave.
        name: what the groups are, such as `"speaker"`.
        primary: `"wer"` or `"cer"`, the rate that stands first.
    """
    order = rates_in_order(primary)
    rows = [[name, *map(str.upper, order), "utterances", "words", "characters"]]
    for group, score in scores.items():
        counts = map(str, (score.utterances, score.words, score.characters))
        rows.append([group, *(_percent(getattr(score, rate)) for rate in order), *counts])
    return _table(rows)


def worst_utterances(
    references: Iterable[str],
    hypotheses: Iterable[str],
    places: Iterable[str] | None = None,
    *,
    count: int = 5,
    ignore_spaces: bool = False,
    width: int = 100,
) -> list[UtteranceErrors]:
    """Finds the utterances with the most errors, most first; among equals the higher rate.

    Args:
        references: what was said, one text an utterance.
        hypotheses: what was recognised, in the same order.
        places: each utterance's place or name; its number, from 1, if not given.
        count: how many at most; utterances without an error are never among them.
        ignore_spaces: count and align characters without spaces (Mandarin), not words.
        width: columns that an alignment's line may take.

    Raises:
        ValueError: if the texts and places are not equally many.
    """
    references, hypotheses = check_texts(references, hypotheses)
    places = [str(i + 1) for i in range(len(references))] if places is None else list(places)
    _check_as_many("places", places, references)
    if not references:
        return []
    output = align(references, hypotheses, ignore_spaces)[1 if ignore_spaces else 0]
    edits = [_edits(chunks) for chunks in output.alignments]
    wrong = [index for index, edit in enumerate(edits) if edit.errors]
    wrong.sort(key=lambda index: (-edits[index].errors, -edits[index].rate, index))
    return [
        UtteranceErrors(
            places[i],
            references[i],
            hypotheses[i],
            edits[i],
            _alignment(
                output.references[i],
                output.hypotheses[i],
                output.alignments[i],
                "" if ignore_spaces else " ",
                width,
            ),
        )
        for i in wrong[:count]
    ]


def _edits(chunks: Sequence[AlignmentChunk]) -> EditCounts:
    counts = dict.fromkeys(_SIGNS, 0)
    for chunk in chunks:
        spans = (chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
        counts[chunk.type] += max(spans)
    return EditCounts(counts["equal"], counts["substitute"], counts["insert"], counts["delete"])


def _alignment(
    reference: Sequence[str],
    hypothesis: Sequence[str],
    chunks: Sequence[AlignmentChunk],
    between: str,
    width: int,
) -> str:
    """Sets both texts one below the other, each pair of units in a column of its own."""
    lines = [["said ", "read ", "     "]]
    used = 5
    for chunk in chunks:
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        read = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        for index in range(max(len(said), len(read))):
            pair = [units[index] if index < len(units) else "" for units in (said, read)]
            columns = max(map(_columns, pair))
            cells = [unit or "*" * columns for unit in pair]
            cells.append(_SIGNS[chunk.type])
            if used + columns > width and used > 5:
                lines.append(["said ", "read ", "     "])
                used = 5
            for row, cell in enumerate(cells):
                lines[-1][row] += cell + " " * (columns - _columns(cell)) + between
            used += columns + len(between)
    return "\n".join(row.rstrip() for block in lines for row in block)


def _columns(text: str) -> int:
    """Columns that a text takes in a terminal: Han characters take two."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) != 0 for character in text)


def _table(rows: list[list[str]]) -> str:
    """Lines of columns: the first to the left, the others to the right."""
    widths = [max(_columns(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        padding = [" " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [row[0] + padding[0]]
        cells += [space + cell for space, cell in zip(padding[1:], row[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %" if math.isfinite(rate) else "-"


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None


def _check_as_many(name: str, values: Sequence, references: Sequence) -> None:
    if len(values) != len(references):
        raise ValueError(
            f"Expected as many {name} as references, received {len(values)} {name} and "
            f"{len(references)} references."
        )
