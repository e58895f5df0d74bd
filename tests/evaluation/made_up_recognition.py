"""A made-up recognition: every argument that a picture needs."""

import numpy as np


def made_up_recognition(text, symbols, steps=80, seed=0):
    """Peaks of `text`'s symbols, evenly spread, over blanks; noise for sound and features."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(steps, len(symbols) + 1))
    logits[:, 0] += 8.0
    places = np.linspace(3, steps - 4, len(text)).astype(int)
    for place, symbol in zip(places, text, strict=True):
        logits[place, 1 + symbols.index(symbol)] += 16.0
    return {
        "waveform": generator.uniform(-0.5, 0.5, 320 * steps).astype(np.float32),
        "sampling_rate": 16000,
        "features": generator.normal(size=(2 * steps, 161)).astype(np.float32),
        "log_probs": logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)),
        "symbols": symbols,
        "text": text,
        "step_ms": 20.0,
    }
