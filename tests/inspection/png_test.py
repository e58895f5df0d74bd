"""The hand-written PNG is one that readers take, with the numbers in it."""

import matplotlib.image
import numpy as np
import pytest

from keras_ds2.inspection.png import heat_map_png


def test_a_reader_finds_the_numbers_again(tmp_path):
    values = np.array([[0.0, 0.5, 1.0], [-9.0, 0.25, 9.0]])
    path = tmp_path / "picture.png"
    path.write_bytes(heat_map_png(values, 0.0, 1.0))
    picture = matplotlib.image.imread(path)
    assert picture.shape[:2] == (2, 3)
    brightness = picture[..., :3].sum(axis=2)
    assert np.all(np.diff(brightness, axis=1) > 0)
    np.testing.assert_array_equal(picture[0, 0], picture[1, 0])  # below the least is the least
    np.testing.assert_array_equal(picture[0, 2], picture[1, 2])


@pytest.mark.parametrize(
    ("shape", "low", "high"), [((0, 3), 0, 1), ((2, 0), 0, 1), ((2, 3), 1, 1), ((2, 3), 0, np.nan)]
)
def test_nothing_to_draw_is_refused(shape, low, high):
    with pytest.raises(ValueError, match="expected numbers and low < high"):
        heat_map_png(np.zeros(shape), low, high)
