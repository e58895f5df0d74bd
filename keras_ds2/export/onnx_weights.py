"""Weights of ONNX models in fewer bits."""

import numpy as np

_PRODUCTS = ("MatMul", "Gemm", "Conv")

_ZERO = 128  # of weights in uint8
_CONSTANTS = {
    "row_least_span": np.float32(1e-30),
    "row_255th": np.float32(1 / 255),
    "no_zero": np.uint8(0),
    "weight_zero": np.uint8(_ZERO),
}


def halve_weights(model) -> None:
    """Stores in float16 what is multiplied with; casts that run once, at loading, undo it."""
    import onnx

    _capture_what_loops_hand_round(model.graph)
    for graph, tensor in _factors(model, _PRODUCTS):
        name, values = tensor.name, onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_float16"))
        cast = onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast)


def quantize_weights(model) -> None:
    """Stores in eight bits what is multiplied with, each column and filter by a scale of its own.

    Products of matrices are computed in eight bits, each row of their inputs from its own least
    value to its largest, so that no row's outcome depends on the others:

        `x = least + scale q`, so `x W = least (sum of W's rows) + scale (q W)`

    Convolutions are computed in float32. Both factors of a product are uint8, which on x86 without
    VNNI does not overflow, as onnxruntime's products of uint8 by int8 do
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html); its products of
    int8 by int8 are slower than those in float32.
    """
    import onnx

    _capture_what_loops_hand_round(model.graph)
    multiplied = 0
    for graph, tensor in _factors(model, _PRODUCTS):
        name, values = tensor.name, onnx.numpy_helper.to_array(tensor)
        axis = values.ndim - 1 if values.ndim == 2 else 0
        others = tuple(each for each in range(values.ndim) if each != axis)
        scale = np.maximum(np.abs(values).max(axis=others, keepdims=True), 1e-12) / 127.0
        whole = np.round(values / scale)
        stored, scales, sums = f"{name}_whole", f"{name}_scale", f"{name}_sums"
        graph.initializer.append(onnx.numpy_helper.from_array(scale.reshape(-1), scales))
        rewritten = 0
        for each in _graphs(graph):
            rewritten += _multiply_in_int8(each, name, stored, scales, sums)
        if rewritten:
            multiplied += rewritten
            of_columns = whole.sum(axis=0, dtype=np.float32)
            graph.initializer.append(onnx.numpy_helper.from_array(of_columns, sums))
            whole = (whole + _ZERO).astype(np.uint8)
        else:
            whole = whole.astype(np.int8)
            undo = onnx.helper.make_node("DequantizeLinear", [stored, scales], [name], axis=axis)
            graph.node.insert(0, undo)
        tensor.CopyFrom(onnx.numpy_helper.from_array(whole, stored))
    for name, value in _CONSTANTS.items() if multiplied else ():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))


def _multiply_in_int8(graph, name, whole, scale, sums):
    """Rewrites the graph's matrix products with a weight; returns how many."""
    import onnx

    nodes, found = [], 0
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] != name:
            nodes.append(node)
            continue
        found += 1

        def made(kind, inputs, result, stem=node.output[0], **attributes):
            output = f"{stem}_{result}"
            nodes.append(onnx.helper.make_node(kind, inputs, [output], **attributes))
            return output

        given = node.input[0]
        least = made("ReduceMin", [given], "least", axes=[-1], keepdims=1)
        largest = made("ReduceMax", [given], "largest", axes=[-1], keepdims=1)
        span = made("Sub", [largest, least], "span")
        span = made("Max", [span, "row_least_span"], "above_zero")
        row_scale = made("Mul", [span, "row_255th"], "row_scale")
        given = made("Sub", [given, least], "from_least")
        given = made("Div", [given, row_scale], "scaled")
        given = made("Round", [given], "rounded")
        given = made("Cast", [given], "given", to=onnx.TensorProto.UINT8)
        product = made("MatMulInteger", [given, whole, "no_zero", "weight_zero"], "product")
        product = made("Cast", [product], "cast", to=onnx.TensorProto.FLOAT)
        product = made("Mul", [product, row_scale], "product_of_rows")
        below = made("Mul", [least, sums], "below")
        product = made("Add", [product, below], "whole")
        nodes.append(onnx.helper.make_node("Mul", [product, scale], [node.output[0]]))
    if found:
        del graph.node[:]
        graph.node.extend(nodes)
    return found


def _factors(model, products):
    """Each initializer of float32 that is a factor of such a product, with its graph."""
    import onnx

    graphs = list(_graphs(model.graph))
    names = {
        name
        for graph in graphs
        for node in graph.node
        if node.op_type in products
        for name in node.input[:2]  # a third is a bias
    }
    return [
        (graph, tensor)
        for graph in graphs
        for tensor in graph.initializer
        if tensor.name in names and tensor.data_type == onnx.TensorProto.FLOAT
    ]


def _graphs(graph):
    """A graph and those inside it, of loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _capture_what_loops_hand_round(graph):
    """Has loops read from outside what every turn hands on unchanged, weights above all."""
    for node in graph.node:
        if node.op_type != "Loop":
            continue
        (body,) = (attribute.g for attribute in node.attribute if attribute.name == "body")
        same_as = {
            each.output[0]: each.input[0] for each in body.node if each.op_type == "Identity"
        }
        for index in reversed(range(len(node.input) - 2)):
            inside, outside = body.input[index + 2].name, node.input[index + 2]
            handed_on = body.output[index + 1].name
            used = any(node.output[index] in each.input for each in graph.node)
            if used or inside not in (handed_on, same_as.get(handed_on)):
                continue
            for each in body.node:
                names = [outside if name == inside else name for name in each.input]
                each.input[:] = names
            del body.input[index + 2], body.output[index + 1]
            del node.input[index + 2], node.output[index]
