"""Histograms count every number once, and say in words what they show."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_ds2.inspection.histogram import histogram, histogram_svg, text_bars


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=200), st.integers(1, 30))
def test_every_number_is_counted_once(values, ranges):
    found = histogram(np.array(values), ranges)
    assert found.counts.sum() == len(values)
    assert len(found.edges) == len(found.counts) + 1 <= ranges + 1
    assert found.edges[0] <= min(values) <= max(values) <= found.edges[-1]


def test_bars_are_as_long_as_their_counts_say():
    rows = text_bars(histogram(np.array([0.0] * 100 + [1.0] * 50 + [2.0]), 3), width=40)
    assert [count for _, count, _ in rows] == [100, 50, 1]
    assert [len(bar) for _, _, bar in rows] == [40, 20, 1]  # the single one can be seen
    assert rows[0][0] == "0.00 to 0.67"


@pytest.mark.parametrize("values", [[3.0], [1.0, 1.0, 2.0], list(np.geomspace(0.1, 90, 500))])
def test_the_drawing_is_in_proportion_and_says_what_it_shows(values):
    found = histogram(np.array(values))
    svg = histogram_svg(found, "Lengths <of> all", "seconds")
    root = ElementTree.fromstring(svg)  # well-formed, and what is said is escaped
    assert root.get("role") == "img"
    label = root.get("aria-label")
    assert label.startswith("Lengths <of> all: from ")
    assert f"most, {found.counts.max()}, between" in label
    heights = np.array([float(bar.get("height")) for bar in root.iter("rect")])
    np.testing.assert_allclose(
        heights / heights.max(), found.counts / found.counts.max(), atol=0.01
    )
    said = [
        int(re.search(r": (\d+)$", bar.find("title").text).group(1)) for bar in root.iter("rect")
    ]
    assert said == found.counts.tolist()
    places = [float(text.get("x")) for text in root.iter("text")]
    assert all(0 <= place <= 640 for place in places)
