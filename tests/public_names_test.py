"""Every public name can be had and says what it is."""

import importlib
import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest

import keras_ds2

CHECKOUT = Path(__file__).resolve().parents[1]
ROOMS = ("layers", "losses", "ops")


def documented(thing):
    """Whether a class, function or module has words of its own, not its parent's."""
    words = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    return bool(words and words.strip())


@pytest.mark.parametrize("name", keras_ds2.__all__)
def test_a_name_is_there_and_documented(name):
    thing = getattr(keras_ds2, name)
    if name == "__version__":
        assert thing.count(".") >= 1
        return
    assert documented(thing)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert thing.__name__ == name


@pytest.mark.parametrize("room", ROOMS)
def test_the_names_of_a_room(room):
    module = getattr(keras_ds2, room)
    assert isinstance(module, types.ModuleType)
    names = getattr(module, "__all__", None) or [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and not isinstance(thing, types.ModuleType)
    ]
    assert names
    for name in names:
        thing = getattr(module, name)
        assert documented(thing), name
        assert thing.__module__.startswith(f"keras_ds2.{room}."), name


def test_what_the_readers_are_promised():
    layers = keras_ds2.layers
    arguments = {
        layers.SequenceBatchNorm: ("momentum", "epsilon", "center", "scale"),
        layers.ClippedReLU: ("max_value",),
        layers.ClippedReLURNNCell: ("units", "max_value"),
        layers.ClippedReLURNN: ("units", "bidirectional", "batch_norm", "max_value"),
        layers.SequenceNormGRU: ("units", "bidirectional", "batch_norm"),
        layers.LookaheadConv1D: ("context",),
        layers.MaskedConv2D: ("filters", "kernel_size", "strides"),
        keras_ds2.ops.ctc_loss: ("labels", "logits", "label_length", "logit_length"),
    }
    for thing, expected in arguments.items():
        parameters = list(inspect.signature(thing).parameters)
        assert tuple(parameters[: len(expected)]) == expected, thing


def test_dir_lists_them_and_an_unknown_one_is_an_error():
    assert dir(keras_ds2) == sorted(keras_ds2.__all__)
    with pytest.raises(AttributeError, match="module 'keras_ds2' has no attribute 'nonsense'"):
        keras_ds2.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, keras_ds2; print(sorted({'keras', 'numpy', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((CHECKOUT / "keras_ds2").rglob("*.py"))
        if "recipes_data" not in path.parts
    ],
    ids=lambda path: path.relative_to(CHECKOUT).as_posix(),
)
def test_every_module_can_be_imported_and_says_what_it_is(path):
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    name = ".".join(parts).removesuffix(".__init__")
    assert documented(importlib.import_module(name))
