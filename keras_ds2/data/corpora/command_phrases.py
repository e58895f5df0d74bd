"""Phrases of spoken commands: a small vocabulary, templates of two to seven words, drawn evenly.

Words that sound alike ("to" and "two", "for" and "four") or are said in two ways ("read", "close")
are left out: what is heard then decides the spelling, and no language model is needed to tell.
"""

import random
from collections.abc import Collection

_WORDS = {
    "digit": "zero one two three four five six seven eight nine",
    "hour": "one two three four five six seven eight nine ten eleven twelve",
    "minutes": "five ten fifteen twenty thirty forty fifty",
    "number": "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
    "twenty thirty forty fifty sixty seventy eighty ninety",
    "weekday": "monday tuesday wednesday thursday friday saturday sunday",
    "when": "today tomorrow tonight now later again",
    "part_of_day": "morning afternoon evening night",
    "room": "kitchen bedroom hallway office garage garden attic balcony",
    "device": "lamp fan heater radio camera printer",
    "opening": "door window gate cupboard",
    "open_shut": "open shut lock unlock check clean",
    "level": "dim raise lower",
    "unit": "percent degrees",
    "on_off": "on off",
    "colour": "red green blue yellow white black purple silver",
    "thing": "book letter ticket jacket umbrella wallet",
    "find": "find bring show take",
    "animal": "cat dog rabbit parrot",
    "person": "anna peter david susan",
    "media": "music news song story film game",
    "control": "play start stop pause repeat skip",
    "food": "bread butter sugar coffee apples potatoes honey pepper",
    "vehicle": "train bus taxi ferry tram plane",
    "direction": "left right forward back up down",
    "manner": "slowly quickly carefully quietly",
    "move": "go walk turn move",
}
"""The vocabulary by kind; templates name the kinds."""

# How often a template is drawn, then the template: kinds in braces, other words as they stand.
_TEMPLATES = (
    (4, "turn {on_off} the {room} {device}"),
    (2, "switch {on_off} the {colour} {device}"),
    (3, "{open_shut} the {room} {opening}"),
    (3, "{level} the {device} {number} {unit}"),
    (2, "set the alarm at {hour} {minutes}"),
    (2, "wake me at {hour} {minutes} {weekday}"),
    (1, "{digit} {digit} {digit}"),
    (2, "{digit} {digit} {digit} {digit}"),
    (1, "{digit} {digit} {digit} {digit} {digit}"),
    (3, "{control} the {media} {when}"),
    (2, "play the {media} in the {room}"),
    (4, "buy {food} and {food}"),
    (2, "call {person} {weekday} {part_of_day}"),
    (2, "remind {person} {when} at {hour}"),
    (3, "{find} my {colour} {thing}"),
    (2, "{find} {person} the {thing}"),
    (2, "feed the {colour} {animal}"),
    (2, "where is the {colour} {animal}"),
    (2, "when is the next {vehicle} {weekday}"),
    (3, "{vehicle} number {number} {when}"),
    (3, "{move} {direction} {number} steps"),
    (2, "{move} {direction} {manner} please"),
    (1, "what is the weather {weekday} {part_of_day}"),
)
_TRIES = 200


def command_vocabulary() -> tuple[str, ...]:
    """Every word that a phrase can hold, sorted."""
    words = {word for template in (t for _, t in _TEMPLATES) for word in template.split()}
    words = {word for word in words if not word.startswith("{")}
    return tuple(sorted(words.union(*(kind.split() for kind in _WORDS.values()))))


def draw_phrases(
    generator: random.Random, count: int, *, exclude: Collection[str] = ()
) -> list[str]:
    """Draws `count` phrases, templates and words of each kind evenly, as from shuffled decks.

    Args:
        generator: Source of chance.
        count: int >= 0.
        exclude: Phrases not to draw, best a set. The phrases drawn may repeat one another.

    Raises:
        ValueError: if phrases outside `exclude` cannot be found.
    """
    templates = _Deck(generator, [text for weight, text in _TEMPLATES for _ in range(weight)])
    words = {kind: _Deck(generator, members.split()) for kind, members in _WORDS.items()}
    phrases: list[str] = []
    for _ in range(count):
        for _ in range(_TRIES):
            phrase = _fill(templates.draw(), words)
            if phrase not in exclude:
                break
        else:
            raise ValueError(
                f"exclude: expected a part of all phrases, received {len(exclude)} that leave "
                "too few; ask for fewer utterances"
            )
        phrases.append(phrase)
    return phrases


def _fill(template: str, words: dict[str, "_Deck"]) -> str:
    return " ".join(
        words[part[1:-1]].draw() if part.startswith("{") else part for part in template.split()
    )


class _Deck:
    """Cards drawn without putting back, shuffled anew when all are drawn."""

    def __init__(self, generator: random.Random, cards: list[str]):
        self._generator = generator
        self._cards = cards
        self._left: list[str] = []

    def draw(self) -> str:
        if not self._left:
            self._left = self._generator.sample(self._cards, len(self._cards))
        return self._left.pop()
