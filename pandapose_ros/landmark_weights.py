"""A fine-tuned landmark net on disk: alone, or beside the lifter in a file of weights."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pandapose_ros.model.blazepose import TURN_OUTPUTS, BlazePose
from pandapose_ros.model.landmark_graph import graph_from_text
from pandapose_ros.model.pandapose import BACKBONE_PREFIX
from pandapose_ros.model_files import LANDMARK_NET, find_model_file
from pandapose_ros.whole_files import replace_file

VERIFIER_PREFIX = "verifier."
# Landmark nets that were fine-tuned before 0.6 do not estimate rotations.
_TURNS_KEY = "landmark_turns"
# Without it, a landmark net is made of the file that `pandapose fetch-models` installs.
_GRAPH_KEY = "landmark_graph"
# Older nets without a refiner or a verifier have no such tensors.
_REFINER_PREFIX = "refiner."


def save_backbone(path: Path, net: BlazePose, metadata: dict[str, str]) -> None:
    """Write a fine-tuned landmark net alone, as `load_backbone` reads it."""
    replace_file(path, save(backbone_state(net), metadata | about_backbone(net)))


def open_landmark_net(weights: str | Path = "", model_dir: str | Path = "") -> BlazePose:
    """Open MediaPipe's landmark net, or the fine-tuned one in a file of weights.

    Args:
        weights: A file that `save_weights` or `save_backbone` wrote; empty: none.
        model_dir: Where MediaPipe's file is looked for; see `find_model_file`.

    Raises:
        FileNotFoundError: If a file is missing; the message names the remedy.
        ValueError: If a file is damaged or of another kind.
    """
    metadata = _stored_metadata(Path(weights)) if str(weights) else {}
    if _GRAPH_KEY in metadata:
        net = BlazePose(graph_from_text(metadata[_GRAPH_KEY]))
    else:
        net = BlazePose(find_model_file(LANDMARK_NET, model_dir).read_bytes())
    if str(weights):
        load_backbone(Path(weights), net)
    return net


def has_backbone(path: Path) -> bool:
    """Return whether a file of weights holds those of a fine-tuned landmark net.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a safetensors file.
    """
    return bool(_stored_backbone(path))


def backbone_sha256(path: Path) -> str:
    """Return a digest of the fine-tuned landmark net in a file; empty if it has none."""
    state = _stored_backbone(path)
    return _digest(state) if state else ""


def net_sha256(net: nn.Module) -> str:
    """Return a digest of all weights of a network."""
    return _digest(net.state_dict())


def load_backbone(path: Path, net: BlazePose) -> None:
    """Fill a landmark net with the weights in a file; without any it stays as it is.

    Args:
        path: A file that `save_weights` or `save_backbone` wrote.
        net: Of the same graph.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a safetensors file, of another net, or its weights are not finite;
            the message names keys.
    """
    state = _stored_backbone(path)
    if not state:
        return
    check_finite_weights(path, state)
    net.refiner = net.verifier = None
    if any(key.startswith(_REFINER_PREFIX) for key in state):
        net.add_refiner()
    if any(key.startswith(VERIFIER_PREFIX) for key in state):
        net.add_verifier()
    own = net.state_dict()
    wrong = [
        key
        for key in sorted(own.keys() | state.keys())
        if key not in own or key not in state or own[key].shape != state[key].shape
    ]
    if wrong:
        raise ValueError(
            f"{path} is of another landmark net: {len(wrong)} differ, first {wrong[0]}; give one "
            "that was fine-tuned from this one"
        )
    net.load_state_dict(state)
    net.is_tuned = True
    if _TURNS_KEY not in _stored_metadata(path):
        net.call_everybody_upright()


def check_finite_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Raise ValueError, with their names, if tensors of a file have NaN or infinity."""
    if broken := [key for key, tensor in state.items() if not tensor.isfinite().all()]:
        raise ValueError(
            f"{path} is damaged: its weights are not finite in {broken}; copy or train it anew"
        )


def blend(net: BlazePose, original: BlazePose, share: float) -> None:
    """Move a fine-tuned landmark net's weights towards those that it was fine-tuned from.

    The refiner and the outputs for rotations, which the original lacks, stay as they are; the
    verifier, which would not fit the changed features, is dropped.

    Args:
        net: Is changed.
        original: Of the same graph.
        share: Of the way to go, [0, 1].

    Source:
        Wortsman et al., Robust fine-tuning of zero-shot models (CVPR 2022): between the two, nets
        often do better than either, most of all on images unlike those that they were tuned on.
    """
    if share == 0:
        return
    net.verifier = None
    before = dict(original.named_parameters())
    outputs = list(net.landmark_head().parameters())
    turns = [parameter[list(TURN_OUTPUTS)].detach().clone() for parameter in outputs]
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name in before:
                parameter.lerp_(before[name], share)
        for parameter, kept in zip(outputs, turns, strict=True):
            parameter[list(TURN_OUTPUTS)] = kept


def backbone_state(net: BlazePose) -> dict[str, Tensor]:
    """Return the tensors of a landmark net as they are called in files."""
    state = net.state_dict().items()
    return {f"{BACKBONE_PREFIX}{key}": value.contiguous() for key, value in state}


def about_backbone(net: BlazePose) -> dict[str, str]:
    """Return the metadata of a fine-tuned landmark net."""
    return {_TURNS_KEY: "known", _GRAPH_KEY: net.graph_text}


def _stored_backbone(path: Path) -> dict[str, Tensor]:
    """Return the landmark net's tensors in a file, by their names in the net."""
    with _opened(path) as file:
        keys = [key for key in file.keys() if key.startswith(BACKBONE_PREFIX)]  # noqa: SIM118
        return {key.removeprefix(BACKBONE_PREFIX): file.get_tensor(key) for key in keys}


def _stored_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file."""
    with _opened(path) as file:
        return file.metadata() or {}


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    """Open a safetensors file; raise ValueError if it is not one."""
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; give a file of weights (.safetensors)")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error


def _digest(state: dict[str, Tensor]) -> str:
    """Return a digest of tensors and their names."""
    ordered = {key: state[key].contiguous() for key in sorted(state)}
    return hashlib.sha256(save(ordered)).hexdigest()
