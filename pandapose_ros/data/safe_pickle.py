"""Read the pickles that data sets come in, without letting them run anything.

Only containers, numbers, strings and numpy arrays of these are made. What a pickle says of a
numpy array or of its type is checked here and never given to numpy's own unpickling, which
trusts it.
"""

import math
import pickle
import re
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Shape = tuple[int | None, ...]

_PLAIN_TYPE = re.compile(r"[biufc]\d{1,2}|[SU]\d+|O8?|\?")
_NDARRAY = object()  # stands for the class, which only _empty_array is given
# What broken or malicious pickles raise.
_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    zlib.error,
)


class _Maker:
    """Be a function that a pickle can call, but not change, as it could change a function."""

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError(
            f"expected plain data, got {self._make.__name__} with a state"
        )


class _Type:
    """Stand for a numpy type: numbers, booleans, strings or objects."""

    def __init__(self, code: str, *_: object) -> None:
        if not (isinstance(code, str) and _PLAIN_TYPE.fullmatch(code)):
            raise pickle.UnpicklingError(f"expected a plain numpy type, got {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, *structure = state[1:5]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in structure):
            raise pickle.UnpicklingError("expected a plain numpy type, got a structure")
        self.dtype = self.dtype if order == "|" else self.dtype.newbyteorder(order)


class _PlainArray(np.ndarray):
    """Be an array that checks what it is filled with."""

    def __setstate__(self, state: Any, /) -> None:
        _, shape, kind, is_fortran, data = state
        if not (isinstance(kind, _Type) and all(isinstance(n, int) and n >= 0 for n in shape)):
            raise pickle.UnpicklingError("expected an array of a plain type and of a known shape")
        count = math.prod(shape)
        if kind.dtype.hasobject:
            fits = isinstance(data, list) and len(data) == count
        else:
            data = _as_bytes(data)
            fits = len(data) == count * kind.dtype.itemsize
        if not fits:
            raise pickle.UnpicklingError(f"expected an array of {count} elements")
        # numpy's annotation wants a numpy boolean, numpy does not.
        checked = cast(Any, (1, tuple(shape), kind.dtype, bool(is_fortran), data))
        super().__setstate__(checked)


def _as_bytes(data: object) -> bytes:
    """Return bytes; Python 2 wrote them as strings."""
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError(f"expected bytes, got {type(data).__name__}")
    return bytes(data)


def _empty_array(kind: object, shape: object, code: object) -> _PlainArray:
    """Make the array that is filled afterwards."""
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError(f"expected a numpy array, got {kind}, {shape}, {code}")
    return np.ndarray.__new__(_PlainArray, (0,), np.int8)


def _array_from_bytes(data: object, kind: _Type, shape: tuple[int, ...], order: Any) -> Array:
    """Make an array as protocol 5 has it."""
    return np.frombuffer(_as_bytes(data), kind.dtype).reshape(shape, order=order)


def _scalar(kind: _Type, data: object) -> Any:
    """Make a numpy number or string."""
    return np.frombuffer(_as_bytes(data), kind.dtype, count=1)[0]


def _bytes_from_text(text: str = "", encoding: str = "latin1") -> bytes:
    """Make bytes as protocol 2 has them."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"expected bytes as latin1, got {encoding!r}")
    return text.encode("latin1")


def _admitted() -> dict[str, object]:
    """Return what a pickle may name."""
    admitted: dict[str, object] = {
        "collections.OrderedDict": OrderedDict,
        "_codecs.encode": _Maker(_bytes_from_text),
        "numpy.ndarray": _NDARRAY,
        "numpy.dtype": _Type,
    }
    for module in ("builtins", "__builtin__"):
        admitted |= {f"{module}.set": set, f"{module}.frozenset": frozenset}
        admitted |= {f"{module}.complex": complex, f"{module}.bytes": _Maker(_bytes_from_text)}
    for module in ("numpy.core", "numpy._core"):
        admitted[f"{module}.multiarray._reconstruct"] = _Maker(_empty_array)
        admitted[f"{module}.multiarray.scalar"] = _Maker(_scalar)
        admitted[f"{module}.numeric._frombuffer"] = _Maker(_array_from_bytes)
    return admitted


class _Unpickler(pickle.Unpickler):
    """Make nothing but what `_ADMITTED` names."""

    _ADMITTED = _admitted()

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in self._ADMITTED:
            raise pickle.UnpicklingError(
                f"it asks for '{name}'; only containers, numbers, strings and numpy arrays are "
                "admitted"
            )
        return self._ADMITTED[name]


def read_pickle(path: Path) -> Any:
    """Read a pickle of containers, numbers, strings and numpy arrays.

    Args:
        path: The file; strings of Python 2 are taken as latin1.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else (names it) or is no pickle.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; expected a pickle of the data set's labels")
    with path.open("rb") as file:
        return _load(file, str(path))


def read_npz_object(path: Path, name: str) -> Any:
    """Read an object of an npz file, of containers, numbers, strings and numpy arrays.

    Args:
        path: The file.
        name: Of the array in it that holds the object and has no dimensions.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no npz file, lacks the array, or it holds anything else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; expected an npz of the data set's labels")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
            if shape != () or not dtype.hasobject:
                raise ValueError(f"'{name}' is an array {list(shape)} of {dtype}, not an object")
            return _load(file, str(path)).item()
    except (*_ERRORS, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected an npz with the object '{name}': {error}") from error


def _load(file: IO[bytes], place: str) -> Any:
    """Read a pickle."""
    try:
        return _Unpickler(file, encoding="latin1").load()
    except _ERRORS as error:
        raise ValueError(f"{place} cannot be read as a pickle of plain data: {error}") from error


def array_field(record: object, name: str, shape: Shape, place: str) -> Array:
    """Return the numbers that a label holds in a field.

    Args:
        record: A dictionary.
        name: Of the field.
        shape: As expected; None stands for any length.
        place: The file and where in it, for messages.

    Returns:
        float64 of that shape.

    Raises:
        ValueError: If the field is missing, holds no numbers, or is of another shape; names the
            place, the field and what was expected.
    """
    expected = f"field '{name}' of shape {['any' if n is None else n for n in shape]}"
    value = field(record, name, place)
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        got = "objects" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{place}: expected {expected}, got no numbers but {got}") from None
    fits = array.ndim == len(shape) and all(
        n in (None, m) for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{place}: expected {expected}, got {list(array.shape)}")
    return array


def check_finite(values: Array, name: str, places: Sequence[str]) -> None:
    """Refuse numbers that are NaN or infinite.

    Args:
        values: [N, ...].
        name: Of the field that they are of.
        places: For messages, the files and where in them the N are.

    Raises:
        ValueError: If there are such; names the first place and the field.
    """
    known = np.atleast_1d(np.isfinite(values).all(axis=tuple(range(1, values.ndim))))
    if not known.all():
        raise ValueError(
            f"{places[int(np.argmin(known))]}: expected finite numbers in field '{name}', got NaN "
            f"or infinity there, and in {(~known).sum()} of {len(known)} places in all"
        )


def field(record: object, name: str, place: str) -> Any:
    """Return what a label holds in a field.

    Args:
        record: A dictionary.
        name: Of the field.
        place: The file and where in it, for messages.

    Raises:
        ValueError: If the label is no dictionary or lacks the field; names both.
    """
    if not isinstance(record, dict):
        raise ValueError(
            f"{place}: expected a dict with the field '{name}', got {type(record).__name__}"
        )
    if name not in record:
        raise ValueError(
            f"{place}: expected the field '{name}', got only {sorted(map(str, record))}"
        )
    return record[name]
