"""A make-believe device for tests on machines without one: "meta" stands for a GPU.

Tensors on it are computed on the CPU, but marked; what a GPU would refuse is refused.
"""

import torch
from torch.overrides import TorchFunctionMode

FAR = torch.device("meta")


class FarTensor(torch.Tensor):
    """A tensor that claims to be on the far device."""

    @property
    def device(self):
        return FAR


def parts(values):
    """List what lies in nested arguments."""
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, tuple | list):
        return [part for value in values for part in parts(value)]
    return [values]


def marked(value, far):
    """Mark all tensors of a result as far or near."""
    if isinstance(value, torch.Tensor):
        return value.as_subclass(FarTensor if far else torch.Tensor)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(marked(part, far) for part in value))
    if type(value) in (tuple, list) or type(value).__module__ == "torch.return_types":
        return type(value)(marked(part, far) for part in value)
    return value


def near(value):
    """Return nested arguments as the CPU takes them."""
    if isinstance(value, dict):
        return {name: near(part) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(near(part) for part in value)
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.as_subclass(torch.Tensor) if isinstance(value, FarTensor) else value


class FarDevice(TorchFunctionMode):
    """Refuse to mix tensors of both devices, and far ones to leave for numpy."""

    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        given = [part for part in parts((args, kwargs)) if isinstance(part, torch.Tensor)]
        far = [isinstance(part, FarTensor) for part in given]
        if name == "numpy" and any(far):
            raise TypeError("a far tensor cannot become an array; copy it with cpu() first")
        wanted = [part for part in parts((args, kwargs)) if isinstance(part, torch.device)]
        args, kwargs = near(args), near(kwargs)
        moves = name in ("to", "cpu", "as_tensor", "tensor")
        result_far = (wanted[-1] == FAR) if wanted else any(far) and name not in ("cpu", "tolist")
        if any(far) and not moves:
            type(self).calls += 1
            self._refuse_mixtures(name, given, far)
        with torch._C.DisableTorchFunctionSubclass():
            value = func(*args, **kwargs)
        return marked(value, result_far)

    @staticmethod
    def _refuse_mixtures(name, given, far):
        first, rest = far[0], list(zip(given[1:], far[1:], strict=True))
        if name in ("__getitem__", "__setitem__") and first:
            return  # a GPU takes indices from the CPU
        if any(is_far != first and part.dim() for part, is_far in rest) or (
            not first and given[0].dim() and any(far)
        ):
            shapes = [
                (tuple(p.shape), "far" if f else "near") for p, f in zip(given, far, strict=True)
            ]
            raise RuntimeError(f"{name}: tensors on two devices: {shapes}")
