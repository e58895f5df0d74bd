"""The whole-sequence recurrences against loops written out."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ds2.ops import clipped_relu_recurrence, gru_recurrence, recurrence
from keras_ds2.ops.clipped_relu import clipped_relu_few_steps
from keras_ds2.ops.gru import gru_few_steps
from keras_ds2.portable import portable_ops

BATCH, TIME, UNITS = 3, 6, 4
GATES = {clipped_relu_recurrence: 1, gru_recurrence: 3}


@pytest.fixture(scope="module")
def mask():
    """Rows padded at the end, at the start, and with a hole."""
    mask = np.ones((BATCH, TIME), bool)
    mask[0, 4:] = False
    mask[1, 2:4] = False
    mask[2, :2] = False
    return mask


@pytest.fixture(params=["as they come", "turned"])
def _layout(request, monkeypatch):
    """Both ways that arrays lie inside the loops."""
    if request.param == "turned":
        monkeypatch.setattr(recurrence, "_WIDEST_UNTURNED", 0)


def drawn(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def clipped_relu_step(state, x, kernel, max_value=20.0):
    return tf.minimum(tf.nn.relu(x + state @ kernel), max_value)


def gru_step(state, x, kernel, activation=tf.tanh, recurrent_activation=tf.sigmoid):
    x_z, x_r, x_c = tf.split(x, 3, axis=-1)
    u_z, u_r, u_c = tf.split(kernel, 3, axis=-1)
    update = recurrent_activation(x_z + state @ u_z)
    reset = recurrent_activation(x_r + state @ u_r)
    candidate = activation(x_c + reset * (state @ u_c))
    return update * state + (1 - update) * candidate


def written_out(step, inputs, kernels, mask, initial_state):
    """The definition, differentiable by TensorFlow: the states of each direction."""
    directions = []
    for direction, kernel in enumerate(kernels):
        state = initial_state if direction == 0 else tf.zeros_like(initial_state)
        states = [None] * TIME
        for t in range(TIME) if direction == 0 else reversed(range(TIME)):
            new = step(state, inputs[:, t], kernel)
            state = new if mask is None else tf.where(mask[:, t, np.newaxis], new, state)
            states[t] = state
        directions.append(tf.stack(states, axis=1))
    return directions


def arguments(gates, directions, dtype=tf.float64):
    """Inputs, initial state and a kernel for each direction."""
    values = [drawn(BATCH, TIME, gates * UNITS, seed=0), drawn(BATCH, UNITS, seed=1)]
    values += [drawn(UNITS, gates * UNITS, seed=2 + direction) for direction in range(directions)]
    return [tf.cast(value, dtype) for value in values]


def with_gradients(function, *arguments):
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        outputs = function(*arguments)
        loss = tf.add_n(
            [
                tf.reduce_sum(output * drawn(*output.shape, seed=9 + index))
                for index, output in enumerate(outputs)
            ]
        )
    return [*outputs, *tape.gradient(loss, arguments)]


def assert_equal(seen, expected, tolerance):
    for one, other in zip(seen, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("_layout")
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("max_value", [0.7, 20.0])
def test_the_clipped_relu_recurrence_equals_its_definition(mask, directions, masked, max_value):
    mask = tf.constant(mask) if masked else None
    values = arguments(1, directions)
    seen = with_gradients(
        lambda x, h, *u: clipped_relu_recurrence(x, u, mask, max_value, h), *values
    )
    expected = with_gradients(
        lambda x, h, *u: written_out(
            lambda *step: clipped_relu_step(*step, max_value), x, u, mask, h
        ),
        *values,
    )
    states = expected[0].numpy()
    assert (states == 0).any()
    assert (states == max_value).any() == (max_value < 1)
    assert_equal(seen, expected, 1e-12)


@pytest.mark.usefixtures("_layout")
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_the_gru_recurrence_equals_its_definition(mask, directions, masked):
    mask = tf.constant(mask) if masked else None
    values = arguments(3, directions)
    seen = with_gradients(lambda x, h, *u: gru_recurrence(x, u, mask, initial_state=h), *values)
    expected = with_gradients(lambda x, h, *u: written_out(gru_step, x, u, mask, h), *values)
    assert_equal(seen, expected, 1e-12)


@pytest.mark.parametrize("directions", [1, 2])
def test_a_gru_of_other_activations(mask, directions):
    mask = tf.constant(mask)
    values = arguments(3, directions)
    functions = tf.nn.relu, tf.nn.relu6
    seen = with_gradients(lambda x, h, *u: gru_recurrence(x, u, mask, *functions, h), *values)
    expected = with_gradients(
        lambda x, h, *u: written_out(lambda *step: gru_step(*step, *functions), x, u, mask, h),
        *values,
    )
    assert_equal(seen, expected, 1e-12)


@pytest.mark.usefixtures("_layout")
@pytest.mark.parametrize(
    ("run", "step"), [(clipped_relu_recurrence, clipped_relu_step), (gru_recurrence, gru_step)]
)
def test_float32_to_1e_5_and_compiled_with_what_surrounds_it(mask, run, step):
    values = arguments(GATES[run], 2, tf.float32)
    mask = tf.constant(mask)

    def seen(x, h, *u):
        return with_gradients(lambda x, h, *u: run(x, u, mask, initial_state=h), x, h, *u)

    expected = with_gradients(lambda x, h, *u: written_out(step, x, u, mask, h), *values)
    assert_equal(seen(*values), expected, 1e-5)
    assert_equal(tf.function(seen)(*values), expected, 1e-5)
    assert_equal(tf.function(seen, jit_compile=True)(*values), expected, 1e-5)


@pytest.mark.parametrize("run", GATES)
def test_chunks_that_hand_their_state_on_give_the_whole(run):
    inputs, state, kernel = arguments(GATES[run], 1)
    (whole,) = run(inputs, [kernel], initial_state=state)
    chunks = []
    for chunk in tf.split(inputs, [1, 3, 2], axis=1):
        chunks += run(chunk, [kernel], initial_state=state)
        state = chunks[-1][:, -1]
    np.testing.assert_allclose(tf.concat(chunks, axis=1), whole, rtol=1e-12)


@pytest.mark.parametrize("run", GATES)
def test_one_trace_serves_every_shape(run):
    kernel = arguments(GATES[run], 1, tf.float32)[-1]
    traced = tf.function(
        lambda x, mask: run(x, [kernel, kernel], mask),
        input_signature=[
            tf.TensorSpec([None, None, GATES[run] * UNITS]),
            tf.TensorSpec([None, None], tf.bool),
        ],
    )
    for rows, width in ((2, 17), (1, 5), (2, 0)):
        inputs = tf.cast(drawn(rows, width, GATES[run] * UNITS, seed=3), tf.float32)
        every = tf.ones((rows, width), tf.bool)
        assert_equal(traced(inputs, every), run(inputs, [kernel, kernel]), 1e-6)
    assert traced.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("run", GATES)
@pytest.mark.parametrize("directions", [1, 2])
def test_known_shapes_stay_known(run, directions):
    """After a trace of unknown ones too, which serves all."""
    inputs, _, *kernels = arguments(GATES[run], directions, tf.float32)
    for shape in (tf.TensorShape([None, None, inputs.shape[-1]]), inputs.shape):
        traced = tf.function(lambda x: run(x, kernels), input_signature=[tf.TensorSpec(shape)])
        for states in traced.get_concrete_function().structured_outputs:
            assert states.shape.as_list() == [*shape[:2], UNITS]


def test_a_masked_step_hands_the_state_on(mask):
    inputs, _, *kernels = arguments(1, 2)
    first, second = (
        states.numpy() for states in clipped_relu_recurrence(inputs + 1, kernels, tf.constant(mask))
    )
    np.testing.assert_array_equal(first[0, 4], first[0, 3])
    np.testing.assert_array_equal(second[1, 2], second[1, 4])
    assert not first[2, :2].any(), "before the first real step the state is zero"
    assert not second[0, 4:].any()


@pytest.mark.parametrize(
    ("few_steps", "whole"),
    [
        (gru_few_steps, gru_recurrence),
        (clipped_relu_few_steps, clipped_relu_recurrence),
    ],
)
def test_a_few_steps_at_a_time_are_the_whole(few_steps, whole, mask):
    gates = GATES[whole]
    inputs = tf.constant(drawn(BATCH, TIME, gates * UNITS, seed=0), tf.float32)
    kernel = tf.constant(drawn(UNITS, gates * UNITS, seed=1), tf.float32)
    start = state = tf.constant(np.abs(drawn(BATCH, UNITS, seed=2)), tf.float32)
    parts = []
    for steps in (slice(0, 1), slice(1, 5), slice(5, 6)):
        part, state = few_steps(inputs[:, steps], kernel, mask[:, steps], state)
        parts.append(part)
    (expected,) = whole(inputs, [kernel], mask, initial_state=start)
    np.testing.assert_allclose(tf.concat(parts, axis=1), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(state, parts[-1][:, -1])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("run", "step"), [(clipped_relu_recurrence, clipped_relu_step), (gru_recurrence, gru_step)]
)
def test_portable_operations_give_the_same(run, step, masked, mask, monkeypatch):
    monkeypatch.setattr(recurrence, "_BLOCK_STEPS", 4)  # of 6 steps, a block and a half
    inputs, state, *kernels = arguments(GATES[run], 2)
    mask = tf.constant(mask) if masked else None

    @tf.function(input_signature=[tf.TensorSpec([None, None, inputs.shape[-1]], tf.float64)])
    def portable(inputs):
        with portable_ops(fourier_transform=True):
            return run(inputs, kernels, mask, initial_state=state)

    assert_equal(portable(inputs), written_out(step, inputs, kernels, mask, state), 1e-12)
    if not masked:
        assert [states.shape for states in portable(inputs[:, :0])] == [(3, 0, UNITS)] * 2
