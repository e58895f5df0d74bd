"""Histograms, as bars of a terminal and as SVG."""

import dataclasses
from html import escape

import numpy as np

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 640, 200, 46, 24, 36, 10
_LABELS = 8


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Counts of numbers in ranges of equal width.

    Attributes:
        edges: float `(ranges + 1,)`.
        counts: int `(ranges,)`.
    """

    edges: np.ndarray
    counts: np.ndarray


def histogram(values: np.ndarray, ranges: int = 24) -> Histogram:
    """Counts numbers between their smallest and their largest.

    Args:
        values: float `(any,)`, at least one, finite.
        ranges: the most there are; fewer where there are fewer numbers.
    """
    counts, edges = np.histogram(values, bins=max(1, min(ranges, len(np.unique(values)))))
    return Histogram(edges, counts)


def text_bars(found: Histogram, width: int = 40) -> list[tuple[str, int, str]]:
    """Rows for a terminal: the range, its count, and a bar of at most `width` characters."""
    most = found.counts.max()
    return [
        (
            f"{low:.2f} to {high:.2f}",
            int(count),
            "█" * max(round(width * count / most), int(count > 0)),
        )
        for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False)
    ]


def histogram_svg(found: Histogram, title: str, axis: str) -> str:
    """Draws a histogram.

    Args:
        found: what is drawn.
        title: what it shows, for those who do not see it; the counts are added in words.
        axis: what lies along the bottom, with its unit.

    Returns:
        An SVG element; its colours are `currentColor` and the variable `--accent`.
    """
    ranges, most = len(found.counts), max(int(found.counts.max()), 1)
    step, tall = (_WIDTH - _LEFT - _RIGHT) / ranges, _HEIGHT - _BOTTOM - _TOP
    floor = _HEIGHT - _BOTTOM
    low, high = found.edges[0], found.edges[-1]
    fullest = int(found.counts.argmax())
    words = (
        f"{title}: from {low:.2f} to {high:.2f} {axis}; most, {most}, between "
        f"{found.edges[fullest]:.2f} and {found.edges[fullest + 1]:.2f}"
    )
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(words)}">',
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{floor}" y2="{floor}" '
        'stroke="currentColor"/>',
    ]
    for index, count in enumerate(found.counts):
        height = max(tall * int(count) / most, count > 0)  # the fewest can be seen too
        span = f"{found.edges[index]:.2f} to {found.edges[index + 1]:.2f}"
        parts.append(
            f'<rect x="{_LEFT + index * step + 0.5:.1f}" y="{floor - height:.1f}" '
            f'width="{max(step - 1, 1):.1f}" height="{height:.1f}" fill="var(--accent)">'
            f"<title>{span}: {count}</title></rect>"
        )
    for index in range(0, ranges + 1, -(-ranges // _LABELS)):
        parts.append(
            f'<text x="{_LEFT + index * step:.1f}" y="{floor + 15}" text-anchor="middle">'
            f"{found.edges[index]:.3g}</text>"
        )
    parts += [
        f'<text x="{_LEFT - 6}" y="{_TOP + 9}" text-anchor="end">{most}</text>',
        f'<text x="{_LEFT - 6}" y="{floor}" text-anchor="end">0</text>',
        f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">'
        f"{escape(axis)}</text>",
        "</svg>",
    ]
    return "".join(parts)
