"""Types of a recipe's keys: what is read as what, within which range, and how it is called."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictStr


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


def _ordered(value: list[float]) -> list[float]:
    if value[0] > value[1]:
        raise ValueError("expected [minimum, maximum] with minimum <= maximum")
    return value


def _sizes(value: Any) -> Any:
    def positive(item: Any) -> bool:
        return isinstance(item, int) and not isinstance(item, bool) and item > 0

    def fits(item: Any) -> bool:
        return positive(item) or (
            isinstance(item, list) and len(item) == 2 and all(map(positive, item))
        )

    if not (isinstance(value, list) and value and all(map(fits, value))):
        raise ValueError("expected a list, one whole number >= 1 or pair of them per layer")
    return value


def _counts(value: Any) -> Any:
    if not (isinstance(value, list) and value and all(type(v) is int and v > 0 for v in value)):
        raise ValueError("expected a list of whole numbers >= 1, one per layer")
    return value


def _dispatcher(value: str) -> str:
    if not re.fullmatch(r"grpc://(\[[0-9a-fA-F:]+\]|[\w.-]+):[1-9]\d{0,4}", value):
        raise ValueError("expected grpc://HOST:PORT")
    return value


# The text at the end of each says in words what a key of that type holds.
MaybeEmptyText = Annotated[StrictStr, "text"]
Text = Annotated[StrictStr, Field(min_length=1), "text"]
Texts = Annotated[list[Text], Field(min_length=1), "list of texts"]
Dispatcher = Annotated[Text, AfterValidator(_dispatcher), "grpc://HOST:PORT"]
Switch = Annotated[StrictBool, "true | false"]
Whole = Annotated[int, BeforeValidator(_refuse_bool), "whole number"]
Real = Annotated[float, BeforeValidator(_refuse_bool), Field(allow_inf_nan=False), "number"]
Positive = Annotated[Whole, Field(ge=1), "whole number >= 1"]
AtLeastTwo = Annotated[Whole, Field(ge=2), "whole number >= 2"]
Count = Annotated[Whole, Field(ge=0), "whole number >= 0"]
AtLeastZero = Annotated[Real, Field(ge=0), "number >= 0"]
AboveZero = Annotated[Real, Field(gt=0), "number > 0"]
AboveOne = Annotated[Real, Field(gt=1), "number > 1"]
Order = Annotated[Literal[0, 1, 2], BeforeValidator(_refuse_bool), "0 | 1 | 2"]
Share = Annotated[Real, Field(ge=0, lt=1), "number >= 0 and < 1"]
WholeShare = Annotated[Real, Field(ge=0, le=1), "number from 0 to 1"]
OpenShare = Annotated[Real, Field(gt=0, lt=1), "number > 0 and < 1"]
Range = Annotated[
    list[Real], Field(min_length=2, max_length=2), AfterValidator(_ordered), "[minimum, maximum]"
]
PositiveRange = Annotated[
    list[AboveZero],
    Field(min_length=2, max_length=2),
    AfterValidator(_ordered),
    "[minimum, maximum], both > 0",
]
SizePerLayer = Annotated[list[Any], BeforeValidator(_sizes), "list, one number or pair per layer"]
CountPerLayer = Annotated[
    list[int], BeforeValidator(_counts), "list, one whole number >= 1 per layer"
]
