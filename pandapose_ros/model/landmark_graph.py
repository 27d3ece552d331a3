"""A landmark net's graph as text, without its weights: stored in files of weights.

So a file of weights contains all that is needed to build a fine-tuned net, without MediaPipe's.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pandapose_ros.model.tflite_graph import Operation, TfliteGraph


def graph_to_text(graph: TfliteGraph) -> str:
    """Describe a graph as text; of its weights, only the shapes.

    Args:
        graph: As `parse_tflite` returns it.

    Returns:
        JSON, the same for the same graph.
    """
    described = {
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "shapes": {str(tensor): graph.shapes[tensor] for tensor in sorted(graph.shapes)},
        "operations": [_described(operation) for operation in graph.operations],
    }
    return json.dumps(described, sort_keys=True, separators=(",", ":"))


def graph_from_text(text: str) -> TfliteGraph:
    """Read a graph that `graph_to_text` wrote; its weights are zeros.

    Raises:
        ValueError: If the text is no such graph.
    """
    try:
        stored = json.loads(text)
        return TfliteGraph(
            operations=tuple(_operation(each) for each in stored["operations"]),
            inputs=tuple(stored["inputs"]),
            outputs=tuple(stored["outputs"]),
            shapes={int(tensor): tuple(shape) for tensor, shape in stored["shapes"].items()},
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"expected the graph of a landmark net; {error!r}") from error


def _described(operation: Operation) -> dict[str, Any]:
    """Describe an operation in types that JSON has."""
    plain = (bool, int, float, str)
    return {
        "kind": operation.kind,
        "inputs": operation.inputs,
        "output": operation.output,
        "options": {k: v for k, v in operation.options.items() if isinstance(v, plain)},
        "constants": [_described_constant(array) for array in operation.constants],
    }


def _described_constant(array: NDArray[Any]) -> dict[str, Any]:
    """Describe weights by their shape; sizes and paddings, which are whole numbers, themselves."""
    if np.issubdtype(array.dtype, np.integer):
        return {"values": array.tolist()}
    return {"shape": array.shape}


def _operation(described: dict[str, Any]) -> Operation:
    """Return the operation that was described."""
    constants = (
        np.array(each["values"], np.int32)
        if "values" in each
        else np.zeros(each["shape"], np.float32)
        for each in described["constants"]
    )
    return Operation(
        kind=described["kind"],
        inputs=tuple(described["inputs"]),
        constants=tuple(constants),
        output=described["output"],
        options=described["options"],
    )
