"""Weights of ONNX models in fewer bits: graphs of a node or two."""

import numpy as np
import pytest

from keras_ds2.export.onnx_weights import halve_weights, quantize_weights

onnx = pytest.importorskip("onnx", reason="pip install 'keras-ds2[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'keras-ds2[export]'")

DRAWS = np.random.default_rng(0)
WEIGHT = DRAWS.normal(0, 1, (16, 6)).astype(np.float32)


def model(nodes, given, **weights):
    """Of the nodes, from `given`, whose sizes are free, to `found`."""
    value, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "model",
        [value("given", kind, [None] * given)],
        [value("found", kind, [None] * given)],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = onnx.helper.make_opsetid("", 17)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)


def product():
    node = onnx.helper.make_node("MatMul", ["given", "weight"], ["found"])
    return model([node], 3, weight=WEIGHT)


def outcome(written, given):
    session = onnxruntime.InferenceSession(
        written.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"given": given})[0]


def test_a_product_in_int8_is_near():
    quantized = product()
    quantize_weights(quantized)
    onnx.checker.check_model(quantized, full_check=True)
    assert "MatMulInteger" in {node.op_type for node in quantized.graph.node}
    given = DRAWS.normal(0, 1, (2, 5, 16)).astype(np.float32)
    found, expected = outcome(quantized, given), given @ WEIGHT
    assert 0 < np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_a_row_in_int8_does_not_depend_on_its_batch():
    quantized = product()
    quantize_weights(quantized)
    given = DRAWS.normal(0, 1, (3, 5, 16)).astype(np.float32)
    given[1] *= 1e6
    given[2] = 0.0
    found = outcome(quantized, given)
    for row in range(3):
        np.testing.assert_array_equal(found[row], outcome(quantized, given[row : row + 1])[0])
    assert not found[2].any()


def test_the_largest_values_do_not_overflow():
    weight = np.ones((2048, 4), np.float32)
    node = onnx.helper.make_node("MatMul", ["given", "weight"], ["found"])
    quantized = model([node], 2, weight=weight)
    quantize_weights(quantized)
    given = np.full((2, 2048), 3.0, np.float32)
    given[1] *= -1
    np.testing.assert_allclose(outcome(quantized, given), given @ weight, rtol=1e-6)


@pytest.mark.parametrize("rewrite", [halve_weights, quantize_weights])
@pytest.mark.parametrize("kind", ["Gemm", "Conv"])
def test_what_is_added_stays_as_it_is(kind, rewrite):
    bias = DRAWS.normal(0, 1, 6).astype(np.float32)
    weight = WEIGHT if kind == "Gemm" else WEIGHT.T[:, :, np.newaxis].copy()
    node = onnx.helper.make_node(kind, ["given", "weight", "bias"], ["found"])
    rewritten = model([node], 2 if kind == "Gemm" else 3, weight=weight, bias=bias)
    rewrite(rewritten)
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in rewritten.graph.initializer}
    np.testing.assert_array_equal(stored["bias"], bias)
    assert "weight" not in stored
    silence = np.zeros((3, 16) if kind == "Gemm" else (3, 16, 1), np.float32)
    np.testing.assert_array_equal(outcome(rewritten, silence).reshape(3, 6), [bias] * 3)
