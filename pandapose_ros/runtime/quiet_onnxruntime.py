"""ONNX Runtime, without its reports."""

import os
from types import ModuleType


def load_onnxruntime() -> ModuleType:
    """Import ONNX Runtime and return it.

    By default 1.32 keeps an identifier of the machine in ~/.cache, for reports to Microsoft, to
    which a robot's user has not agreed. The variable is read on import, so it is set here; users
    who agree set it to 0.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
