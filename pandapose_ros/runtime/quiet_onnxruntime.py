"""ONNX Runtime, without its reports."""

import os
from types import ModuleType


def load_onnxruntime() -> ModuleType:
    """Import ONNX Runtime and return it.

    By default 1.32 keeps an identifier of the machine in ~/.cache, for reports to its makers. A
    robot's user has not agreed to that. The variable is read when it is loaded, so set here; who
    sets it to 0 has agreed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
