"""F20: splits that are empty, smaller than a batch, or share samples are refused before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mutated_files import own
from small_problem import write_sines

from neuralop_jax.data import HDF5Dataset, batch_indices, convert, grain_batches, open_source, select, write_hdf5
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo
from neuralop_jax.training import fit, prepare

MESSAGE = r"split 'train' has 6 samples, fewer than batch size 7: every epoch would be empty\. Lower --data\.batch-size to 6"


@pytest.fixture
def dataset(tmp_path):
    own(tmp_path / "x.h5")
    return HDF5Dataset(tmp_path / "x.h5", "train", "a", "u")


def test_f20_fewer_samples_than_a_batch(dataset):
    with pytest.raises(DataError, match=MESSAGE):
        grain_batches(dataset, 7, seed=0)
    with pytest.raises(DataError, match=MESSAGE):
        batch_indices(jax.random.key(0), 0, 6, 7)
    with pytest.raises(DataError, match=MESSAGE):  # at trace time: no program is compiled
        jax.eval_shape(lambda step: batch_indices(jax.random.key(0), step, 6, 7), jnp.array(0))
    assert next(grain_batches(dataset, 6, seed=0)).target.shape == (6, 2, 5, 8)


@pytest.mark.parametrize("size", [0, -1])
def test_f20_batches_of_nothing(dataset, size):
    with pytest.raises(DataError, match=f"the batch size must be at least 1, got {size}"):
        grain_batches(dataset, size, seed=0)


def test_f20_empty_splits_are_not_written(tmp_path):
    info = DatasetInfo("x", "X", (FieldInfo("u"),), {"train": SplitInfo(2, Grid((4,))), "test": SplitInfo(0, Grid((4,)))})
    with pytest.raises(DataError, match="split 'test' is empty. Leave it out, or give it samples."):
        write_hdf5(tmp_path / "x.h5", info, {"train": {"u": np.ones((2, 4))}, "test": {"u": np.ones((0, 4))}})


def test_f20_test_samples_among_the_training_samples(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.random.rand(12, 8), y=np.random.rand(12, 8))
    source = open_source(tmp_path / "x.npz", layout="samples x")
    part = lambda samples: select(source, samples=samples)
    with pytest.raises(DataError, match=r"the splits 'train' and 'test' share the samples 8:10 of .*x\.npz\. Keep them apart"):
        convert({"train": part("0:10"), "test": part("8:12")}, tmp_path / "x.h5")
    convert({"train": part("0:10"), "test": part("10:12")}, tmp_path / "x.h5")


def test_f20_held_out_samples_that_were_trained_on(configure, data_file, tmp_path):
    """In `train`, with both numbers, before anything is compiled or written; taken as they are if asked."""
    write_sines(data_file, among_training=2)
    with pytest.raises(DataError, match=r"2 of 5 samples of 'test_8' have the input of a sample of 'train'\. .*allow\.$"):
        fit(configure(), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert set(prepare(configure(data={"shared_samples": "allow"})).held_out) == {"test_8", "test_16"}
