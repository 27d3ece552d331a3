"""Errors of the device that networks run on, as opposed to errors of one image."""

import contextlib
import gc

import torch

_SIGNS = ("CUDA error", "CUDA driver error", "cuDNN error", "CUBLAS_STATUS", "CUDNN_STATUS")
# PyTorch asks NVML how much there is to tell that memory is lacking; a Jetson has no NVML, and
# neither have some containers.
_NO_MEMORY = "NVML_SUCCESS == r"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device has too little memory left."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY in str(error)


def is_device_fault(error: BaseException) -> bool:
    """Return whether an error means that the device failed, and not that an image was bad."""
    if is_out_of_memory(error):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def reason_of(error: BaseException) -> str:
    """Say why something failed: in the error's words or, if the device failed, with a remedy."""
    if is_device_fault(error):
        return explain_device_fault(error, "the device")
    return str(error) or type(error).__name__


def explain_device_fault(error: BaseException, device: torch.device | str) -> str:
    """Say in one line what failed and what to do about it.

    Args:
        error: For which `is_device_fault` holds.
        device: Where the networks run.
    """
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    if is_out_of_memory(error):
        remedy = "free memory on it, lower max_people, or set device to cpu"
    else:
        remedy = "restart the process, or set device to cpu"
    return f"{device} failed: {first_line} ({remedy})"


def free_device_memory() -> None:
    """Give memory that no tensor holds back to the device."""
    gc.collect()
    if not torch.cuda.is_available():
        return
    # After a CUDA error every call fails, and there is nothing more to be had.
    with contextlib.suppress(RuntimeError):
        torch.cuda.empty_cache()
