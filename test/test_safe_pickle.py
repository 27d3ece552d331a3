import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from pandapose_ros.data.safe_pickle import array_field, field, read_npz_object, read_pickle

PLAIN = {
    "name": "søster",
    "numbers": [1, -2.5, 3 + 4j, None, True, 10**30],
    "set": {1, 2},
    "ordered": OrderedDict(a=(1, b"\x00\xff", b"")),
    "scalar": np.float32(1.5),
    "array": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big": np.arange(3, dtype=">i2"),
    "flags": np.array([True, False]),
    "words": np.array(["a", "bcd"]),
    "objects": np.array([{"x": np.zeros(2)}, None], object),
    "empty": np.zeros((0, 3), np.float32),
}


class Calls:
    """Asks for a call when it is read."""

    def __init__(self, function, *arguments, state=None):
        self.asked = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.asked


def reconstruct():
    return np.zeros(1).__reduce__()[0]


def write(path, value, protocol=4):
    with path.open("wb") as file:
        pickle.dump(value, file, protocol)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_survives(tmp_path, protocol):
    read = read_pickle(write(tmp_path / "plain.pkl", PLAIN, protocol))
    assert list(read) == list(PLAIN)
    for name in ("name", "numbers", "set", "ordered", "scalar"):
        assert read[name] == PLAIN[name]
    for name in ("array", "columns", "big", "flags", "words", "empty"):
        np.testing.assert_array_equal(read[name], PLAIN[name])
        assert read[name].shape == PLAIN[name].shape
    np.testing.assert_array_equal(read["objects"][0]["x"], np.zeros(2))


def test_python_2_is_understood(tmp_path):
    # As Python 2 wrote {'a': numpy.arange(2.0), 'b': '\xe9'}, by hand.
    path = tmp_path / "old.pkl"
    path.write_bytes(
        b"(dp0\nS'a'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\n"
        b"tp4\nS'b'\np5\ntp6\nRp7\n(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\ntp11\n"
        b"Rp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
        b"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?'\np15\ntp16\nbsS'b'\np17\nS'\\xe9'\np18\ns."
    )
    read = read_pickle(path)
    np.testing.assert_array_equal(read["a"], (0.0, 1.0))
    assert read["b"] == "é"


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {mark}",), "system"),
        (eval, ("open({mark!r}, 'w')",), "eval"),
        (getattr, ("", "join"), "getattr"),
        (np.load, ("{mark}",), "load"),
        (bytearray, (10,), "bytearray"),
    ],
)
def test_whatever_could_run_is_named_and_not_run(tmp_path, function, arguments, name, protocol):
    mark = tmp_path / "mark"
    filled = [argument.format(mark=str(mark)) if "mark" in str(argument) else argument
              for argument in arguments]  # fmt: skip
    path = write(tmp_path / "evil.pkl", {"a": [Calls(function, *filled)]}, protocol)
    with pytest.raises(ValueError, match=rf"evil\.pkl.*asks for '.*{name}'"):
        read_pickle(path)
    assert not mark.exists()


def forged(shape, dtype, data, kind=np.ndarray):
    return Calls(reconstruct(), kind, (0,), b"b", state=(1, shape, np.dtype(dtype), False, data))


@pytest.mark.parametrize(
    "value",
    [
        forged((1,), "O", b"8" * 8),  # bytes as pointers to objects
        forged((9,), "f8", b"8"),
        forged((-1,), "f8", b""),
        forged((0,), "f8", b"", kind=list),
        Calls(np.ndarray, (10**6,), np.dtype("O")),
        Calls(np.dtype, "f8,O"),
        np.zeros(2, [("x", "f8"), ("y", "O")]),
        np.array(["2020-01-01"], "datetime64[D]"),
    ],
)
def test_arrays_cannot_be_forged(tmp_path, value):
    with pytest.raises(ValueError, match="plain data"):
        read_pickle(write(tmp_path / "forged.pkl", value))


def test_the_reader_itself_cannot_be_changed(tmp_path):
    path = tmp_path / "forged.pkl"
    # bytes(), whose defaults are to be set as the state of an object's slots.
    path.write_bytes(
        b"\x80\x02cbuiltins\nbytes\nN}X\x0c\x00\x00\x00__defaults__"
        b"X\x04\x00\x00\x00evilX\x06\x00\x00\x00latin1\x86s\x86b."
    )
    with pytest.raises(ValueError, match=r"forged\.pkl .*plain data, got .* with a state"):
        read_pickle(path)
    assert read_pickle(write(tmp_path / "empty.pkl", b"", 2)) == b""


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(PLAIN)[:50]])
def test_broken_files_are_named(tmp_path, content):
    path = tmp_path / "broken.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.pkl"):
        read_pickle(path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pkl"):
        read_pickle(tmp_path / "none.pkl")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        read_npz_object(tmp_path / "none.npz", "data")


def test_objects_of_npz_files(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, data={"S1": [PLAIN, 25]}, other=np.zeros(3))
    read = read_npz_object(path, "data")
    np.testing.assert_array_equal(read["S1"][0]["array"], PLAIN["array"])
    assert read["S1"][1] == 25
    with pytest.raises(ValueError, match=r"'other' is an array \[3\]"):
        read_npz_object(path, "other")
    with pytest.raises(ValueError, match="object 'none'"):
        read_npz_object(path, "none")
    np.savez(path, data={"S1": Calls(os.system, "true")})
    with pytest.raises(ValueError, match=r"asks for '.*system'"):
        read_npz_object(path, "data")
    np.savez_compressed(path, data={"S1": np.random.default_rng(0).random(1000)})
    content = bytearray(path.read_bytes())
    content[200:210] = b"\xff" * 10  # as of a disk that fails
    for broken in (content, b"no"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"data\.npz: expected an npz"):
            read_npz_object(path, "data")


def test_fields_are_checked():
    with pytest.raises(ValueError, match="got no numbers but objects"):
        array_field({"a": np.array([{}], object)}, "a", (1,), "f")
    record = {"a": [[1, 2]], "b": "no"}
    assert array_field(record, "a", (None, 2), "f").tolist() == [[1.0, 2.0]]
    assert field(record, "b", "f") == "no"
    with pytest.raises(
        ValueError, match=r"f: expected field 'a' of shape \['any', 3\], got \[1, 2"
    ):
        array_field(record, "a", (None, 3), "f")
    with pytest.raises(ValueError, match=r"f: expected field 'b' .* got no numbers but str"):
        array_field(record, "b", (2,), "f")
    with pytest.raises(ValueError, match=r"f: expected the field 'c', got only \['a', 'b'\]"):
        array_field(record, "c", (2,), "f")
    with pytest.raises(ValueError, match="f: expected a dict with the field 'a', got list"):
        field([], "a", "f")
