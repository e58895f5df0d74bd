"""One function for all models."""

import difflib
import inspect

from keras_ds2.models import english, mandarin, production
from keras_ds2.models.deep_speech_2 import DeepSpeech2

VARIANTS = {
    "english": english.NUMBERS,
    "mandarin": mandarin.NUMBERS,
    "production": production.NUMBERS,
}


def build_model(variant: str, *, vocabulary_size: int | None = None, **numbers) -> DeepSpeech2:
    """Builds a Deep Speech 2 model.

    Args:
        variant: `"english"` (bidirectional ReLU recurrences), `"mandarin"` (the same with some 6000
            symbols) or `"production"` (forward-only GRU and lookahead).
        vocabulary_size: symbols and blank, `len(alphabet)`; None for the variant's own.
        **numbers: any argument of `DeepSpeech2`, in place of the variant's: `num_bins`,
            `num_conv_layers`, `num_rnn_layers`, `units`, `batch_norm`, `dense_units`,
            `lookahead_context` and the like.

    Returns:
        A `keras.Model` from `{"features", "feature_length"}` to `{"logits", "logit_length"}`.

    Raises:
        ValueError: if the variant or a number's name is unknown, or a number is out of range.

    Example:
        >>> model = keras_ds2.build_model("english", num_rnn_layers=3, units=512)
        >>> model.compile(keras.optimizers.AdamW(1e-3))
        >>> model.fit(dataset, epochs=10)
    """
    if variant not in VARIANTS:
        known = ", ".join(repr(name) for name in VARIANTS)
        raise ValueError(f"build_model: expected a variant of {known}, received {variant!r}.")
    known = list(inspect.signature(DeepSpeech2).parameters)
    for name in numbers:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}."
            raise ValueError(f"build_model: unknown argument {name!r}, {hint}")
    if vocabulary_size is not None:
        numbers["vocabulary_size"] = vocabulary_size
    numbers.setdefault("name", f"deep_speech_2_{variant}")
    return DeepSpeech2(**{**VARIANTS[variant], **numbers})
