"""The alphabet: which symbols the model can write, and the id of each."""

import json
import os
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from keras_ds2.atomic_write import write_text_atomically

BLANK = 0
"""The id of the CTC blank, as in Keras."""

_FORMAT = "keras_ds2.alphabet"
_VERSION = 1
_SHOWN = 20


class UnknownSymbolError(ValueError):
    """Texts hold symbols that the alphabet lacks.

    Attributes:
        symbols: the distinct unknown symbols, in order of appearance.
    """

    def __init__(self, message: str, symbols: Sequence[str]):
        super().__init__(message)
        self.symbols = tuple(symbols)


class Alphabet:
    """Symbols and their ids: 1 to n in the order given; 0 is the blank.

    A symbol is one character (one Unicode code point), so that every text has exactly one spelling.

    Args:
        symbols: distinct characters, for example `[" ", "a", "b"]`.

    Raises:
        ValueError: if there is no symbol, or one is empty, longer than one character, a control
            character, given twice, or the same character as another in a second encoding. All
            such faults are told at once.
    """

    def __init__(self, symbols: Sequence[str]):
        symbols = tuple(symbols)
        _check_symbols(symbols)
        self._symbols = symbols
        self._ids = {symbol: index for index, symbol in enumerate(symbols, start=BLANK + 1)}

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, without the blank; `symbols[i]` has the id `i + 1`."""
        return self._symbols

    def __len__(self) -> int:
        """The vocabulary size: all symbols and the blank."""
        return len(self._symbols) + 1

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alphabet) and self._symbols == other._symbols

    def __hash__(self) -> int:
        return hash(self._symbols)

    def __repr__(self) -> str:
        shown = "".join(self._symbols[:40]) + ("..." if len(self._symbols) > 40 else "")
        return f"Alphabet({len(self._symbols)} symbols and the blank: {shown!r})"

    def encode(self, text: str, where: str | None = None) -> np.ndarray:
        """Gives the ids of a text's symbols.

        Args:
            text: the text, normalised as the alphabet's own.
            where: the text's place, such as `"train.jsonl:7"`, for the error's message.

        Returns:
            int32 `(symbols,)`, without blanks.

        Raises:
            UnknownSymbolError: if the text holds symbols outside the alphabet; all are named.
        """
        try:
            return np.array([self._ids[symbol] for symbol in text], dtype=np.int32)
        except KeyError:
            pass
        self.require_known([(text, where)])
        raise AssertionError("unreachable: a symbol was unknown")  # pragma: no cover

    def decode(self, ids: Iterable[int]) -> str:
        """Gives the text of ids; blanks, and so the padding of labels, are left out.

        Args:
            ids: integers from 0 to `len(alphabet) - 1`, with no repeats to merge.

        Raises:
            ValueError: if an id is outside that range.
        """
        ids = np.asarray(ids if hasattr(ids, "__array__") else list(ids))
        if ids.size and not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"Alphabet.decode: expected integer ids, received {ids.dtype}.")
        outside = ids[(ids < 0) | (ids >= len(self))]
        if outside.size:
            raise ValueError(
                f"Alphabet.decode: expected ids from 0 to {len(self) - 1}, received "
                f"{sorted(set(outside.tolist()))[:_SHOWN]}. Were they made with another alphabet?"
            )
        return "".join(self._symbols[i - 1] for i in ids.reshape(-1).tolist() if i != BLANK)

    def unknown_symbols(self, text: str) -> list[str]:
        """Lists the distinct symbols of a text that the alphabet lacks, in order of appearance."""
        return [symbol for symbol in dict.fromkeys(text) if symbol not in self._ids]

    def require_known(self, transcripts: Iterable[tuple[str, str | None]]) -> None:
        """Checks many texts and tells all their unknown symbols at once.

        Args:
            transcripts: pairs `(text, where)`; `where` is the text's place or None.

        Raises:
            UnknownSymbolError: if any text holds a symbol outside the alphabet.
        """
        faults: list[str] = []
        symbols: dict[str, int] = {}
        for text, where in transcripts:
            unknown = self.unknown_symbols(text)
            if unknown:
                named = ", ".join(describe_symbol(symbol) for symbol in unknown)
                faults.append(f"  {where + ': ' if where else ''}{named} in {text!r}")
                for symbol in unknown:
                    symbols[symbol] = symbols.get(symbol, 0) + text.count(symbol)
        if not faults:
            return
        plural = "" if len(symbols) == 1 else "s"
        texts = "1 text" if len(faults) == 1 else f"{len(faults)} texts"
        lines = [
            f"{len(symbols)} symbol{plural} outside the alphabet in {texts}:",
            *faults[:_SHOWN],
        ]
        if len(faults) > _SHOWN:
            lines.append(f"  ... and {len(faults) - _SHOWN} more texts")
            common = sorted(symbols, key=lambda symbol: (-symbols[symbol], symbol))
            counted = [f"{describe_symbol(symbol)} x {symbols[symbol]}" for symbol in common]
            more = "" if len(common) <= _SHOWN else f" and {len(common) - _SHOWN} more"
            lines.append(f"All of them, by count: {', '.join(counted[:_SHOWN])}{more}")
        lines.append(
            f"Expected only the alphabet's {len(self._symbols)} symbols. Normalise the texts, "
            "correct them, leave these utterances out, or build the alphabet from texts that hold "
            "the symbols."
        )
        raise UnknownSymbolError("\n".join(lines), list(symbols))

    def save(self, path: str | os.PathLike) -> None:
        """Writes the alphabet as JSON, whole or not at all."""
        content = {"format": _FORMAT, "version": _VERSION, "symbols": list(self._symbols)}
        write_text_atomically(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Alphabet":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is not an alphabet; its path and the fault are named.
        """
        path = os.fspath(path)
        expected = "Expected the JSON file that Alphabet.save writes."
        try:
            with open(path, encoding="utf-8-sig") as file:
                content = json.load(file)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: no such alphabet file. {expected}") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 at byte {error.start}. {expected}") from None
        except json.JSONDecodeError as error:
            place = f"{path}:{error.lineno}: column {error.colno}"
            raise ValueError(f"{place}: not JSON ({error.msg}). {expected}") from None
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f'{path}: no {{"format": "{_FORMAT}"}} at its top. {expected}')
        if content.get("version") != _VERSION:
            raise ValueError(
                f"{path}: expected version {_VERSION}, received {content.get('version')!r}. "
                "It was written by another release of keras_ds2."
            )
        symbols = content.get("symbols")
        if not isinstance(symbols, list):
            raise ValueError(f"{path}: symbols: expected a list, received {symbols!r}. {expected}")
        try:
            return cls(symbols)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def describe_symbol(symbol: str) -> str:
    """Shows a symbol so that invisible ones and look-alikes can be told apart.

    Printable ASCII is quoted; all else has its code point too, and its name where that says more.
    """
    if symbol.isascii() and symbol.isprintable():
        return repr(symbol)
    points = " ".join(f"U+{ord(character):04X}" for character in symbol)
    name = unicodedata.name(symbol, "") if len(symbol) == 1 else ""
    if not name or name.startswith("CJK"):
        return f"{symbol!r} ({points})"
    return f"{symbol!r} ({points} {name})"


