"""Held-out samples that are training samples, at the same and at other resolutions."""

import h5py
import numpy as np
import pytest

from neuralop_jax.data import shared_samples, write_hdf5
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo


@pytest.fixture
def file(tmp_path):
    """Two of five held-out samples are training samples; of `fine` one is, on every second point; of `coarse` three."""
    rng = np.random.default_rng(0)
    fine = rng.standard_normal((6, 16, 16))
    train = fine[:, ::2, ::2].copy()
    held_out = rng.standard_normal((5, 8, 8))
    held_out[1], held_out[4] = train[3], train[0]
    splits = {
        "train": train,
        "test": held_out,
        "fine": np.concatenate([fine[2:3], rng.standard_normal((2, 16, 16))]),
        "coarse": np.concatenate([train[:3, ::4, ::4], rng.standard_normal((1, 2, 2))]),
        "odd": rng.standard_normal((2, 9, 9)),
    }
    info = {name: SplitInfo(len(u), Grid(u.shape[1:], boundary=("periodic",) * 2)) for name, u in splits.items()}
    fields = (FieldInfo("a"), FieldInfo("v"))
    arrays = {name: {"a": u, "v": np.zeros_like(u)} for name, u in splits.items()}
    write_hdf5(tmp_path / "x.h5", DatasetInfo("x", "x", fields, info), arrays)
    return tmp_path / "x.h5"


def test_counts(file):
    assert shared_samples(file, "train", "a") == {"test": 2, "fine": 1, "coarse": 3, "odd": None}


def test_every_field_of_the_input_counts(file):
    assert shared_samples(file, "train", ("v", "a"))["test"] == 2
    assert shared_samples(file, "train", "v")["test"] == 5  # all of them are zero


def test_some_splits_alone(file):
    assert shared_samples(file, "train", "a", among=("odd", "fine")) == {"fine": 1, "odd": None}
    assert shared_samples(file, "train", "a", among=()) == {}


def test_values_count_in_float32(tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 8))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["train/a"], file["test/a"] = values, values[:2].astype(np.float32)
    assert shared_samples(tmp_path / "x.h5", "train", "a") == {"test": 2}


def test_unknown_split(file):
    with pytest.raises(DataError, match="has no split 'trian'. Found: .* Did you mean 'train'?"):
        shared_samples(file, "trian", "a")
