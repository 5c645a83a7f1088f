import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, describe, open_hdf5, read_info
from neuralop_jax.errors import DataError


def read(path, input="a", target="u"):
    return HDF5Dataset(path, "train", input, target)


@pytest.fixture
def plain(tmp_path):
    """A plain file with the fields a and u, in which a test replaces one."""

    def write(change=lambda file: None):
        path = tmp_path / "x.h5"
        with h5py.File(path, "w") as file:
            file["a"] = np.ones((5, 8))
            change(file)
            if "u" not in list(file):
                file["u"] = np.ones((5, 8))
        return path

    return write


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"no such file: .*none\.h5 \(looked in ") as error:
        read(tmp_path / "none.h5")
    one_line(error)


def test_directory(tmp_path):
    with pytest.raises(DataError, match="is a directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html>", "not an HDF5 file.*<!DOCTYPE html.*web page"),
        (b"\n<html><body>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer.*git lfs pull"),
        (b"\x93NUMPY\x01\x00", "NumPy array.*neuralop-jax data convert"),
        (b"PK\x03\x04abc", "zip archive.*neuralop-jax data convert"),
        (b"MATLAB 5.0 MAT-file", "MATLAB 5.*neuralop-jax data convert"),
        (b"", "is empty"),
        (b"\x89HD", "not an HDF5 file"),
        (bytes(range(200, 256)) * 40, "starts with 'c8 c9"),
    ],
)
def test_not_hdf5_says_what_it_looks_like(tmp_path, content, message):
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read(path)
    one_line(error)


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (self.marker, "w")


@pytest.mark.parametrize("name", ["x.pt", "x.pkl", "x.h5", "x.pth"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickle_is_refused_and_never_run(tmp_path, name, protocol):
    marker = tmp_path / "marker"
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Payload(str(marker)), protocol))
    for function in (read, read_info, describe):
        with pytest.raises(DataError, match="not an HDF5" if name == "x.h5" and protocol == 0 else "pickle-based.*run code"):
            function(path)
    assert not marker.exists()


def test_torch_zip_is_not_hdf5(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(DataError, match="not an HDF5 file.*PyTorch perhaps.*neuralop-jax data convert") as error:
        read(path)
    one_line(error)


def test_truncated_file_names_both_sizes(toy):
    content = toy.path.read_bytes()
    toy.path.write_bytes(content[:-100])
    with pytest.raises(
        DataError, match=f"is truncated: {len(content) - 100:,} bytes on disk, header says {len(content):,}"
    ) as error:
        read(toy.path)
    one_line(error)


def test_truncated_anywhere_is_refused(toy):
    content = toy.path.read_bytes()
    for size in range(0, len(content), 501):
        toy.path.write_bytes(content[:size])
        with pytest.raises(DataError, match="truncated|damaged|not an HDF5 file"):
            HDF5Dataset(toy.path, "train", "velocity", "heat")


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_filters_that_need_no_plugin_are_read(plain, compression):
    values = np.random.default_rng(0).normal(size=(5, 8))
    path = plain(lambda f: f.create_dataset("u", data=values, compression=compression, shuffle=True))
    np.testing.assert_array_equal(read(path).read_all().target[:, 0], values.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.ones((5, 8), complex), "records|complex128"),
        (np.ones((5, 8), [("x", "f4"), ("y", "f4")]), "records"),
        (np.full((5, 8), b"text"), "strings"),
    ],
)
def test_types_that_are_not_numbers(plain, values, kind):
    with pytest.raises(DataError, match=f"u holds ({kind}), wanted real floats"):
        read(plain(lambda f: f.create_dataset("u", data=values)))


def test_lists_strings_and_references_are_refused(plain):
    for kind, name in (
        (h5py.vlen_dtype(np.float64), "lists of varying length"),
        (h5py.string_dtype(), "strings"),
        (h5py.ref_dtype, "references"),
    ):
        with pytest.raises(DataError, match=f"u holds {name}"):
            read(plain(lambda f, kind=kind: f.create_dataset("u", (5, 8), kind)))


def test_file_that_is_being_written(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["u"] = np.ones((5, 8))
        file.flush()
        script = f"from neuralop_jax.data import read_info; read_info({str(tmp_path / 'x.h5')!r})"
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "is being written by another process" in result.stderr


def test_user_block_is_accepted(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=2048) as file:
        file["a"] = np.arange(40.0).reshape(5, 8)
    with open_hdf5(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["a"], np.arange(40.0).reshape(5, 8))