def _check_symbols(symbols: tuple) -> None:
    """Raises one ValueError with every fault of the symbols."""
    faults = [] if symbols else ["no symbols at all; give at least one character"]
    first_at: dict[str, int] = {}
    for index, symbol in enumerate(symbols):
        fault = _symbol_fault(symbol)
        if fault is None:
            canonical = unicodedata.normalize("NFC", symbol)
            earlier = first_at.setdefault(canonical, index)
            if earlier != index:
                same = symbols[earlier] == symbol
                how = "a duplicate of" if same else "the same character, encoded otherwise, as"
                fault = f"{how} symbol {earlier}"
                if not same:
                    fault += f" {describe_symbol(symbols[earlier])}"
        if fault is not None:
            shown = describe_symbol(symbol) if isinstance(symbol, str) else repr(symbol)
            faults.append(f"symbol {index}, {shown}: {fault}")
    if faults:
        more = [f"  ... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        shown = [f"  {fault}" for fault in faults[:_SHOWN]]
        raise ValueError(
            "\n".join(["Alphabet: expected distinct single characters, received:", *shown, *more])
        )


def _symbol_fault(symbol: object) -> str | None:
    if not isinstance(symbol, str):
        return f"expected a string, received {type(symbol).__name__}"
    if symbol == "":
        return "empty; the blank needs no symbol, it has id 0"
    if len(symbol) > 1:
        return (
            f"{len(symbol)} characters; expected one, since longer symbols would let one text be "
            "spelt in several ways (letters with accents: use their composed form, NFC)"
        )
    if unicodedata.category(symbol) in ("Cc", "Cs"):
        return "a control character or half of a surrogate pair; leave it out"
    return None
