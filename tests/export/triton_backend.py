"""Stands in for Triton's onnxruntime backend, which no package brings: runs where Triton runs it.

It keeps the states that the onnxruntime backend would hand back to Triton, by sequence; which
requests make a batch, with which controls and what first lies in a state, is Triton's own doing.
"""

import json
import os
import sys

sys.path += os.environ["TRITON_BACKEND_PACKAGES"].split(os.pathsep)

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """What Triton's Python backend calls; its names."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self._session = onnxruntime.InferenceSession(path)
        self._names = [each.name for each in self._session.get_outputs()]
        self._said = [each["name"] for each in config["output"]]
        pairs = config["sequence_batching"]["state"]
        self._next = {each["input_name"]: each["output_name"] for each in pairs}
        self._kept = {}

    def execute(self, requests):
        rows = []
        for request in requests:
            given = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            rows.append(given | self._kept.get(request.correlation_id(), {}))
        feed = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        outputs = dict(zip(self._names, self._session.run(self._names, feed), strict=True))
        print("batch of", len(rows), file=sys.stderr, flush=True)
        answers = []
        for index, request in enumerate(requests):
            row = {name: array[index : index + 1] for name, array in outputs.items()}
            kept = {name: row[after] for name, after in self._next.items()}
            self._kept[request.correlation_id()] = kept
            if rows[index]["end"].item():
                del self._kept[request.correlation_id()]
            said = [triton.Tensor(name, row[name]) for name in self._said]
            answers.append(triton.InferenceResponse(said))
        return answers
