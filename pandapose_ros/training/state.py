"""The state of a training on disk, in safetensors; the metadata hold its configuration."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim import Optimizer

from pandapose_ros.whole_files import replace_file

STATE_FILE = "state.safetensors"
_STEP = "step"
# How many processes share a batch, as `share_of` returns it.
_SHARE, _PROCESSES = "share", "processes"
# What states of older versions lack, at least in part.
_LATER = {"data", _SHARE}


def share_of(processes: int) -> dict[str, dict[str, int]]:
    """Return a state's entry about the processes that share each batch; part of `about`."""
    return {_SHARE: {_PROCESSES: processes}}


def write_state(
    folder: Path, step: int, tensors: Mapping[str, Tensor], about: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the state of a training.

    Args:
        folder: Exists; the state in it is replaced.
        step: Steps done.
        tensors: All that changes from step to step.
        about: By name, the configurations of the training.
    """
    metadata = {name: json.dumps(values) for name, values in about.items()} | {_STEP: str(step)}
    content = save({key: value.contiguous() for key, value in tensors.items()}, metadata)
    replace_file(folder / STATE_FILE, content)


def read_state(
    folder: Path, about: Mapping[str, Mapping[str, Any]]
) -> tuple[int, dict[str, Tensor]]:
    """Read what `write_state` wrote.

    Args:
        folder: Holds the state.
        about: The configurations that the state must have; of the data, only entries in both.

    Returns:
        Steps done, and the tensors.

    Raises:
        FileNotFoundError: If there is no state.
        ValueError: If it is not a state, or of another training; the message names the keys.
    """
    require_started(folder)
    path = folder / STATE_FILE
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    lacking = sorted({_STEP, *about} - _LATER - metadata.keys())
    if lacking:
        raise ValueError(f"{path} lacks the metadata {lacking}; it is not of this program")
    for name, given in about.items():
        if name == _SHARE and name in metadata:
            _check_processes(path, json.loads(metadata[name])[_PROCESSES], given[_PROCESSES])
        elif name in metadata:
            _check_same(path, name, json.loads(metadata[name]), given)
    return int(metadata[_STEP]), tensors


def refuse_started(folder: Path) -> None:
    """Raise ValueError if a folder holds a training's state, which a new one would replace."""
    if (folder / STATE_FILE).is_file():
        raise ValueError(
            f"{folder} holds a training already: go on with it by --resume, or give another --out"
        )


def require_started(folder: Path) -> None:
    """Raise FileNotFoundError if a folder holds no state of a training to go on with."""
    path = folder / STATE_FILE
    if not path.is_file():
        raise FileNotFoundError(f"nothing to resume: no {path}; start without --resume")


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose keys start with a prefix, without it."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def optimizer_tensors(optimizer: Optimizer, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return what an optimiser remembers, as `restore_optimizer` takes it.

    Args:
        optimizer: Has done a step at least.
        parameters: All that it moves, in an order that stays.
    """
    return {
        f"optimizer.{index}.{name}": tensor
        for index, parameter in enumerate(parameters)
        for name, tensor in optimizer.state[parameter].items()
    }


def restore_optimizer(
    optimizer: Optimizer, parameters: Sequence[Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Let an optimiser remember what `optimizer_tensors` returned, where its parameters are.

    Args:
        optimizer: Forgets what it knows.
        parameters: As they were given there.
        tensors: Of a state, on the CPU.
    """
    stored: dict[Tensor, dict[str, Tensor]] = {}
    for key, tensor in under("optimizer.", tensors).items():
        index, name = key.split(".", 1)
        stored.setdefault(parameters[int(index)], {})[name] = tensor
    moved = [p for group in optimizer.param_groups for p in group["params"]]
    state = {number: stored[p] for number, p in enumerate(moved) if p in stored}
    # PyTorch knows what goes where: a fused AdamW reads its count of steps on the GPU, others
    # keep it on the CPU.
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _check_processes(path: Path, stored: int, given: int) -> None:
    """Raise ValueError unless as many go on, as chance is drawn by each process for its part."""
    if stored != given:
        raise ValueError(
            f"{path} is of a training by {stored} processes, this one has {given}: resume it with "
            f"{stored}, or begin another from its weights (--start)"
        )


def _check_same(
    path: Path, name: str, stored: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Raise ValueError unless two configurations agree."""
    given = json.loads(json.dumps(given))  # tuples become lists, as in the file
    both = stored.keys() & given.keys()
    compared = [key for key in {**given, **stored} if key in both or name not in _LATER]
    keys = [key for key in compared if stored.get(key) != given.get(key)]
    differences = "; ".join(f"{k}: expected {given.get(k)}, got {stored.get(k)}" for k in keys)
    if keys:
        raise ValueError(f"{path} is of another {name} configuration: {differences}")
