"""English numbers, dates, times and sums of money, written as they are spoken."""

import functools
import re

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?)"
_SCALES = {word: word for word in ("hundred", "thousand", "million", "billion", "trillion")}
_SCALES |= {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "tn": "trillion"}
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
}
_FRACTIONS = {2: ("half", "halves"), 4: ("quarter", "quarters")}
_LONGEST = 15  # longer numbers are read digit by digit


def speak_numbers(text: str) -> str:
    """Replaces every number in a text by the words spoken for it.

    Years 1100 to 2099 are read as years (`1995`: nineteen ninety five) unless a comma, a point or
    a currency says otherwise; `3/4` with a common denominator is a fraction, since a date written
    so is ambiguous; numbers with a leading zero or of more than 15 digits are read digit by digit.

    Args:
        text: a text in plain forms (ASCII digits, `-`, `/`, `'`).

    Returns:
        The text without digits; the words may hold hyphens and commas.
    """
    if not re.search(r"\d", text):
        return text
    for pattern, speak in _rules():
        text = pattern.sub(speak, text)
    return text


@functools.cache
def _rules() -> tuple:
    """The patterns and what is said for them, in the order they are tried."""
    start = r"(?<![\d.,])"
    scale = rf"(?:\s?(?P<scale>(?i:{'|'.join(_SCALES)}))\b)?"
    number = rf"(?P<number>{_NUMBER}|\.\d+)"
    rules = [
        (r"(?<![\w)])-(?=[$£€¥]?\.?\d)", " minus "),
        (rf"(?P<sign>[$£€¥])\s?{number}{scale}", _money),
        (rf"{start}(\d+)\s?¢", lambda m: f" {_counted(m[1], 'cent', 'cents')} "),
        (rf"{start}(\d{{4}})-(\d\d?)-(\d\d?)(?![\d-])", _iso_date),
        (rf"{start}(\d\d?)/(\d\d?)/(\d{{4}}|\d\d)(?!\d)", _numeric_date),
        (rf"(?i){start}(\d\d?(?::\d\d)?)\s?([ap])\.?m\b\.?", r" \1 \2 m "),
        (rf"{start}(\d\d?):([0-5]\d)(?::([0-5]\d))?(?!\d)", _time),
        (r"(?<![\d-])(?:\d-)?(?:\(?\d{3}\)?[- .])?\d{3}-\d{4}(?![\d-])", _one_by_one),
        (r"(?<![\d-])\d+(?:-\d+){2,}(?![\d-])", _one_by_one),
        (r"(?<![\d.,/])(\d+)\s+(\d+)/(\d+)(?![\d/])", _mixed_number),
        (rf"{start}(\d+)/(\d+)(?![\d/])", _fraction),
        (r"(?<![\d.])\d+(?:\.\d+){2,}", lambda m: _joined(m[0].split("."), " point ")),
        (r"(?i)(?<!\w)'?(\d\d|\d{4})'?s\b", _decade),
        (rf"(?i){start}(\d{{1,3}}(?:,\d{{3}})+|\d+)(?:st|nd|rd|th)\b", _ordinal),
        (rf"({_NUMBER})\s?-\s?(?=\d)", r"\1 to "),
        (rf"({_NUMBER})\s?°\s?C\b", r"\1 degrees celsius "),
        (rf"({_NUMBER})\s?°\s?F\b", r"\1 degrees fahrenheit "),
        (rf"({_NUMBER})\s?°", r"\1 degrees "),
        (r"(?:\bNo\.\s?|#)(?=\d)", " number "),
        (r"(?<=\d)\s?\+\s?(?=\d)", " plus "),
        (r"(?<=\d)\s?×\s?(?=\d)", " times "),
        (r"(?<=\d)\s?=\s?(?=\d)", " equals "),
        (r"(?<![\w.,])\.(\d+)", lambda m: f" point {_digits(m[1])} "),
        (_NUMBER, lambda m: f" {_number(m[0])} "),
    ]
    return tuple((re.compile(pattern), speak) for pattern, speak in rules)


@functools.cache
def _engine():
    import inflect  # slow to import, and needed for texts with digits only

    return inflect.engine()


@functools.lru_cache(maxsize=4096)
def _cardinal(number: int) -> str:
    return _engine().number_to_words(number, andword="")


def _digits(number: str) -> str:
    return " ".join(_cardinal(int(digit)) for digit in number if digit.isdigit())


