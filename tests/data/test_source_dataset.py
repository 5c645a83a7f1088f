"""Samples straight from files that are not converted."""

import pickle

import h5py
import numpy as np
import pytest

from neuralop_jax.data import SourceDataset, grain_batches, open_source, select
from neuralop_jax.errors import ConfigError, DataError

U = np.random.default_rng(0).normal(size=(7, 5, 6, 8))


@pytest.fixture(params=["x.npy", "x.npz", "packed.npz", "x.h5"])
def source(request, tmp_path):
    path, layout = tmp_path / request.param, "samples time x y"
    if path.suffix == ".npy":
        np.save(path, U)
    elif path.name == "packed.npz":
        np.savez_compressed(path, u=U)
    elif path.suffix == ".npz":
        np.savez(path, u=U)
    else:
        with h5py.File(path, "w") as file:
            file["u"] = U
    return open_source(path, layout=layout)


def test_samples_equal_the_arrays(source):
    dataset = SourceDataset(select(source, stride=(5, 7), times="1:"), "u", "u", input_time="first", target_time="last")
    assert len(dataset) == 7 and dataset.split == "train" and dataset.grid.shape == (2, 2)
    for index in (0, 3, -1):
        sample = dataset[index]
        np.testing.assert_array_equal(sample.inputs["u"], U[index, 1:2, ::5, ::7].astype(np.float32))
        np.testing.assert_array_equal(sample.target, U[index, -1:, ::5, ::7].astype(np.float32))
        assert sample.target.dtype == np.float32
    order = np.asarray([5, 0, 6])
    np.testing.assert_array_equal(dataset.take(order).target, U[order, -1:, ::5, ::7].astype(np.float32))
    np.testing.assert_array_equal(dataset.read_all().target[:, 0], U[:, -1, ::5, ::7].astype(np.float32))
    with pytest.raises(IndexError):
        dataset[7]


def test_is_sent_to_other_processes_without_its_values(source):
    dataset = SourceDataset(source, "u", "u")
    dataset[0]
    packed = pickle.dumps(dataset)
    assert len(packed) < 6000
    again = pickle.loads(packed)
    np.testing.assert_array_equal(again[6].target, dataset[6].target)
    assert again.fingerprint == dataset.fingerprint


def test_batches_resume(source):
    dataset = SourceDataset(source, "u", "u")
    batches = grain_batches(dataset, 2, seed=0)
    next(batches)
    state = batches.get_state()
    expected = [next(batches) for _ in range(4)]
    resumed = grain_batches(SourceDataset(source, "u", "u"), 2, seed=0)
    resumed.set_state(state)
    for batch in expected:
        np.testing.assert_array_equal(next(resumed).target, batch.target)
    other = grain_batches(SourceDataset(select(source, samples="0:6"), "u", "u"), 2, seed=0)
    with pytest.raises(DataError, match="other batches: dataset"):
        other.set_state(state)


def test_refusals(tmp_path, source):
    with pytest.raises(DataError, match=r"no field 'v'. Found: u \(7, 5, 6, 8\) float64"):
        SourceDataset(source, "u", "v")
    with pytest.raises(ConfigError, match="input_time must be 'all', 'first', 'last' or a range of frames"):
        SourceDataset(source, "u", "u", input_time="middle")
    with pytest.raises(ConfigError, match="at least one field"):
        SourceDataset(source, (), "u")
    bad = np.ones((4, 3))
    bad[2, 1] = np.nan
    np.save(tmp_path / "nan.npy", bad)
    dataset = SourceDataset(open_source(tmp_path / "nan.npy", layout="samples x"), "u", "u")
    np.testing.assert_array_equal(dataset[1].target, np.ones((1, 3)))
    with pytest.raises(DataError, match=r"'u' holds 1 values that are not finite in float32, first at \[2, 1\]"):
        dataset[2]
