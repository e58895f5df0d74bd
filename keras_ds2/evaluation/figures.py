"""What all pictures share: matplotlib when there is one, a style, fonts, a whole file or none."""

import contextlib
import os
import tempfile
from pathlib import Path

# Okabe and Ito's palette, told apart by colour-blind readers too; without yellow, pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4B3B8F")
INK, GREY = "#222222", "#9A9A9A"
WIDTH = 9.0
"""Inches; letters of 9 points and more stay readable when the picture is shown 900 pixels wide."""

_DOTS_AN_INCH = 150
_STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.unicode_minus": False,
}
_LATIN_FONT = "DejaVu Sans"  # comes with matplotlib
_CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "Arial Unicode MS",
)


def import_matplotlib():
    """Gives matplotlib with the parts that pictures need; it is loaded at the first call only.

    Raises:
        ImportError: if it is missing.
    """
    try:
        import matplotlib
        import matplotlib.figure
        import matplotlib.font_manager
        import matplotlib.ticker
    except ImportError as error:
        raise ImportError(
            "pictures need the package matplotlib, which is not installed; "
            "install it with: pip install 'keras-ds2[demo]'"
        ) from error
    return matplotlib


@contextlib.contextmanager
def new_figure(height: float):
    """Gives an empty figure of the usual width in the usual style, valid within the `with`.

    No display is touched and matplotlib's own settings are left as they were.
    """
    matplotlib = import_matplotlib()
    with matplotlib.rc_context({**_STYLE, "font.family": _families(matplotlib)}):
        yield matplotlib.figure.Figure(figsize=(WIDTH, height), layout="constrained")


def save_png(figure, path: str | os.PathLike) -> None:
    """Writes a figure as PNG beside its place, then moves it there in one step."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        temporary = Path(folder) / "picture.png"
        figure.savefig(temporary, format="png", dpi=_DOTS_AN_INCH)
        temporary.replace(path)


def printable(text: str) -> str:
    """Puts a code point, such as U+4E2D, in the place of each character that no font here has."""
    matplotlib = import_matplotlib()
    manager = matplotlib.font_manager
    known = set()
    for family in _families(matplotlib):
        known.update(manager.get_font(manager.findfont(family)).get_charmap())
    return "".join(
        character if ord(character) in known else f"U+{ord(character):04X}" for character in text
    )


def _families(matplotlib) -> list[str]:
    installed = {font.name for font in matplotlib.font_manager.fontManager.ttflist}
    return [_LATIN_FONT, *(name for name in _CHINESE_FONTS if name in installed)][:2]
