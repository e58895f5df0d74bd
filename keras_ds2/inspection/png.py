"""Pictures of numbers as PNG files, written by hand: a page needs no plotting library."""

import struct
import zlib

import numpy as np

_COLOURS = (
    (13, 8, 66),
    (88, 24, 120),
    (166, 43, 110),
    (226, 89, 66),
    (250, 170, 60),
    (252, 252, 200),
)


def heat_map_png(values: np.ndarray, low: float, high: float) -> bytes:
    """Draws numbers as colours, from dark to bright.

    Args:
        values: float `(rows, columns)`, the first row at the top.
        low: what is drawn darkest; smaller numbers too.
        high: what is drawn brightest, above `low`; larger numbers too.

    Returns:
        The bytes of a PNG file, a pixel a number. Source of the format: ISO 15948.

    Raises:
        ValueError: if there is no number, or `high` is not above `low`.
    """
    if not values.size or not high > low:
        raise ValueError(f"expected numbers and low < high, received {values.shape}, {low}, {high}")
    levels = np.clip((values - low) / (high - low), 0, 1) * 255
    levels = np.round(levels).astype(np.uint8)
    places = np.linspace(0, 255, len(_COLOURS))
    palette = np.stack(
        [np.interp(np.arange(256), places, channel) for channel in zip(*_COLOURS, strict=True)], 1
    )
    rows, columns = levels.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), levels], axis=1)  # 0: as it is
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", np.round(palette).astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(name, content):
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
