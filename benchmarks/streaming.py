"""Live recognition: what a chunk of some users' speech takes, from samples to logits.

The production model: two 2-D convolutions, three forward-only GRUs, lookahead; `small` is of 512
units for one user, `paper` of 2560 units and 80 steps for more and more users in one batch;
`keras_ds2_int16` reads its recurrent weights in 16 bits. One core unless `--threads` says
otherwise. PyTorch runs the same network on the same chunks, its batch normalisations of the
recurrences left out and its features normalised by a corpus's statistics: somewhat less work.
pocketsphinx, another kind of recogniser, decodes spoken commands with its own model, where it and
eSpeak NG (the extra `demo`), which speaks them, are installed.
"""

import functools
import math

import numpy as np

from benchmarks import _harness
from benchmarks._harness import Case, Contender

RATE, WINDOW, HOP = 16000, 320, 160
CHUNK_MS = 100
FILTERS, RECURRENCES, VOCABULARY_SIZE, MAX_VALUE = 32, 3, 29, 20.0
CONVOLUTIONS = (((11, 41), (2, 2)), ((11, 21), (1, 2)))

SMALL = {"users": 1, "units": 512, "lookahead": 20}
PAPER = {"units": 2560, "lookahead": 80}
QUICK_SMALL = {"users": 1, "units": 32, "lookahead": 4}
QUICK_PAPER = {"units": 64, "lookahead": 8}
USERS = (1, 2, 4, 8)


def cases(quick):
    small, paper = (QUICK_SMALL, QUICK_PAPER) if quick else (SMALL, PAPER)
    sphinx = Contender("pocketsphinx", pocketsphinx, {}, library="pocketsphinx")
    return [
        _case("small", small),
        _case("small_beside_pocketsphinx", small, sphinx),
        *(_case(f"paper_{users}", {"users": users, **paper}) for users in USERS),
    ]


def _case(name, size, *others):
    def facts(medians, _):
        factors = {
            each: float(f"{ms / CHUNK_MS / size['users']:.3g}") for each, ms in medians.items()
        }
        return {
            "real_time_factor_a_user": factors,
            "chunk_real_time_factor": float(f"{medians['keras_ds2'] / CHUNK_MS:.3g}"),
            "waits_for_audio_ms": latency_ms(size["lookahead"]),
        }

    packed = Contender("keras_ds2_int16", ours, {**size, "precision": "int16"})
    peers = others or (packed, Contender("torch", torch_peer, size, library="torch"))
    return Case(
        name=name,
        shapes={**size, "chunk_ms": CHUNK_MS},
        contenders=(
            Contender("keras_ds2", ours, size, role="ours", flops=_flops(**size)),
            *peers,
        ),
        extra=facts,
    )


def _flops(users, units, lookahead):
    steps = CHUNK_MS // 20
    bins, channels, total = WINDOW // 2 + 1, 1, 0
    for (time, width), (_, stride) in CONVOLUTIONS:
        bins = math.ceil(bins / stride)
        total += steps * bins * FILTERS * channels * time * width
        channels = FILTERS
    width = bins * channels
    for _ in range(RECURRENCES):
        total += steps * 3 * units * (width + units)
        width = units
    return 2 * users * (total + steps * units * (lookahead + 1 + VOCABULARY_SIZE))


@functools.cache
def latency_ms(lookahead):
    """How long text lags behind its sound at the most, computing apart: of any units."""
    from keras_ds2.quiet import import_tensorflow

    import_tensorflow()
    return _step(units=1, lookahead=lookahead).latency_ms


def _step(units, lookahead, precision="float32"):
    import keras_ds2
    from keras_ds2.features import FeatureFrontEnd
    from keras_ds2.streaming import StreamingStep

    front_end = FeatureFrontEnd(sampling_rate=RATE, normalization="running")
    front_end.adapt([(_speech(1)[0], RATE)])
    model = keras_ds2.build_model(
        "production",
        vocabulary_size=VOCABULARY_SIZE,
        num_rnn_layers=RECURRENCES,
        units=units,
        lookahead_context=lookahead,
    )
    return StreamingStep(model, front_end, CHUNK_MS, precision=precision)


