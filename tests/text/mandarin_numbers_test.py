"""Tests of Mandarin numbers as they are spoken."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ds2.text.mandarin_numbers import integer_by_value, speak_numbers

DIGITS = "零一二三四五六七八九"
SMALL = {"十": 10, "百": 100, "千": 1000}


def value(words: str) -> int:
    """Reads Chinese numerals back: a second, independent road."""
    for name, unit in (("亿", 10**8), ("万", 10**4)):
        if name in words:
            high, low = words.split(name, 1) if name == "万" else words.rsplit(name, 1)
            return value(high) * unit + (value(low) if low else 0)
    total = digit = 0
    for character in words:
        if character in DIGITS:
            digit = DIGITS.index(character)
        else:
            total += (digit or 1) * SMALL[character]
            digit = 0
    return total + digit


@given(st.integers(0, 10**16 - 1) | st.integers(0, 10**6))
def test_integers_read_back_to_themselves(number):
    assert value(integer_by_value(number)) == number


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "零"),
        (10, "十"),
        (15, "十五"),
        (20, "二十"),
        (101, "一百零一"),
        (110, "一百一十"),
        (115, "一百一十五"),
        (1001, "一千零一"),
        (1010, "一千零一十"),
        (10000, "一万"),
        (10500, "一万零五百"),
        (100000, "十万"),
        (1000001, "一百万零一"),
        (200003908, "二亿零三千九百零八"),
        (1200000000000, "一万二千亿"),
    ],
)
def test_integers_by_value(number, words):
    assert integer_by_value(number) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1995", "一千九百九十五"),
        ("1995年", "一九九五年"),
        ("10年", "十年"),
        ("3000年", "三千年"),
        ("2019-2020年", "二零一九到二零二零年"),
        ("2024年5月3日", "二零二四年五月三日"),
        ("2024-05-03", "二零二四年五月三日"),
        ("2024/13/40", "二零二四一三四零"),
        ("10,000", "一万"),
        ("1.5", "一点五"),
        ("0.05", "零点零五"),
        ("-3°C", "负三摄氏度"),
        ("温度-3度", "温度负三度"),
        ("36.5°", "三十六点五度"),
        ("25%", "百分之二十五"),
        ("-3%", "负百分之三"),
        ("5‰", "千分之五"),
        ("3/4", "四分之三"),
        ("3:2", "三比二"),
        ("12:05", "十二点零五分"),
        ("2:00", "两点"),
        ("8:30:00", "八点三十分零秒"),
        ("3-5天", "三到五天"),
        ("3天-5天", "三天到五天"),
        ("1~2", "一到二"),
        ("¥100", "一百元"),
        ("$3万", "三万美元"),
        ("-€2.5", "负二点五欧元"),
        ("13800138000", "一三八零零一三八零零零"),
        ("010-12345678", "零一零一二三四五六七八"),
        ("007", "零零七"),
        ("12345678901234567", "一二三四五六七八九零一二三四五六七"),
        ("1.2.3", "一点二点三"),
        ("2个 2点 2月 2年 2年级", "两个 两点 二月 两年 二年级"),
        ("12个", "十二个"),
        ("5+3=8", "五加三等于八"),
        ("mp3", "mp三"),
    ],
)
def test_numbers_in_texts(text, words):
    assert speak_numbers(text) == words


def test_a_text_without_digits_stays_as_it_is():
    assert speak_numbers("你好 - % ¥") == "你好 - % ¥"


@given(st.text(alphabet="0123456789 .,:/-~$%=+年月点个°CaX()"))
def test_no_digit_is_left(text):
    assert not re.search(r"\d", speak_numbers(text))
