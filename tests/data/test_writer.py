import dataclasses
import hashlib
import os

import h5py
import numpy as np
import pytest

from neuralop_jax.data import read_info, verify, write_hdf5
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo


def test_round_trip_is_exact(toy):
    assert read_info(toy.path) == toy.info
    with h5py.File(toy.path) as file:
        for split, fields in toy.arrays.items():
            for name, values in fields.items():
                stored = file[split]["t0_fields"][name]
                assert stored.dtype == values.dtype
                np.testing.assert_array_equal(stored[:], values)


def test_layout(toy):
    with h5py.File(toy.path) as file:
        for name, values in toy.arrays["train"].items():
            stored = file[f"train/t0_fields/{name}"]
            assert stored.chunks == (1, *values.shape[1:])
            assert stored.fletcher32
            assert stored.attrs["sha256"].decode() == hashlib.sha256(values.tobytes()).hexdigest()
        assert file["train/t0_fields/velocity"].attrs["unit"] == b"m/s"
        np.testing.assert_array_equal(file["train/dimensions/time"][:], [0.0, 0.1, 0.5])
        np.testing.assert_array_equal(file["train/dimensions/z"][:], [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5])
        assert file["train/boundary_conditions"].attrs["x"] == b"dirichlet"
        assert file["parameters"].attrs["viscosity"] == 0.1


def test_verify_names_every_field(toy):
    assert verify(toy.path) == tuple(
        f"/{split}/t0_fields/{name}" for split in ("train", "test") for name in ("velocity", "heat", "solid")
    )


def test_same_arguments_give_same_bytes(toy, tmp_path):
    write_hdf5(tmp_path / "again.h5", toy.info, toy.arrays)
    assert (tmp_path / "again.h5").read_bytes() == toy.path.read_bytes()


def test_strided_and_big_endian_arrays_are_stored_by_value(tmp_path):
    values = np.arange(24.0).reshape(2, 3, 4)
    info = DatasetInfo("a", "A", (FieldInfo("u"),), {"train": SplitInfo(2, Grid((3, 4)))})
    for name, same in (
        ("fortran", np.asfortranarray(values)),
        ("big", values.astype(">f8")),
        ("strided", np.repeat(values, 2, 2)[..., ::2]),
    ):
        write_hdf5(tmp_path / f"{name}.h5", info, {"train": {"u": same}})
        verify(tmp_path / f"{name}.h5")
        with h5py.File(tmp_path / f"{name}.h5") as file:
            np.testing.assert_array_equal(file["train/t0_fields/u"][:], values)
            assert file["train/t0_fields/u"].dtype == "<f8"


def test_existing_file_is_kept_unless_told(toy):
    before = toy.path.read_bytes()
    with pytest.raises(DataError, match=r"exists.*overwrite=True"):
        write_hdf5(toy.path, toy.info, toy.arrays)
    assert toy.path.read_bytes() == before
    write_hdf5(toy.path, dataclasses.replace(toy.info, title="new"), toy.arrays, overwrite=True)
    assert read_info(toy.path).title == "new"


def test_failed_write_leaves_what_was_there(toy, monkeypatch):
    before = toy.path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write_hdf5(toy.path, toy.info, toy.arrays, overwrite=True)
    assert toy.path.read_bytes() == before
    assert [p.name for p in toy.path.parent.iterdir()] == ["toy.h5"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a["train"]["heat"].__setitem__((2, 1, 3, 0), np.nan),
            r"train/heat holds 1 non-finite values, first at \[2, 1, 3, 0\]",
        ),
        (lambda a: a["train"].update(heat=a["train"]["heat"][1:]), r"train/heat has shape \(6, 3, 4, 6\).*\(7, 3, 4, 6\)"),
        (lambda a: a["train"].update(velocity=a["train"]["velocity"].transpose(0, 2, 3, 1)), r"\(7, 4, 6, 2\).*\(7, 2, 4, 6\)"),
        (lambda a: a["train"].pop("heat"), r"split 'train' has the fields \['solid', 'velocity'\]"),
        (lambda a: a.pop("test"), r"arrays has the splits \['train'\]"),
        (lambda a: a["train"].update(solid=a["train"]["solid"].astype(complex)), "has type complex128"),
    ],
)
def test_refuses_arrays_that_do_not_fit(toy, tmp_path, change, message):
    change(toy.arrays)
    with pytest.raises(DataError, match=message):
        write_hdf5(tmp_path / "new.h5", toy.info, toy.arrays)
    assert [p.name for p in tmp_path.iterdir()] == ["toy.h5"]


@pytest.mark.parametrize("name", ["a/b", "..", "", "ä", "1st"])
def test_refuses_names_that_are_paths(tmp_path, name):
    info = DatasetInfo("a", "A", (FieldInfo(name),), {"train": SplitInfo(1, Grid((3,)))})
    with pytest.raises(DataError, match="cannot be stored"):
        write_hdf5(tmp_path / "new.h5", info, {"train": {name: np.zeros((1, 3))}})


def test_missing_directory(toy, tmp_path):
    with pytest.raises(DataError, match="no such directory"):
        write_hdf5(tmp_path / "no" / "new.h5", toy.info, toy.arrays)