def _speech(users):
    """A second of noise for each user."""
    return np.random.default_rng(0).normal(0, 0.1, (users, RATE)).astype(np.float32)


def ours(users, units, lookahead, precision="float32"):
    from keras_ds2.streaming import END_UNKNOWN

    step = _step(units, lookahead, precision)
    chunks = _speech(users)[:, : step.chunk_shape[0]]
    states = [step.initial_state() for _ in range(users)]

    def work():
        nonlocal states
        states, _ = step.advance(states, chunks, [END_UNKNOWN] * users)

    return work


def torch_peer(users, units, lookahead):
    import torch
    from torch import nn

    torch.manual_seed(0)
    frames = RATE * CHUNK_MS // 1000 // HOP
    stack, channels, bins = [], 1, WINDOW // 2 + 1
    for kernel_size, strides in CONVOLUTIONS:
        padding = (0, kernel_size[1] // 2)
        stack.append(
            nn.Sequential(
                nn.Conv2d(channels, FILTERS, kernel_size, strides, padding, bias=False),
                nn.BatchNorm2d(FILTERS),
                nn.Hardtanh(0.0, MAX_VALUE),
            )
        )
        channels, bins = FILTERS, math.ceil(bins / strides[1])
    recurrences = nn.GRU(bins * FILTERS, units, RECURRENCES, batch_first=True)
    ahead = nn.Conv1d(units, units, lookahead + 1, groups=units, bias=False)
    logits = nn.Linear(units, VOCABULARY_SIZE)
    for module in (*stack, recurrences, ahead, logits):
        module.eval()
    window = torch.hann_window(WINDOW)
    mean, deviation = torch.zeros(WINDOW // 2 + 1), torch.ones(WINDOW // 2 + 1)
    chunk = torch.from_numpy(_speech(users)[:, : frames * HOP])

    # What each stage keeps of the chunk before, as ours.
    tail = torch.zeros(users, WINDOW - HOP)
    rows = [torch.zeros(users, 1, 9, WINDOW // 2 + 1), None]
    state = torch.zeros(RECURRENCES, users, units)
    past = torch.zeros(users, lookahead, units)

    @torch.inference_mode()
    def work():
        nonlocal tail, state, past
        samples = torch.cat([tail, chunk], dim=1)
        tail = samples[:, -(WINDOW - HOP) :]
        spectrum = torch.fft.rfft(samples.unfold(1, WINDOW, HOP) * window)
        x = torch.log(spectrum.real.square() + spectrum.imag.square() + 1e-14)
        x = ((x - mean) / deviation)[:, None]
        for index, convolution in enumerate(stack):
            (time, _), (stride, _) = CONVOLUTIONS[index]
            if rows[index] is None:
                rows[index] = torch.zeros(users, x.shape[1], time - stride, x.shape[3])
            x = torch.cat([rows[index], x], dim=2)
            rows[index] = x[:, :, -(time - stride) :]
            x = convolution(x)
        x, state = recurrences(x.permute(0, 2, 3, 1).flatten(2), state)
        x = torch.cat([past, x], dim=1)
        past = x[:, -lookahead:]
        logits(ahead(x.transpose(1, 2)).transpose(1, 2))

    return work


def pocketsphinx():
    from pocketsphinx import Decoder

    pieces = _commands()
    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    decoder.start_utt()
    place = 0

    def work():
        nonlocal place
        if place == len(pieces):
            decoder.end_utt()
            decoder.start_utt()
            place = 0
        decoder.process_raw(pieces[place], False, False)
        place += 1

    return work


def _commands():
    """An utterance of some words, in chunks of 16-bit samples."""
    from keras_ds2.audio.synthesis import Synthesizer

    with Synthesizer(RATE) as synthesizer:
        speech = synthesizer.speak("go forward ten meters, turn left, and stop at the second door")
    size = RATE * CHUNK_MS // 1000
    samples = np.round(speech[: len(speech) // size * size] * 32767).astype(np.int16)
    return [piece.tobytes() for piece in samples.reshape(-1, size)]


if __name__ == "__main__":
    parser = _harness.parser(__doc__)
    parser.set_defaults(threads=1)
    arguments = parser.parse_args()
    _harness.run("streaming", cases(arguments.quick), arguments)
