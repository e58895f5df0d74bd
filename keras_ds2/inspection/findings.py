"""What a corpus holds, counted: lengths, sounds, symbols, speakers, batches; what stands out."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_ds2.data.batching import Batch
from keras_ds2.data.checking import SKIPPED_KINDS, Example, Skipped
from keras_ds2.text.alphabet import Alphabet

RARE_COUNT = 10
"""A symbol heard less often in training is called rare."""

CLIPPED_SHARE = 1e-3
"""Samples at full scale, as a share, from which a recording is called clipped."""

_DURATION_OFF = 0.1  # seconds, and share of the stated ones
_EXTREMES = 5


@dataclasses.dataclass(frozen=True)
class Portion:
    """The usable utterances of training or of validation.

    Attributes:
        name: "training" or "validation".
        seconds: float `(utterances,)`, the length of each: of the recording itself where it is
            audio, else of its frames.
        sounds: files by `(format, sampling_rate, channels)`; empty where features are read.
        speakers: utterances by speaker, those without one under None.
    """

    name: str
    seconds: np.ndarray
    sounds: collections.Counter
    speakers: collections.Counter

    @property
    def hours(self) -> float:
        """All of it."""
        return float(self.seconds.sum()) / 3600


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Batches that are padded to one width.

    Attributes:
        width: frames.
        batches: how many, in an epoch.
        utterances: in all of them.
        padding_share: share of their frames that is padding.
    """

    width: int
    batches: int
    utterances: int
    padding_share: float


@dataclasses.dataclass(frozen=True)
class Findings:
    """All that is shown of a recipe's data.

    Attributes:
        portions: of training, and of validation.
        left_out: training utterances outside the recipe's bounds of length.
        skipped: what cannot be used, by the kinds of `SKIPPED_KINDS`, those alone that occur.
        symbols: how often each symbol of the alphabet stands in training, most frequent first.
        rare: those below `RARE_COUNT`, rarest first, but not 0.
        unseen: those that never occur.
        clipped: training utterances with `CLIPPED_SHARE` of their samples at full scale or more.
        misdated: training utterances whose manifest states another duration, by more than a tenth
            of it and of a second.
        pace: float `(utterances,)`, symbols a second of each training utterance, by its frames:
            silence that is trimmed away does not count.
        slowest: training utterances of fewest symbols a second, where text or audio may be wrong.
        fastest: and of most.
        shared_speakers: speakers both of training and of validation.
        buckets: batches of an epoch in no order of length, by width.
        padding_share: of all of them.
    """

    portions: tuple[Portion, Portion]
    left_out: int
    skipped: dict[str, list[Skipped]]
    symbols: dict[str, int]
    rare: list[str]
    unseen: list[str]
    clipped: list[Example]
    misdated: list[Example]
    pace: np.ndarray
    slowest: list[Example]
    fastest: list[Example]
    shared_speakers: list[str]
    buckets: list[Bucket]
    padding_share: float


def find(
    train: Sequence[Example],
    validation: Sequence[Example],
    skipped: Sequence[Skipped],
    batches: Sequence[Batch],
    alphabet: Alphabet,
    hop_ms: float,
    left_out: int = 0,
) -> Findings:
    """Counts what stands in a corpus that has been read and checked.

    Args:
        train: at least one usable utterance.
        validation: usable utterances.
        skipped: of both.
        batches: of one epoch of training, as planned; their indices are places in `train`.
        alphabet: all symbols that the model can write.
        hop_ms: time from one frame to the next.
        left_out: training utterances outside the recipe's bounds of length.
    """
    portions = (
        _portion("training", train, hop_ms),
        _portion("validation", validation, hop_ms),
    )
    written = collections.Counter(symbol for each in train for symbol in each.text)
    counts = {symbol: written[symbol] for symbol in alphabet.symbols}
    counts = dict(sorted(counts.items(), key=lambda item: -item[1]))
    rare = [symbol for symbol in counts if 0 < counts[symbol] < RARE_COUNT]
    frames = np.array([each.frames for each in train])
    pace = np.array([len(each.text) for each in train]) / (frames * hop_ms / 1000)
    order = [train[index] for index in np.argsort(pace, kind="stable")]
    clipped = [each for each in train if each.sound and each.sound.clipped_share >= CLIPPED_SHARE]
    speakers = [set(portion.speakers) - {None} for portion in portions]
    return Findings(
        portions=portions,
        left_out=left_out,
        skipped={
            kind: found
            for kind in SKIPPED_KINDS
            if (found := [each for each in skipped if each.kind == kind])
        },
        symbols=counts,
        rare=rare[::-1],
        unseen=[symbol for symbol in counts if not counts[symbol]],
        clipped=sorted(clipped, key=lambda each: -each.sound.clipped_share),
        misdated=[
            each
            for each, seconds in zip(train, portions[0].seconds, strict=True)
            if _is_off(each.utterance.duration, seconds)
        ],
        pace=pace,
        slowest=order[:_EXTREMES],
        fastest=order[::-1][:_EXTREMES],
        shared_speakers=sorted(speakers[0] & speakers[1]),
        buckets=_buckets(batches, frames),
        padding_share=_padding_share(batches, frames),
    )


def _portion(name, examples, hop_ms):
    return Portion(
        name,
        np.array(
            [each.sound.seconds if each.sound else each.frames * hop_ms / 1000 for each in examples]
        ),
        collections.Counter(
            (each.sound.audio_format, each.sound.sampling_rate, each.sound.channels)
            for each in examples
            if each.sound
        ),
        collections.Counter(each.utterance.speaker for each in examples),
    )


def _is_off(stated, seconds):
    return abs(stated - seconds) > max(_DURATION_OFF, _DURATION_OFF * stated)


def _buckets(batches, frames):
    widths = sorted({batch.width for batch in batches})
    by_width = [[batch for batch in batches if batch.width == width] for width in widths]
    return [
        Bucket(
            width,
            len(same),
            sum(len(batch.indices) for batch in same),
            _padding_share(same, frames),
        )
        for width, same in zip(widths, by_width, strict=True)
    ]


def _padding_share(batches, frames):
    padded = sum(batch.width * len(batch.indices) for batch in batches)
    return 1 - sum(int(frames[batch.indices].sum()) for batch in batches) / padded
