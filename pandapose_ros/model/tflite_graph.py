"""Reads a TFLite file into plain Python, without an interpreter: operations, weights, shapes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# TensorType of the TFLite schema.
_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32}


@dataclass(frozen=True)
class Operation:
    """Describe one operation of the graph.

    Attributes:
        kind: Name in the TFLite schema, such as "CONV_2D".
        inputs: Tensors that it reads and that other operations compute.
        constants: Arrays that it reads (weights, sizes), in the schema's order and layout.
        output: The tensor that it computes.
        options: Its options by the schema's names, such as {"strideW": 2, ...}.
    """

    kind: str
    inputs: tuple[int, ...]
    constants: tuple[NDArray[Any], ...]
    output: int
    options: dict[str, Any]


@dataclass(frozen=True)
class TfliteGraph:
    """Hold a network as operations in an order in which they can run.

    Tensors are known by their number in the file. Shapes are the file's: NHWC, batch 1.

    Attributes:
        operations: Every operation, each after those whose results it reads.
        inputs: Tensors that the caller provides.
        outputs: Tensors that the file declares as results.
        shapes: Shape of each tensor.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: dict[int, tuple[int, ...]]

    def needed_for(self, tensors: tuple[int, ...]) -> tuple[Operation, ...]:
        """Return, in order, the operations on which some tensors depend."""
        wanted, kept = set(tensors), []
        for operation in reversed(self.operations):
            if operation.output in wanted:
                wanted.update(operation.inputs)
                kept.append(operation)
        return tuple(reversed(kept))


def parse_tflite(content: bytes) -> TfliteGraph:
    """Read a network out of the bytes of a TFLite file.

    Weights stored as float16 come out as float32, as the interpreter computes with them.

    Args:
        content: The whole file.

    Returns:
        The graph.

    Raises:
        ValueError: If the bytes are not a TFLite file, or are one with several graphs, sparse
            weights, or operations with several results.
    """
    # Imported only here: a network whose graph is in its weights does not need LiteRT.
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise ValueError("expected the bytes of a TFLite file (TFL3 at byte 4)")
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if len(model.subgraphs) != 1:
        raise ValueError(f"expected a TFLite file with one graph, got {len(model.subgraphs)}")
    graph = model.subgraphs[0]
    constants = _constants(graph.tensors, model.buffers)
    return TfliteGraph(
        operations=_operations(graph.operators, _kinds(model, schema), constants),
        inputs=tuple(int(index) for index in graph.inputs),
        outputs=tuple(int(index) for index in graph.outputs),
        shapes={
            index: tuple(int(size) for size in tensor.shape)
            for index, tensor in enumerate(graph.tensors)
            if tensor.shape is not None
        },
    )


def _kinds(model: Any, schema: Any) -> list[str]:
    """Return the schema's name of each operator code in the file."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    return [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]


def _operations(
    operators: list[Any], kinds: list[str], constants: dict[int, NDArray[Any]]
) -> tuple[Operation, ...]:
    """Return the operations; constants that are only dequantised are added to `constants`."""
    operations = []
    for operator in operators:
        kind = kinds[operator.opcodeIndex]
        inputs = tuple(int(index) for index in operator.inputs)
        if len(operator.outputs) != 1:
            raise ValueError(f"{kind} with {len(operator.outputs)} results is not supported")
        output = int(operator.outputs[0])
        if kind == "DEQUANTIZE" and inputs[0] in constants:
            constants[output] = constants[inputs[0]].astype(np.float32)
            continue
        operations.append(
            Operation(
                kind=kind,
                inputs=tuple(index for index in inputs if index not in constants),
                constants=tuple(constants[index] for index in inputs if index in constants),
                output=output,
                options=dict(vars(operator.builtinOptions)) if operator.builtinOptions else {},
            )
        )
    return tuple(operations)


def _constants(tensors: list[Any], buffers: list[Any]) -> dict[int, NDArray[Any]]:
    """Return the arrays that the file stores, by the number of their tensor."""
    constants: dict[int, NDArray[Any]] = {}
    for index, tensor in enumerate(tensors):
        stored = buffers[tensor.buffer].data
        if stored is None or len(stored) == 0:
            continue
        if tensor.sparsity is not None or tensor.type not in _DTYPES:
            raise ValueError(
                f"tensor {tensor.name} is sparse or of type {tensor.type}; expected dense "
                "float32, float16 or int32"
            )
        shape = () if tensor.shape is None else tuple(tensor.shape)
        constants[index] = np.frombuffer(bytes(stored), _DTYPES[tensor.type]).reshape(shape)
    return constants
