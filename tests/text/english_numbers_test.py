"""Tests of English numbers as they are spoken."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ds2.text.english_numbers import speak_numbers


def spoken(text: str) -> str:
    return " ".join(re.sub(r"[-,.%/:()]", " ", speak_numbers(text)).split())


ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def value(words: str) -> int:
    """Reads English number words back: a second, independent road."""
    total = current = 0
    for word in words.split():
        if word in ONES:
            current += ONES.index(word)
        elif word in TENS:
            current += 10 * (TENS.index(word) + 2)
        elif word == "hundred":
            current *= 100
        else:
            scale = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
            total += current * scale[word]
            current = 0
    return total + current


@given(st.integers(0, 10**15 - 1))
def test_integers_with_commas_read_back_to_themselves(number):
    assert value(spoken(f"{number:,}")) == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "zero"),
        ("7 21 100 101", "seven twenty one one hundred one hundred one"),
        ("10,000", "ten thousand"),
        ("1,000,001", "one million one"),
        ("3.5", "three point five"),
        ("0.05", "zero point zero five"),
        (".25", "point two five"),
        ("-5 and -0.5", "minus five and minus zero point five"),
        ("007", "zero zero seven"),
        ("1.2.3", "one point two point three"),
        ("1234567890123456", "one two three four five six seven eight nine zero one two three "
         "four five six"),
        ("10-20", "ten to twenty"),
        ("mp3 3d 4x4", "mp three three d four x four"),
        ("5+3=8", "five plus three equals eight"),
        ("No. 5 and #6", "number five and number six"),
    ],
)  # fmt: skip
def test_numbers(text, words):
    assert spoken(text) == words


@pytest.mark.parametrize(
    ("year", "words"),
    [
        ("1995", "nineteen ninety five"),
        ("1905", "nineteen oh five"),
        ("1900", "nineteen hundred"),
        ("1066", "one thousand sixty six"),
        ("2000", "two thousand"),
        ("2005", "two thousand five"),
        ("2024", "twenty twenty four"),
        ("2100", "two thousand one hundred"),
        ("1990s", "nineteen nineties"),
        ("1990's", "nineteen nineties"),
        ("'60s", "sixties"),
        ("1914-1918", "nineteen fourteen to nineteen eighteen"),
    ],
)
def test_years(year, words):
    assert spoken(year) == words


@pytest.mark.parametrize(
    ("ordinal", "words"),
    [
        ("1st", "first"),
        ("2nd", "second"),
        ("3RD", "third"),
        ("12th", "twelfth"),
        ("21st", "twenty first"),
        ("100th", "one hundredth"),
        ("1,000th", "one thousandth"),
    ],
)
def test_ordinals(ordinal, words):
    assert spoken(ordinal) == words


@pytest.mark.parametrize(
    ("money", "words"),
    [
        ("$25", "twenty five dollars"),
        ("$1", "one dollar"),
        ("$1995", "one thousand nine hundred ninety five dollars"),
        ("$3.50", "three dollars and fifty cents"),
        ("$0.50", "fifty cents"),
        ("$.50", "fifty cents"),
        ("$5.00", "five dollars"),
        ("$1,000", "one thousand dollars"),
        ("$1.5 million", "one point five million dollars"),
        ("$5k", "five thousand dollars"),
        ("£2.01", "two pounds and one penny"),
        ("€10", "ten euros"),
        ("¥500", "five hundred yen"),
        ("50¢", "fifty cents"),
        ("-$5", "minus five dollars"),
    ],
)
def test_money(money, words):
    assert spoken(money) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3:30", "three thirty"),
        ("3:05 p.m.", "three oh five p m"),
        ("12:00", "twelve o'clock"),
        ("3:00pm", "three p m"),
        ("5 am", "five a m"),
        ("1:02:03", "one oh two oh three"),
        ("2021-03-04", "march fourth twenty twenty one"),
        ("2021-13-40", "two zero two one one three four zero"),
        ("3/4/2021", "three four twenty twenty one"),
        ("3/4/05", "three four oh five"),
        ("24/7", "twenty four seven"),
        ("9/11", "nine eleven"),
        ("1/2", "one half"),
        ("3/4", "three quarters"),
        ("2/3", "two thirds"),
        ("3 1/2", "three and one half"),
        ("9/11 1/3", "nine eleven one third"),
        ("555-1234", "five five five one two three four"),
        ("(212) 555-1234", "two one two five five five one two three four"),
        ("12-34-56", "one two three four five six"),
        ("5°C", "five degrees celsius"),
        ("90° F", "ninety degrees fahrenheit"),
        ("90°", "ninety degrees"),
    ],
)
def test_times_dates_fractions_and_the_rest(text, words):
    assert spoken(text) == words


def test_a_text_without_digits_stays_as_it_is():
    assert speak_numbers("No. - $ % a.b") == "No. - $ % a.b"


@given(st.text(alphabet="0123456789 .,:/-$%'#=+st°C()akm"))
def test_no_digit_is_left(text):
    assert not re.search(r"\d", speak_numbers(text))
