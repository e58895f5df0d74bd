"""Weights of another run as the beginning of a new one, its alphabet another or the same."""

import dataclasses
import os
import re

import keras

from keras_ds2.features.front_end import FeatureFrontEnd
from keras_ds2.models.deep_speech_2 import DeepSpeech2
from keras_ds2.recognition.recognizer import load_best_weights
from keras_ds2.recognition.run_folder import RunFolderError, read_configuration
from keras_ds2.text.alphabet import BLANK, Alphabet, describe_symbol

_LOGITS = ("logits/kernel", "logits/bias")
_NO_FEATURES = ("name", "dtype", "trainable")


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What was taken over from another run, and what was not.

    Attributes:
        run: the other run's folder.
        kept: names of the weights taken over, `layer/weight`.
        left: weights that stay at their initial values, each with the reason.
        unused: names of the other run's weights that this model has no place for.
        symbols: symbols whose rows of the logits were taken over, beside the blank.
        new_symbols: symbols that the other alphabet lacks: they begin at their initial values.
        other_features: settings of the features that differ, `name: there, here`.
    """

    run: str
    kept: list[str]
    left: list[str]
    unused: list[str]
    symbols: list[str]
    new_symbols: list[str]
    other_features: list[str]

    def summary(self) -> str:
        """What a person should know of it, a line each."""
        lines = [f"weights from {self.run}: {len(self.kept)} kept, {len(self.left)} left as new"]
        if "logits/kernel" in self.kept:
            lines[0] += f"; {len(self.symbols)} symbols kept, {len(self.new_symbols)} new"
        lines += [f"  left as new: {each}" for each in self.left]
        lines += [f"  not used: {each}" for each in self.unused]
        if self.new_symbols:
            shown = " ".join(map(describe_symbol, self.new_symbols[:40]))
            more = " ..." if len(self.new_symbols) > 40 else ""
            lines.append(f"  new symbols: {shown}{more}")
        lines += [f"  other features (there, here): {each}" for each in self.other_features]
        return "\n".join(lines)


def transfer_weights(
    model: DeepSpeech2, alphabet: Alphabet, front_end: FeatureFrontEnd, run: str | os.PathLike
) -> Transfer:
    """Gives a model the best weights of another run, as far as they fit.

    A weight is kept where layer, name and shape are the same. The logits' weights go from symbol
    to symbol, wherever the symbol stands in either alphabet; the blank is one of them.

    Args:
        model: new; it is changed.
        alphabet: the model's.
        front_end: the model's; only compared.
        run: folder of the other run.

    Returns:
        What was taken over.

    Raises:
        RunFolderError: if the other run cannot be read, or nothing of it fits.
    """
    there = read_configuration(run)
    load_best_weights(there["model"], run)
    found = {_name(weight): weight for weight in there["model"].weights}
    kept, left, symbols = [], [], []
    for weight in model.weights:
        name = _name(weight)
        other = found.pop(name, None)
        if other is None:
            left.append(f"{name}: not in that run")
        elif name in _LOGITS and _inputs(model) == _inputs(there["model"]):
            weight.assign(_by_symbol(weight, alphabet, other, there["alphabet"]))
            kept.append(name)
            symbols = [each for each in alphabet.symbols if each in there["alphabet"]]
        elif name in _LOGITS or weight.shape != other.shape:
            left.append(f"{name}: shape {tuple(other.shape)} there, {tuple(weight.shape)} here")
        else:
            weight.assign(other)
            kept.append(name)
    if not kept:
        raise RunFolderError(
            f"{run}: nothing of it fits this model: expected at least one weight of the same layer "
            "and shape. Give the recipe's model section the numbers of that run; what does not "
            "fit:\n" + "\n".join(f"  {each}" for each in left)
        )
    return Transfer(
        run=os.path.abspath(run),
        kept=kept,
        left=left,
        unused=sorted(found),
        symbols=symbols,
        new_symbols=[each for each in alphabet.symbols if each not in there["alphabet"]],
        other_features=_differences(there["front_end"], front_end),
    )


def _name(weight):
    """`layer/weight`, without the model's name and the numbers that Keras gives to inner layers."""
    _, layer, *inner, last = weight.path.split("/")
    return "/".join([layer, *(re.sub(r"_\d+$", "", each) for each in inner), last])


def _inputs(model):
    return model.logits.kernel.shape[0]


def _by_symbol(weight, alphabet, other, other_alphabet):
    """The new weight's values, with those of the other where a symbol is in both alphabets."""
    values = keras.ops.convert_to_numpy(weight).copy()
    others = keras.ops.convert_to_numpy(other)
    ids = {symbol: index for index, symbol in enumerate(other_alphabet.symbols, start=BLANK + 1)}
    values[..., BLANK] = others[..., BLANK]
    for index, symbol in enumerate(alphabet.symbols, start=BLANK + 1):
        if symbol in ids:
            values[..., index] = others[..., ids[symbol]]
    return values


def _differences(there, here):
    there, here = there.get_config(), here.get_config()
    return [
        f"{key}: {there[key]!r}, {here[key]!r}"
        for key in here
        if key not in _NO_FEATURES and there.get(key) != here[key]
    ]
