"""Mandarin numbers, dates, times and sums of money, written as they are spoken."""

import functools
import re

_DIGITS = "零一二三四五六七八九"
_UNITS = ((10**8, "亿"), (10**4, "万"), (1000, "千"), (100, "百"), (10, "十"))
_LONGEST = 16  # longer numbers are read digit by digit
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?)"
_CURRENCIES = {"¥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_MEASURES = "个位只本张块件次天名岁种家辆台杯瓶倍双"  # 2 is 两 before these


def speak_numbers(text: str) -> str:
    """Replaces every number in a text by the characters spoken for it.

    Four digits before 年 from 1100 to 2099, telephone numbers, numbers with a leading zero and
    those of more than 16 digits are read digit by digit (`1995年`: 一九九五年), others by value
    (`1995`: 一千九百九十五); 2 is 两 before common measure words.

    Args:
        text: a text in plain forms (ASCII digits, `-`, `/`).

    Returns:
        The text without digits.
    """
    if not re.search(r"\d", text):
        return text
    for pattern, speak in _rules():
        text = pattern.sub(speak, text)
    return text


def integer_by_value(number: int) -> str:
    """Reads a non-negative integer below 10 ** 16 by value: 10500 is 一万零五百."""
    words = _by_value(number)
    return words[1:] if words.startswith("一十") else words


@functools.cache
def _rules() -> tuple:
    """The patterns and what is said for them, in the order they are tried."""
    start = r"(?<![\d.,])"
    year = r"(?:1[1-9]|20)\d\d"
    rules = [
        (r"(?<![0-9A-Za-z)])(?<!\d\D)-(?=[$£€¥]?\d)", "负"),
        (rf"(?P<sign>[$£€¥])\s?(?P<number>{_NUMBER})(?P<scale>[万亿千百]*)", _money),
        (rf"{start}(\d{{4}})([-/.])(\d\d?)\2(\d\d?)(?![\d.])", _date),
        (rf"{start}({year})\s?[-~]\s?({year})(?=\s?年)", _years),
        (rf"{start}{year}(?=\s?年)", _one_by_one),
        (rf"{start}(\d\d?):([0-5]\d)(?::([0-5]\d))?(?!\d)", _time),
        (rf"{start}(\d+):(\d+)(?!\d)", lambda m: f"{_integer(m[1])}比{_integer(m[2])}"),
        (rf"({_NUMBER})\s?%", lambda m: f"百分之{_number(m[1])}"),
        (rf"({_NUMBER})\s?‰", lambda m: f"千分之{_number(m[1])}"),
        (rf"{start}(\d+)\s?/\s?(\d+)(?![\d/])", _fraction),
        (r"(?<![\d-])(?:0\d+-\d+|\d+-\d{5,}|\d+(?:-\d+){2,})(?![\d-])", _one_by_one),
        (r"(?<!\d)1[3-9]\d{9}(?!\d)", _one_by_one),
        (r"(?<![\d.])\d+(?:\.\d+){2,}", lambda m: "点".join(map(_integer, m[0].split(".")))),
        (rf"({_NUMBER}\D?)\s?[-~]\s?(?=\d)", r"\1到"),
        (rf"({_NUMBER})\s?°\s?[Cc](?![a-zA-Z])", r"\1摄氏度"),
        (rf"({_NUMBER})\s?°\s?[Ff](?![a-zA-Z])", r"\1华氏度"),
        (rf"({_NUMBER})\s?°", r"\1度"),
        (r"(?<=\d)\s?\+\s?(?=\d)", "加"),
        (r"(?<=\d)\s?×\s?(?=\d)", "乘"),
        (r"(?<=\d)\s?=\s?(?=\d)", "等于"),
        (rf"{start}2(?=\s?(?:[{_MEASURES}]|年(?!级)|点(?!\d)|小时))", "两"),
        (_NUMBER, lambda m: _number(m[0])),
    ]
    return tuple((re.compile(pattern), speak) for pattern, speak in rules)


def _by_value(number: int) -> str:
    for unit, name in _UNITS:
        if number >= unit:
            high, low = divmod(number, unit)
            gap = "零" if 0 < low < unit // 10 else ""
            return _by_value(high) + name + (gap + _by_value(low) if low else "")
    return _DIGITS[number]


def _digits(number: str) -> str:
    return "".join(_DIGITS[int(digit)] for digit in number if digit.isdigit())


def _integer(number: str) -> str:
    if len(number) > _LONGEST or (len(number) > 1 and number.startswith("0")):
        return _digits(number)
    return integer_by_value(int(number))


def _number(number: str) -> str:
    """A number as found in a text, with or without commas and a decimal point."""
    whole, _, decimals = number.replace(",", "").partition(".")
    return _integer(whole) + (f"点{_digits(decimals)}" if decimals else "")


def _one_by_one(match: re.Match) -> str:
    return _digits(match[0])


def _years(match: re.Match) -> str:
    return f"{_digits(match[1])}到{_digits(match[2])}"


def _money(match: re.Match) -> str:
    return _number(match["number"]) + match["scale"] + _CURRENCIES[match["sign"]]


def _date(match: re.Match) -> str:
    year, _, month, day = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return _digits(match[0])
    return f"{_digits(year)}年{integer_by_value(int(month))}月{integer_by_value(int(day))}日"


def _time(match: re.Match) -> str:
    hour, minute, second = match.groups()
    words = f"{'两' if int(hour) == 2 else integer_by_value(int(hour))}点"
    if minute != "00" or second is not None:
        words += f"{_two_digits(minute)}分"
    if second is not None:
        words += f"{_two_digits(second)}秒"
    return words


def _two_digits(number: str) -> str:
    gap = "零" if number[0] == "0" and number != "00" else ""
    return gap + integer_by_value(int(number))


def _fraction(match: re.Match) -> str:
    above, below = match.groups()
    return f"{_integer(below)}分之{_integer(above)}"
