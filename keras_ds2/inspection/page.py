"""What was found in a corpus, as one HTML page that needs nothing else."""

import base64
import io
import wave
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from keras_ds2.data.checking import SKIPPED_KINDS
from keras_ds2.inspection.findings import CLIPPED_SHARE, RARE_COUNT, Findings
from keras_ds2.inspection.histogram import histogram, histogram_svg
from keras_ds2.inspection.png import heat_map_png
from keras_ds2.inspection.sample import Hearing, Sample
from keras_ds2.text.alphabet import describe_symbol

_SHOWN = 200
_DARKEST, _BRIGHTEST = 2.0, 99.5  # percentiles of a sample's features
_SMALLEST_PICTURE = 130  # pixels high

# Nothing may be fetched: what the page shows is in it.
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --accent: light-dark(#1f6fb2, #6cb2ee);
  --quiet: light-dark(#5a5f66, #a9b0b8); --line: light-dark(#d5d9de, #3b4148);
  --warn: light-dark(#9a3b00, #ffb27a); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { margin: 0; font-size: 1.15rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); padding-bottom: .3rem; }
th, td { text-align: right; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, td.text { text-align: left; overflow-wrap: anywhere;
  min-width: 7rem; }
svg { width: 100%; max-width: 40rem; height: auto; display: block; }
svg text { font-size: 12px; fill: currentColor; }
.symbols { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .4rem; }
.symbols li { border: 1px solid var(--line); border-radius: .3rem; padding: 0 .5rem; }
.symbols .rare { border-color: var(--warn); color: var(--warn); }
.quiet { color: var(--quiet); margin: .2rem 0; } .warn { color: var(--warn); }
article { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1rem 0; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
figure { margin: .8rem 0 0; min-width: 0; } figcaption { color: var(--quiet); }
img { image-rendering: pixelated; display: block; } .wide { overflow-x: auto; }
audio { width: 100%; }
summary { cursor: pointer; } li { overflow-wrap: anywhere; }
"""


def render_page(
    found: Findings,
    samples: Sequence[Sample],
    *,
    title: str,
    description: str = "",
    language: str = "und",
    sampling_rate: int,
    hop_ms: float,
    augmentation: Mapping[str, Any],
) -> str:
    """Writes the page.

    Args:
        found: the figures.
        samples: utterances to look at and to hear.
        title: of the recipe.
        description: of the recipe.
        language: of the transcripts, a BCP 47 tag; `"und"` where it is not known.
        sampling_rate: Hz, of the samples' waveforms.
        hop_ms: time from one frame of the samples' features to the next.
        augmentation: the recipe's keys of augmentation and their values, said above the samples.

    Returns:
        HTML.
    """
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}: what training will see</title><style>{_STYLE}</style></head>",
        f"<body><header><h1>{escape(title)}: what training will see</h1>",
        f"<p>{escape(description)}</p></header><main>",
        _overview(found),
        _faults(found),
        _lengths(found, language),
        _symbols(found, language),
        _speakers(found),
        _batches(found),
        _samples(samples, language, sampling_rate, hop_ms, augmentation),
        "</main></body></html>\n",
    ]
    return "\n".join(parts)


def _overview(found):
    rows = []
    for portion in found.portions:
        low, middle, high = np.quantile(portion.seconds, (0, 0.5, 1))
        rows.append(
            [
                portion.name,
                len(portion.seconds),
                f"{portion.hours:.2f}",
                *(f"{seconds:.2f}" for seconds in (low, middle, high)),
                len(set(portion.speakers) - {None}),
            ]
        )
    heads = ["", "utterances", "hours", "shortest, s", "median, s", "longest, s", "speakers"]
    sounds = [
        [name, rate, channels, count]
        for (name, rate, channels), count in found.portions[0].sounds.most_common()
    ]
    files = _table("Files of training", ["format", "Hz", "channels", "files"], sounds)
    if not sounds:
        files = '<p class="quiet">Features are read, not audio.</p>'
    left_out = f'<p class="quiet">{found.left_out} left out by length.</p>'
    return _section("Overview", _table("Usable utterances", heads, rows) + left_out + files)


def _faults(found):
    total = sum(map(len, found.skipped.values()))
    parts = [f"<p>{total} utterances cannot be used.</p>"]
    for kind, skipped in found.skipped.items():
        heading = f"{SKIPPED_KINDS[kind]}: {len(skipped)}"
        parts.append(_listed(heading, map(str, skipped), len(skipped)))
    if found.clipped:
        heading = f"clipped, {CLIPPED_SHARE:.1%} of the samples at full scale or more"
        lines = (
            f"{each.utterance.where}: {each.sound.clipped_share:.1%}" for each in found.clipped
        )
        parts.append(_listed(f"{heading}: {len(found.clipped)}", lines, len(found.clipped)))
    if found.misdated:
        lines = (
            f"{each.utterance.where}: {each.utterance.duration:g} s stated"
            for each in found.misdated
        )
        heading = f"another duration than the manifest says: {len(found.misdated)}"
        parts.append(_listed(heading, lines, len(found.misdated)))
    return _section("What stands out", "".join(parts))


def _lengths(found, language):
    seconds = histogram(found.portions[0].seconds)
    pace = histogram(found.pace)
    of = {id(each): value for each, value in zip(found.slowest, np.sort(found.pace), strict=False)}
    fastest = zip(found.fastest, np.sort(found.pace)[::-1], strict=False)
    of.update((id(each), value) for each, value in fastest)

    def extremes(caption, examples):
        rows = [
            [each.utterance.where, f"{of[id(each)]:.1f}", _Text(each.text, language)]
            for each in examples
        ]
        return _table(caption, ["utterance", "symbols a second", "text"], rows)

    return _section(
        "Lengths",
        "<h3>Seconds</h3>"
        + histogram_svg(seconds, "Lengths of training utterances", "seconds")
        + "<h3>Symbols a second</h3>"
        + histogram_svg(pace, "Pace of training utterances", "symbols a second")
        + '<p class="quiet">Of what is left after trimming. Far too many or too few: the text may '
        "be another's.</p>"
        + extremes("Slowest", found.slowest)
        + extremes("Fastest", found.fastest),
    )


def _symbols(found, language):
    rare = {*found.rare, *found.unseen}
    items = ""
    for symbol, count in found.symbols.items():
        marked = ' class="rare"' if symbol in rare else ""
        shown = escape(symbol) if symbol.strip() else "space"
        items += (
            f'<li{marked} title="{escape(describe_symbol(symbol))}">'
            f'<span lang="{language}">{shown}</span> {count}</li>'
        )
    lines = [f"<p>{len(found.symbols)} symbols, most frequent first.</p>"]
    for what, symbols in (
        (f"in training fewer than {RARE_COUNT} times", found.rare),
        ("never in training", found.unseen),
    ):
        if symbols:
            named = ", ".join(map(describe_symbol, symbols[:_SHOWN]))
            more = f" and {len(symbols) - _SHOWN} more" if len(symbols) > _SHOWN else ""
            line = f"{len(symbols)} {what}: {named}{more}"
            lines.append(f'<p class="warn">{escape(line)}</p>')
    return _section("Symbols", "".join(lines) + f'<ul class="symbols">{items}</ul>')


def _speakers(found):
    parts = []
    if found.shared_speakers:
        shared = len(found.shared_speakers)
        parts.append(f'<p class="warn">{shared} speakers are both in training and validation.</p>')
    for portion in found.portions:
        nameless = portion.speakers[None]
        known = [(name, count) for name, count in portion.speakers.most_common() if name]
        more = f", {nameless} utterances without one" if nameless else ""
        table = _table(f"Speakers of {portion.name}", ["speaker", "utterances"], known[:_SHOWN])
        parts.append(
            f"<details><summary>{portion.name}: {len(known)} speakers{more}</summary>"
            f"{table if known else ''}</details>"
        )
    return _section("Speakers", "".join(parts))


def _batches(found):
    rows = [
        [each.width, each.batches, each.utterances, f"{each.padding_share:.1%}"]
        for each in found.buckets
    ]
    heads = ["frames", "batches", "utterances", "padding"]
    total = (
        f"<p>{found.padding_share:.1%} of all frames are padding where nothing is stretched: the "
        "widths leave room for the slowest that augmentation can make.</p>"
    )
    return _section("Batches", total + _table("By the width they are padded to", heads, rows))


def _samples(samples, language, sampling_rate, hop_ms, augmentation):
    if not samples:
        return ""
    said = "; ".join(f"{key}: {value}" for key, value in augmentation.items()) or "none"
    parts = [f'<p class="quiet">Augmentation: {escape(said)}</p>']
    for number, sample in enumerate(samples, start=1):
        example = sample.example
        low, high = np.percentile(sample.plain.features, (_DARKEST, _BRIGHTEST))
        limits = (float(low), float(max(high, low + 1e-6)))
        longest = max(len(sample.plain.features), len(sample.augmented.features))
        speaker = f", speaker {example.utterance.speaker}" if example.utterance.speaker else ""
        pair = "".join(
            _figure(
                f"Sample {number}, {what}",
                what,
                hearing,
                limits,
                sampling_rate,
                hop_ms,
                len(hearing.features) / longest,
            )
            for what, hearing in (
                ("as it is", sample.plain),
                ("as the first epoch hears it", sample.augmented),
            )
        )
        parts.append(
            f'<article><h3 lang="{language}">{escape(example.text)}</h3>'
            f'<p class="quiet">{escape(example.utterance.where + speaker)}, {example.frames} '
            f'frames, {len(example.labels)} symbols</p><div class="pair">{pair}</div></article>'
        )
    return _section("Samples", "".join(parts))


def _figure(label, what, hearing: Hearing, limits, sampling_rate, hop_ms, width):
    frames, bins = hearing.features.shape
    seconds = frames * hop_ms / 1000
    alt = (
        f"{label}: features of {seconds:.2f} seconds from left to right, {bins} bins from bottom "
        "to top, bright where strong"
    )
    picture = heat_map_png(hearing.features.T[::-1], *limits)
    height = max(bins, _SMALLEST_PICTURE)
    image = (
        f'<img alt="{escape(alt)}" style="height:{height}px;width:{width:.1%}" '
        f'src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    )
    audio = ""
    if hearing.waveform is not None:
        content = base64.b64encode(_wav(hearing.waveform, sampling_rate)).decode()
        audio = (
            f'<audio controls preload="metadata" aria-label="{escape(label)}" '
            f'src="data:audio/wav;base64,{content}"></audio>'
        )
    caption = f"{what}: {seconds:.2f} s"
    return f"<figure>{image}{audio}<figcaption>{escape(caption)}</figcaption></figure>"


def _wav(waveform, sampling_rate):
    """A 16-bit WAV file's bytes; what is beyond full scale is clipped."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sampling_rate)
        file.writeframes(np.round(np.clip(waveform, -1, 1) * 32767).astype("<i2").tobytes())
    return content.getvalue()


class _Text:
    """A cell with words of the transcripts' language."""

    def __init__(self, text, language):
        self.text, self.language = text, language


def _section(heading, content):
    return f"<section><h2>{heading}</h2>{content}</section>"


def _table(caption, heads, rows):
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value):
    if isinstance(value, _Text):
        return f'<td class="text" lang="{value.language}">{escape(value.text)}</td>'
    return f"<td>{escape(str(value))}</td>"


def _listed(heading, lines, count):
    shown = [line for line, _ in zip(lines, range(_SHOWN), strict=False)]
    items = "".join(f"<li>{escape(line)}</li>" for line in shown)
    more = f"<p>... and {count - _SHOWN} more</p>" if count > _SHOWN else ""
    summary = f'<summary class="warn">{escape(heading)}</summary>'
    return f"<details>{summary}<ul>{items}</ul>{more}</details>"
