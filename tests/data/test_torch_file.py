import pickle

import ml_dtypes
import numpy as np
import pytest
from torch_pickles import DATA, FLOATS, ONE, ORDERED_DICT, PARAMETER, STATE, dictionary, float32, tensor, text, unpacked

from neuralop_jax.data import _torch_file
from neuralop_jax.data._torch_file import list_torch, read_torch
from neuralop_jax.errors import DataError


def test_columns_of_a_real_file(tmp_path):
    path = tmp_path / "darcy.pt"
    path.write_bytes(unpacked(DATA))
    n = np.arange(24).reshape(2, 3, 4)
    assert list_torch(path) == {"x": ((2, 3, 4), np.dtype(bool)), "y": ((2, 3, 4), np.dtype(np.float64))}
    file = read_torch(str(path))
    np.testing.assert_array_equal(file["x"], n % 3 == 0, strict=True)
    np.testing.assert_array_equal(file["y"], n / 8, strict=True)
    np.testing.assert_array_equal(file["y"][1:2], n[1:2] / 8, strict=True)


def test_parameters_views_and_new_types_of_a_real_file(tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(unpacked(STATE))
    file, base = read_torch(path), np.arange(12).reshape(3, 4).astype(ml_dtypes.bfloat16)
    wanted = {
        "model/weight": np.array([[1.5, -2.0]], np.float32),
        "model/bias": np.array([0.25], np.float32),
        "weight": np.array([[1.5, -2.0]], np.float32),
        "views/0": base,
        "views/1": base[1:, ::2],
        "views/2": base.T,
        "short": np.array([1, 65535], np.uint16),
    }
    assert list(file) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(file[name], values, strict=True)
    assert file.notes == {"step": f"{path}:step is int '7', not a tensor."}
    assert "step" not in file
    with pytest.raises(DataError, match="step is int '7', not a tensor"):
        file["step"]
    with pytest.raises(KeyError):
        file["stop"]


@pytest.mark.parametrize(("name", "dtype"), [(name.removeprefix("torch."), d) for name, d in _torch_file.STORAGES.items()])
def test_every_type(write, name, dtype):
    values = (np.arange(6) * 7 % 5).astype(dtype)
    file = read_torch(write(dictionary({"a": tensor(name, "0", 6, 0, (2, 3), (3, 1))}), values.tobytes()))
    np.testing.assert_array_equal(file["a"], values.reshape(2, 3), strict=True)


def test_offsets_strides_and_shared_storages(write):
    views = {
        "whole": float32(24, 0, (4, 6), (6, 1)),
        "part": float32(24, 7, (3, 2), (6, 2)),
        "columns": float32(24, 0, (2, 3, 4), (1, 2, 6)),
        "repeated": float32(24, 5, (3, 4), (0, 1)),
        "number": float32(24, 23, (), ()),
        "empty": float32(24, 24, (0, 3), (3, 1)),
        "one": float32(24, 23, (1, 1), (2**40, 2**62)),
        "parameter": PARAMETER + float32(24, 0, (3,), (8,)) + b"\x88" + ORDERED_DICT + b"tR",
    }
    file, whole = read_torch(write(dictionary(views), FLOATS.tobytes())), FLOATS.reshape(4, 6)
    wanted = {
        "whole": whole,
        "part": whole[1:, 1:4:2],
        "columns": FLOATS.reshape(4, 3, 2).T,
        "repeated": np.tile(FLOATS[5:9], (3, 1)),
        "number": FLOATS[23],
        "empty": np.zeros((0, 3), np.float32),
        "one": FLOATS[None, 23:],
        "parameter": FLOATS[::8],
    }
    assert list(file) == list(wanted)
    for name, values in wanted.items():
        assert file[name].shape == np.shape(values)
        np.testing.assert_array_equal(np.asarray(file[name]), values)


def test_slices(write):
    array = read_torch(write(float32(24, 0, (4, 6), (1, 4)), FLOATS.tobytes()))["tensor"]
    values = FLOATS.reshape(6, 4).T
    assert (len(array), array.ndim, array.dtype) == (4, 2, np.float32)
    for rows in (slice(1, 3), slice(None), slice(-2, None), slice(2, 99), slice(3, 1)):
        np.testing.assert_array_equal(array[rows], values[rows])
    np.testing.assert_array_equal(array[...], values)
    np.testing.assert_array_equal(np.asarray(array, np.float64), values.astype(float), strict=True)
    assert np.array(array).flags.writeable
    with pytest.raises(IndexError, match=r"array\[start:stop\], not with a step of 2"):
        array[::2]
    with pytest.raises(ValueError, match="without a copy"):
        np.array(array, np.float64, copy=False)


def test_values_stay_in_the_file(write):
    path = write(ONE, FLOATS.tobytes())
    file, place = read_torch(path), path.read_bytes().index(FLOATS.tobytes())
    with open(path, "r+b") as other:
        other.seek(place + 8)
        other.write(np.float32(77).tobytes())
    np.testing.assert_array_equal(file["tensor"][1:4], [1, 77, 3])
    with pytest.raises(ValueError, match="read-only"):
        file["tensor"][:][0] = 1


def test_bytes_that_are_no_booleans_become_true(write):
    values = read_torch(write(tensor("BoolStorage", "0", 4, 0, (4,), (1,)), bytes([0, 1, 2, 255])))["tensor"]
    np.testing.assert_array_equal(values[:], [False, True, True, True], strict=True)
    assert np.asarray(values).view(np.uint8).max() == 1
    number = read_torch(write(tensor("BoolStorage", "0", 4, 3, (), ()), bytes([0, 1, 2, 255])))["tensor"]
    np.testing.assert_array_equal(number[...], np.array(True), strict=True)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_containers_numbers_and_texts_of_all_protocols(write, protocol):
    value = {"a": {"b": 1, 2: [True, None, (1.5, "ν")]}, "n": (-(2**40), 300, 70_000, ""), "": {}}
    file = read_torch(write(pickle.dumps(value, protocol), whole=True))
    shown = {name: note.partition(" is ")[2].removesuffix(", not a tensor.") for name, note in file.notes.items()}
    assert not file
    assert shown == {
        **{"a/b": "int '1'", "a/2/0": "bool 'True'", "a/2/1": "NoneType 'None'", "a/2/2/0": "float '1.5'", "a/2/2/1": "str 'ν'"},
        **{"n/0": "int '-1099511627776'", "n/1": "int '300'", "n/2": "int '70000'", "n/3": "str ''"},
    }


def test_attributes_of_ordered_dictionaries_are_dropped(write):
    state = ORDERED_DICT + b"(" + text("w") + ONE + b"u" + dictionary({"_metadata": ORDERED_DICT}) + b"b"
    assert list(read_torch(write(state, FLOATS.tobytes()))) == ["w"]


def test_tuples_give_numbers_as_names(write):
    assert list(read_torch(write(ONE + ONE + b"\x86", FLOATS.tobytes()))) == ["0", "1"]
