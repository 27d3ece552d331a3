"""ONNX Runtime, without its reports."""

import os
from types import ModuleType


def load_onnxruntime() -> ModuleType:
    """Import ONNX Runtime and return it.

    Since 1.29 it tells its makers, over the network, what it runs and on what machine, and keeps
    an identifier of that machine in ~/.cache. A robot's user has not agreed to that. Read when it
    is loaded, so set here; who sets the variable to 0 has agreed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
