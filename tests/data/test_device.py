import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.data import DeviceData, HDF5Dataset, batch_indices
from neuralop_jax.errors import DataError


def test_epochs_are_permutations():
    key = jax.random.key(3)
    steps = jnp.arange(12)
    drawn = np.asarray(jax.vmap(lambda step: batch_indices(key, step, 12, 4))(steps)).reshape(4, 12)
    np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.arange(12), (4, 1)))
    assert len({tuple(epoch) for epoch in drawn.tolist()}) == 4


def test_remainder_is_left_out_but_not_always_the_same():
    key = jax.random.key(0)
    epochs = [set(np.concatenate([batch_indices(key, 2 * e + s, 7, 3) for s in (0, 1)]).tolist()) for e in range(20)]
    assert all(len(epoch) == 6 for epoch in epochs)
    assert set.intersection(*epochs) == set()


def test_batch_is_a_pure_function_of_key_and_step():
    key = jax.random.key(1)
    plain = [batch_indices(key, step, 50, 8) for step in range(20)]
    _, scanned = jax.lax.scan(lambda carry, step: (carry, batch_indices(key, step, 50, 8)), None, jnp.arange(20))
    np.testing.assert_array_equal(jnp.stack(plain), scanned)
    assert not (batch_indices(jax.random.key(2), 0, 50, 8) == plain[0]).all()


def test_number_of_the_step_may_have_any_integer_type():
    key = jax.random.key(0)
    expected = batch_indices(key, 7, 10, 3)
    for kind in (jnp.int32, jnp.uint32, jnp.int64):
        np.testing.assert_array_equal(batch_indices(key, jnp.asarray(7, kind), 10, 3), expected)


def test_arrays_are_those_of_the_split(toy):
    dataset = HDF5Dataset(toy.path, "train", "solid", "velocity")
    data = DeviceData.load(dataset)
    assert data.num_samples == 7
    batch = jax.jit(lambda data, indices: data.take(indices))(data, jnp.array([5, 0]))
    np.testing.assert_array_equal(batch.target[0], dataset[5].target)
    np.testing.assert_array_equal(batch.inputs["u"][1], dataset[0].inputs["u"])
    assert batch.target.dtype == jnp.float32


def test_split_smaller_than_the_batch():
    with pytest.raises(DataError, match=r"has 10 samples, fewer than batch size 16.*--data\.batch-size to 10"):
        batch_indices(jax.random.key(0), 0, 10, 16)
