import json

import h5py
import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, check_batch_size, grain_batches
from neuralop_jax.errors import DataError


@pytest.fixture
def dataset(toy):
    return HDF5Dataset(toy.path, "train", "solid", "velocity")


def which(dataset, batch):
    """The indices of the samples in a batch, found by their targets."""
    targets = dataset.read_all().target
    return [int(np.flatnonzero((targets == one).all(axis=(1, 2, 3)))[0]) for one in batch.target]


def test_batches_are_the_samples(dataset):
    batch = next(grain_batches(dataset, 3, seed=0))
    assert batch.target.shape == (3, 2, 4, 6)
    for position, index in enumerate(which(dataset, batch)):
        np.testing.assert_array_equal(batch.inputs["u"][position], dataset[index].inputs["u"])


def test_every_epoch_draws_without_replacement_in_another_order(dataset):
    batches = grain_batches(dataset, 3, seed=0)
    epochs = [which(dataset, next(batches)) + which(dataset, next(batches)) for _ in range(20)]
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 20
    assert set().union(*epochs) == set(range(7))


def test_order_is_fixed_by_the_seed(dataset):
    first, again, other = (grain_batches(dataset, 2, seed) for seed in (5, 5, 6))
    drawn = [[which(dataset, next(batches)) for _ in range(9)] for batches in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("position", [0, 1, 3, 7])
def test_resumes_exactly(dataset, toy, position):
    batches = grain_batches(dataset, 2, seed=1)
    for _ in range(position):
        next(batches)
    state = json.loads(json.dumps(batches.get_state()))
    expected = [next(batches) for _ in range(8)]
    resumed = grain_batches(HDF5Dataset(toy.path, "train", "solid", "velocity"), 2, seed=1)
    next(resumed)
    resumed.set_state(state)
    for batch in expected:
        other = next(resumed)
        np.testing.assert_array_equal(other.target, batch.target)
        np.testing.assert_array_equal(other.inputs["u"], batch.inputs["u"])


def test_position_of_other_batches_is_refused(dataset, toy):
    state = grain_batches(dataset, 2, seed=1).get_state()
    other = HDF5Dataset(toy.path, "train", "solid", "heat")
    for batches, name in (
        (grain_batches(other, 2, seed=1), "dataset"),
        (grain_batches(dataset, 3, seed=1), "batch size 2, now 3"),
        (grain_batches(dataset, 2, seed=2), "seed 1, now 2"),
    ):
        with pytest.raises(DataError, match=f"saved position is of other batches: {name}"):
            batches.set_state(state)


def test_position_that_an_earlier_version_saved_is_taken_up(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = np.arange(6, dtype=np.float32).reshape(2, 3)
    batches = grain_batches(HDF5Dataset(tmp_path / "a.h5", "train", "u", "u"), 1, seed=1)
    first = next(batches).target
    state = batches.get_state() | {"dataset": "103591fa0bdff0e8b232a445c3f50281ff2cfbbd4aacab957355840ec1576b7c"}
    second = next(batches).target
    batches.set_state(state)
    np.testing.assert_array_equal(next(batches).target, second)
    assert sorted([first.sum(), second.sum()]) == [3, 12]


def test_split_smaller_than_the_batch(dataset):
    with pytest.raises(DataError) as error:
        grain_batches(dataset, 16, seed=0)
    assert str(error.value) == (
        "split 'train' has 7 samples, fewer than batch size 16: every epoch would be empty. "
        "Lower --data.batch-size to 7 or add data."
    )
    with pytest.raises(DataError, match=r"^split 'train' has no samples\. Add data\.$"):
        check_batch_size(0, 16)
    with pytest.raises(DataError, match="at least 1, got 0"):
        grain_batches(dataset, 0, seed=0)


def test_damage_during_training_is_reported(dataset, toy):
    batches = grain_batches(dataset, 7, seed=0)
    content = bytearray(toy.path.read_bytes())
    start = content.index(toy.arrays["train"]["velocity"][4].tobytes())
    content[start] ^= 1
    toy.path.write_bytes(content)
    with pytest.raises(DataError, match="corrupt at sample 4"):
        next(batches)