def _integer(number: str) -> str:
    """An integer without commas."""
    if len(number) > _LONGEST or (len(number) > 1 and number.startswith("0")):
        return _digits(number)
    return _cardinal(int(number))


def _number(number: str) -> str:
    """A number as found in a text: a year, an integer, or with a decimal point."""
    if re.fullmatch(r"\d{4}", number) and 1100 <= int(number) <= 2099:
        return _year(number)
    whole, _, decimals = number.replace(",", "").partition(".")
    if not decimals:
        return _integer(whole)
    return f"{_cardinal(0) if whole == '0' else _integer(whole)} point {_digits(decimals)}"


def _year(number: str) -> str:
    century, rest = int(number[:2]), int(number[2:])
    if century == 20 and rest < 10:
        return _cardinal(int(number))
    if rest == 0:
        return f"{_cardinal(century)} hundred"
    return f"{_cardinal(century)} {'oh ' if rest < 10 else ''}{_cardinal(rest)}"


def _counted(number: str, one: str, many: str) -> str:
    plain = number.replace(",", "")
    words = _number(number) if "." in number else _integer(plain)
    return f"{words} {one if plain == '1' else many}"


def _money(match: re.Match) -> str:
    one, many, cent, cents = _CURRENCIES[match["sign"]]
    number, scale = match["number"], match["scale"]
    if number.startswith("."):
        number = "0" + number
    whole, _, decimals = number.partition(".")
    if scale:
        plain = number.replace(",", "")
        words = _number(number) if decimals else _integer(plain)
        return f" {words} {_SCALES[scale.lower()]} {many} "
    if len(decimals) != 2:
        return f" {_counted(number, one, many)} "
    parts = [] if whole == "0" else [_counted(whole, one, many)]
    if decimals != "00" or not parts:
        parts.append(_counted(str(int(decimals)), cent, cents))
    return f" {' and '.join(parts)} "


def _iso_date(match: re.Match) -> str:
    year, month, day = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return f" {_digits(match[0])} "
    name = _MONTHS[int(month) - 1]
    return f" {name} {_engine().ordinal(_cardinal(int(day)))} {_number(year)} "


def _numeric_date(match: re.Match) -> str:
    first, second, year = match.groups()
    last = _number(year) if len(year) == 4 else _two_digit_year(year)
    return f" {_cardinal(int(first))} {_cardinal(int(second))} {last} "


def _two_digit_year(year: str) -> str:
    return ("oh " if year[0] == "0" else "") + _cardinal(int(year))


def _time(match: re.Match) -> str:
    hour, minute, second = match.groups()
    words = _cardinal(int(hour))
    if second is None and minute == "00":
        half_of_day = re.match(r"\s*[ap] m\b", match.string[match.end() :], re.IGNORECASE)
        return f" {words} " if half_of_day else f" {words} o'clock "
    for part in (minute, second):
        if part is not None:
            words += f" {'oh ' if part[0] == '0' else ''}{_cardinal(int(part))}"
    return f" {words} "


def _one_by_one(match: re.Match) -> str:
    return f" {_digits(match[0])} "


def _mixed_number(match: re.Match) -> str:
    whole, above, below = match.groups()
    if not _is_fraction(above, below):
        return match[0]
    return f" {_integer(whole)} and {_parts(above, below)} "


def _fraction(match: re.Match) -> str:
    above, below = match.groups()
    if _is_fraction(above, below):
        return f" {_parts(above, below)} "
    return f" {_number(above)} {_number(below)} "


def _is_fraction(above: str, below: str) -> bool:
    return below in ("2", "3", "4", "5", "6", "8", "10", "16") and 0 < int(above) < int(below)


def _parts(above: str, below: str) -> str:
    if int(below) in _FRACTIONS:
        one, many = _FRACTIONS[int(below)]
    else:
        one = _engine().ordinal(_cardinal(int(below)))
        many = one + "s"
    return f"{_cardinal(int(above))} {one if int(above) == 1 else many}"


def _decade(match: re.Match) -> str:
    number = match[1]
    if number[-1] != "0" or number == "00":
        return match[0]
    return f" {re.sub('y$', 'ie', _number(number))}s "


def _ordinal(match: re.Match) -> str:
    number = match[1].replace(",", "")
    if len(number) > _LONGEST:
        return f" {_digits(number)} "
    return f" {_engine().ordinal(_cardinal(int(number)))} "


def _joined(parts: list[str], between: str) -> str:
    return f" {between.join(_integer(part) for part in parts)} "
