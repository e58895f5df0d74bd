"""Tests of the alphabet: ids, errors, files."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ds2.text.alphabet import BLANK, Alphabet, UnknownSymbolError, describe_symbol

CHARACTERS = st.characters(exclude_categories=("Cc", "Cs"))


@st.composite
def alphabets(draw):
    letters = st.sampled_from("abcdefghij 'éß我是中国饕𠀀")
    return Alphabet(draw(st.lists(letters, unique=True, min_size=1)))


class TestIds:
    def test_blank_is_zero_and_symbols_follow_in_order(self):
        alphabet = Alphabet(["b", " ", "我"])
        assert BLANK == 0
        assert len(alphabet) == 4
        assert alphabet.symbols == ("b", " ", "我")
        ids = alphabet.encode("我 b")
        assert ids.dtype == np.int32
        assert ids.tolist() == [3, 2, 1]

    def test_empty_text_has_no_ids(self):
        ids = Alphabet("ab").encode("")
        assert ids.shape == (0,)
        assert ids.dtype == np.int32
        assert Alphabet("ab").decode([]) == ""

    @given(alphabets(), st.data())
    def test_decode_undoes_encode(self, alphabet, data):
        text = data.draw(st.text(st.sampled_from(alphabet.symbols)))
        assert alphabet.decode(alphabet.encode(text)) == text

    def test_decode_leaves_blanks_out_and_takes_any_kind_of_integers(self):
        alphabet = Alphabet("abc")
        assert alphabet.decode([1, 0, 2, 0, 0]) == "ab"
        assert alphabet.decode(np.array([3, 3, 0], np.int64)) == "cc"
        assert alphabet.decode(iter((2, 1))) == "ba"

    @pytest.mark.parametrize("ids", [[4], [-1], [1, 99]])
    def test_decode_refuses_ids_outside(self, ids):
        with pytest.raises(ValueError, match=r"expected ids from 0 to 3, received \["):
            Alphabet("abc").decode(ids)

    def test_decode_refuses_what_is_no_integer(self):
        with pytest.raises(ValueError, match="integer ids, received float64"):
            Alphabet("abc").decode([1.0])

    def test_equal_by_symbols_and_their_order(self):
        assert Alphabet("ab") == Alphabet(["a", "b"])
        assert hash(Alphabet("ab")) == hash(Alphabet(["a", "b"]))
        assert Alphabet("ab") != Alphabet("ba")
        assert "a" in Alphabet("ab")
        assert "c" not in Alphabet("ab")
        assert repr(Alphabet("ab")) == "Alphabet(2 symbols and the blank: 'ab')"


class TestRefusedSymbols:
    @pytest.mark.parametrize(
        ("symbols", "said"),
        [
            ([], "no symbols at all"),
            (["a", "b", "a"], "symbol 2, 'a': a duplicate of symbol 0"),
            (["a", "th"], "symbol 1, 'th': 2 characters; expected one"),
            (["a", ""], "symbol 1, '': empty"),
            (["a", 1], "symbol 1, 1: expected a string, received int"),
            (["e\u0301"], "composed form, NFC"),
            (["\u00c5", "\u212b"], "the same character, encoded otherwise, as symbol 0"),
            (["\n"], "a control character"),
            (["\ud800"], "surrogate"),
        ],
    )
    def test_fault_is_named_with_its_place(self, symbols, said):
        with pytest.raises(ValueError, match="distinct single characters") as caught:
            Alphabet(symbols)
        assert said in str(caught.value)

    def test_all_faults_at_once(self):
        with pytest.raises(ValueError) as caught:
            Alphabet(["a", "", "th", "a"])
        assert all(f"symbol {index}, " in str(caught.value) for index in (1, 2, 3))
        assert "symbol 0, " not in str(caught.value)

    def test_many_faults_are_counted(self):
        with pytest.raises(ValueError, match=r"\.\.\. and 10 more"):
            Alphabet(["xx"] * 30)


class TestUnknownSymbols:
    def test_encode_names_all_of_them_and_the_place(self):
        with pytest.raises(UnknownSymbolError) as caught:
            Alphabet("abc ").encode("a7 b\u200b é7", where="train.jsonl:12")
        message = str(caught.value)
        assert "train.jsonl:12" in message
        assert "'7'" in message
        assert "U+200B ZERO WIDTH SPACE" in message
        assert "U+00E9 LATIN SMALL LETTER E WITH ACUTE" in message
        assert "3 symbols outside the alphabet in 1 text" in message
        assert caught.value.symbols == ("7", "\u200b", "é")
        assert isinstance(caught.value, ValueError)

    def test_encode_without_a_place(self):
        with pytest.raises(UnknownSymbolError, match="'x' in 'ax'"):
            Alphabet("a").encode("ax")

    def test_many_texts_are_told_at_once(self):
        alphabet = Alphabet("ab")
        texts = [("ab", "f:1"), ("ax", "f:2"), ("b", "f:3"), ("yyb", "f:4"), ("x", "f:5")]
        with pytest.raises(UnknownSymbolError) as caught:
            alphabet.require_known(texts)
        message = str(caught.value)
        assert [place in message for place in ("f:1", "f:2", "f:3", "f:4", "f:5")] == [
            False,
            True,
            False,
            True,
            True,
        ]
        assert caught.value.symbols == ("x", "y")

    def test_beyond_twenty_texts_the_rest_and_all_symbols_are_counted(self):
        alphabet = Alphabet("a")
        texts = [("x" if i % 2 else "yy", f"f:{i}") for i in range(50)]
        with pytest.raises(UnknownSymbolError) as caught:
            alphabet.require_known(texts)
        assert "... and 30 more texts" in str(caught.value)
        assert "All of them, by count: 'y' x 50, 'x' x 25" in str(caught.value)

    def test_known_texts_pass(self):
        Alphabet("ab").require_known([("ab", None), ("", "f:2")])

    @given(alphabets(), st.text(CHARACTERS))
    def test_unknown_symbols_are_those_that_encode_refuses(self, alphabet, text):
        unknown = alphabet.unknown_symbols(text)
        assert set(unknown) == set(text) - set(alphabet.symbols)
        assert len(unknown) == len(set(unknown))
        if unknown:
            with pytest.raises(UnknownSymbolError) as caught:
                alphabet.encode(text)
            assert list(caught.value.symbols) == unknown
        else:
            assert len(alphabet.encode(text)) == len(text)

    @pytest.mark.parametrize(
        ("symbol", "shown"),
        [
            ("a", "'a'"),
            (" ", "' '"),
            ("\t", "'\\t' (U+0009)"),
            ("\u3000", "'\\u3000' (U+3000 IDEOGRAPHIC SPACE)"),
            ("’", "'’' (U+2019 RIGHT SINGLE QUOTATION MARK)"),
            ("饕", "'饕' (U+9955)"),
        ],
    )
    def test_symbols_are_shown_so_that_they_can_be_told_apart(self, symbol, shown):
        assert describe_symbol(symbol) == shown


class TestFiles:
    @given(alphabets())
    def test_load_undoes_save(self, tmp_path_factory, alphabet):
        path = tmp_path_factory.mktemp("alphabet") / "alphabet.json"
        alphabet.save(path)
        assert Alphabet.load(path) == alphabet
        assert Alphabet.load(str(path)).symbols == alphabet.symbols

    def test_the_file_is_readable_json(self, tmp_path):
        Alphabet(["我", "a"]).save(tmp_path / "a.json")
        text = (tmp_path / "a.json").read_text(encoding="utf-8")
        assert "我" in text
        assert json.loads(text)["symbols"] == ["我", "a"]

    def test_a_failed_save_keeps_the_old_file_and_leaves_nothing_behind(
        self, tmp_path, monkeypatch
    ):
        path = tmp_path / "alphabet.json"
        Alphabet("ab").save(path)

        def fail(*_):
            raise OSError("no space left on device")

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no space left"):
            Alphabet("xyz").save(path)
        assert Alphabet.load(path) == Alphabet("ab")
        assert os.listdir(tmp_path) == ["alphabet.json"]

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"none\.json: no such alphabet file"):
            Alphabet.load(tmp_path / "none.json")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"{", "a.json:1: column 2: not JSON"),
            (b"\xff\xff", "a.json: not UTF-8 at byte 0"),
            (b"[]", 'no {"format": "keras_ds2.alphabet"}'),
            (b'{"symbols": ["a"]}', 'no {"format": "keras_ds2.alphabet"}'),
            (b'{"format": "keras_ds2.alphabet", "version": 9}', "expected version 1, received 9"),
            (
                b'{"format": "keras_ds2.alphabet", "version": 1, "symbols": "ab"}',
                "symbols: expected a list",
            ),
            (
                b'{"format": "keras_ds2.alphabet", "version": 1, "symbols": ["a", "a"]}',
                "a duplicate of symbol 0",
            ),
        ],
    )
    def test_what_is_no_alphabet_is_refused_with_its_path(self, tmp_path, content, said):
        path = tmp_path / "a.json"
        path.write_bytes(content)
        with pytest.raises(ValueError) as caught:
            Alphabet.load(path)
        assert str(path) in str(caught.value)
        assert said in str(caught.value)
