"""What was found in a corpus, on a terminal."""

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keras_ds2.data.checking import SKIPPED_KINDS
from keras_ds2.inspection.findings import CLIPPED_SHARE, RARE_COUNT, Findings
from keras_ds2.inspection.histogram import histogram, text_bars
from keras_ds2.text.alphabet import describe_symbol

_SHOWN = 10
_RANGES = 12


def print_findings(found: Findings, console: Console) -> None:
    """Prints the findings: tables, and what stands out with its place."""
    _print_portions(found, console)
    training = found.portions[0]
    lengths = _table("lengths of training", "seconds", "utterances", "")
    for span, count, bar in text_bars(histogram(training.seconds, _RANGES)):
        lengths.add_row(span, str(count), bar)
    console.print(lengths)
    if training.sounds:
        sounds = _table("files of training", "format", "Hz", "channels", "files")
        for (name, rate, channels), count in training.sounds.most_common():
            sounds.add_row(name, str(rate), str(channels), str(count))
        console.print(sounds)
    _print_symbols(found, console)
    batches = _table("batches of an epoch", "frames", "batches", "utterances", "padding")
    for each in found.buckets:
        batches.add_row(
            str(each.width), str(each.batches), str(each.utterances), f"{each.padding_share:.1%}"
        )
    console.print(batches)
    console.print(f"padding in all: {found.padding_share:.1%} of the frames", highlight=False)
    _print_faults(found, console)


def _print_portions(found, console):
    table = _table("utterances", "", "number", "hours", "shortest", "median", "longest", "speakers")
    for portion in found.portions:
        low, middle, high = np.quantile(portion.seconds, (0, 0.5, 1))
        table.add_row(
            portion.name,
            str(len(portion.seconds)),
            f"{portion.hours:.2f}",
            *(f"{seconds:.2f} s" for seconds in (low, middle, high)),
            str(len(set(portion.speakers) - {None})),
        )
    console.print(table)
    if found.shared_speakers:
        console.print(f"{len(found.shared_speakers)} speakers are in both", highlight=False)
    console.print(f"{found.left_out} left out by length", highlight=False)


def _print_symbols(found, console):
    counts = "  ".join(f"{describe_symbol(s)} {n}" for s, n in list(found.symbols.items())[:40])
    more = f"  and {len(found.symbols) - 40} more" if len(found.symbols) > 40 else ""
    console.print(f"\n{len(found.symbols)} symbols: {escape(counts)}{more}", highlight=False)
    for what, symbols in (
        (f"in training fewer than {RARE_COUNT} times", found.rare),
        ("never in training", found.unseen),
    ):
        if symbols:
            named = ", ".join(map(describe_symbol, symbols[:_SHOWN]))
            more = f" and {len(symbols) - _SHOWN} more" if len(symbols) > _SHOWN else ""
            line = f"{len(symbols)} {what}: {escape(named)}{more}"
            console.print(line, style="yellow", highlight=False)


def _print_faults(found, console):
    total = sum(map(len, found.skipped.values()))
    console.print(f"\n{total} utterances cannot be used", highlight=False)
    for kind, skipped in found.skipped.items():
        _print_some(console, f"{SKIPPED_KINDS[kind]}: {len(skipped)}", skipped)
    if found.clipped:
        _print_some(
            console,
            f"clipped, {CLIPPED_SHARE:.1%} of the samples at full scale or more: "
            f"{len(found.clipped)}",
            [f"{each.utterance.where}: {each.sound.clipped_share:.1%}" for each in found.clipped],
        )
    if found.misdated:
        _print_some(
            console,
            f"another duration than the manifest says: {len(found.misdated)}",
            [
                f"{each.utterance.where}: {each.utterance.duration:g} s stated"
                for each in found.misdated
            ],
        )


def _print_some(console, heading, items):
    console.print(f"  {heading}", style="yellow", highlight=False)
    for each in items[:_SHOWN]:
        console.print(f"    {each}", highlight=False, markup=False, soft_wrap=True)
    if len(items) > _SHOWN:
        console.print(f"    ... and {len(items) - _SHOWN} more", highlight=False)


def _table(title, *columns):
    table = Table(title=f"\n{title}", title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        is_bar = index == len(columns) - 1 and not column
        table.add_column(column, justify="left" if index == 0 or is_bar else "right")
    return table
