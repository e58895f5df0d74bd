"""Pictures of recognitions: a whole PNG for every kind of utterance, clear faults."""

import sys

import numpy as np
import pytest

from keras_ds2.evaluation import picture
from keras_ds2.evaluation.picture import save_recognition_picture
from tests.evaluation.made_up_recognition import made_up_recognition

ENGLISH = list(" 'abcdefghijklmnopqrstuvwxyz")


def read_png(path):
    image = pytest.importorskip("matplotlib.image")
    return image.imread(path)


class TestPicture:
    @pytest.fixture(autouse=True)
    def _matplotlib(self):
        pytest.importorskip("matplotlib", reason="the extra demo is not installed")

    @pytest.mark.parametrize(
        ("text", "reference"),
        [
            ("turn on the lamp", "turn on the lamp"),
            ("turn on the lamp", "turn the lamb on"),
            ("turn on", None),
            ("", "turn on"),
            ("turn on", ""),
            ("a b c d e f g h i j k l m n o p", "a b"),
        ],
    )
    def test_is_a_whole_png_readable_at_900_pixels(self, tmp_path, text, reference):
        path = tmp_path / "new" / "picture.png"
        save_recognition_picture(path, **made_up_recognition(text, ENGLISH), reference=reference)
        image = read_png(path)
        assert image.shape[1] >= 900
        assert image[..., :3].std() > 0.05
        assert [one.name for one in path.parent.iterdir()] == ["picture.png"]

    def test_takes_characters_that_no_font_has(self, tmp_path):
        symbols = list("打开灯 \U0003fffd$^_")
        recognition = made_up_recognition("打开灯\U0003fffd$^_", symbols)
        save_recognition_picture(tmp_path / "p.png", **recognition, reference="打开电灯")
        assert read_png(tmp_path / "p.png").size

    def test_takes_features_that_are_not_spectra(self, tmp_path):
        recognition = made_up_recognition("go", ENGLISH)
        recognition["features"] = recognition["features"][:, :39]
        save_recognition_picture(tmp_path / "p.png", **recognition, features_are_spectra=False)
        assert read_png(tmp_path / "p.png").size

    def test_takes_silence_and_one_step(self, tmp_path):
        recognition = made_up_recognition("", ENGLISH, steps=8)
        recognition["waveform"] = np.zeros(100, np.float32)
        recognition["features"] = np.zeros((1, 161))
        recognition["log_probs"] = recognition["log_probs"][:1]
        save_recognition_picture(tmp_path / "p.png", **recognition)
        assert read_png(tmp_path / "p.png").size

    def test_is_the_same_each_time_and_leaves_settings_alone(self, tmp_path):
        import matplotlib as mpl

        before = dict(mpl.rcParams)
        for name in ("a.png", "b.png"):
            save_recognition_picture(tmp_path / name, **made_up_recognition("go on", ENGLISH))
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        assert dict(mpl.rcParams) == before

    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("waveform", np.zeros((1, 100))),
            ("features", np.zeros((1, 10, 161))),
            ("log_probs", np.zeros((0, 29))),
            ("symbols", ENGLISH[:-1]),
        ],
    )
    def test_refuses_shapes_that_do_not_fit(self, tmp_path, argument, value):
        recognition = {**made_up_recognition("go", ENGLISH), argument: value}
        with pytest.raises(ValueError, match=argument):
            save_recognition_picture(tmp_path / "p.png", **recognition)
        assert list(tmp_path.iterdir()) == []


class TestPlaces:
    def test_words_stand_where_their_symbols_peak(self):
        recognition = made_up_recognition("ab cd", ENGLISH, steps=100)
        runs = picture._find_runs(recognition["log_probs"])
        assert [ENGLISH[run.symbol - 1] for run in runs] == list("ab cd")
        first, second = picture._place_words(runs, ENGLISH, "ab cd", 0.02)
        assert 0.0 < first < 1.0 < second < 2.0

    def test_chinese_characters_stand_alone(self):
        symbols = list("打开灯")
        runs = picture._find_runs(made_up_recognition("打开灯", symbols)["log_probs"])
        assert len(picture._place_words(runs, symbols, "打开灯", 0.02)) == 3

    def test_other_words_are_not_placed(self):
        runs = picture._find_runs(made_up_recognition("ab cd", ENGLISH)["log_probs"])
        assert picture._place_words(runs, ENGLISH, "ab", 0.02) is None

    def test_differences_are_found(self):
        heard, said = picture._agreement(list("axc"), list("abcd"))
        assert heard == [True, False, True]
        assert said == [True, False, True, False]


def test_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-ds2\[demo\]'"):
        save_recognition_picture(tmp_path / "p.png", **made_up_recognition("go", ENGLISH))
