import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neuralop_jax.data import DeviceData, HDF5Dataset, batch_indices, grain_batches
from neuralop_jax.training import DeviceInterval, StreamInterval, TrainState, each_sample, make_step, supervised

DATA, NOISE = jax.random.key(3), jax.random.key(4)


def mse(prediction, target):
    return jnp.mean((prediction - target) ** 2)


@pytest.fixture
def numbers(tmp_path):
    """A split of ten samples; sample i is the field that is i everywhere."""
    with h5py.File(tmp_path / "numbers.h5", "w") as file:
        file["u"] = np.broadcast_to(np.arange(10.0)[:, None], (10, 8))
    return HDF5Dataset(tmp_path / "numbers.h5", "train", "u", "u")


def device_data(count):
    fields = jnp.broadcast_to(jnp.arange(float(count))[:, None, None], (count, 1, 8))
    return DeviceData({"u": fields}, fields)


class Seen(eqx.Module):
    """Adds up the fields it is given, through its gradient."""

    total: jax.Array

    def __call__(self, u, *, key=None):
        return self.total * u

    batched = __call__


def summing(model, sample, key):
    """A loss whose gradient is minus the mean of the field, so that gradient descent adds up what it has seen."""
    return -model(sample.inputs["u"]).mean()


class TwoLayers(eqx.Module):
    """v = W tanh(V u) over the points."""

    inner: jax.Array
    outer: jax.Array

    def __call__(self, u, *, key=None):
        return jnp.tanh(u @ self.inner) @ self.outer

    batched = __call__


@pytest.fixture
def start(getkey):
    keys = getkey(), getkey()

    def start():
        model = TwoLayers(*(jax.random.normal(key, (8, 8)) / 8 for key in keys))
        return TrainState.create(model, optax.adam(1e-2), averaged=True)

    return start


def copy(state):
    return jax.tree.map(jnp.copy, state)


def two_layers(**options):
    step = make_step(supervised(mse), optax.adam(1e-2), ema=0.9, micro_batch=2)
    return DeviceInterval(step, device_data(10), 4, DATA, NOISE, **options)


def test_one_interval_equals_many(start):
    """One scan over six steps and scans over three, two and one step agree."""
    wanted, history = two_layers()(start(), 6)
    interval, state, losses = two_layers(), start(), []
    for length in (3, 2, 1):
        state, part = interval(state, length)
        losses.extend(part["loss"])
    np.testing.assert_allclose(losses, history["loss"], rtol=1e-12)
    assert state.step == wanted.step == 6 and history["loss"].shape == (6,)
    for a, b in zip(
        jax.tree.leaves(eqx.filter(state, eqx.is_array)), jax.tree.leaves(eqx.filter(wanted, eqx.is_array)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_the_same_interval_program_repeats_itself_to_the_bit(start):
    first, history = two_layers()(start(), 3)
    again, repeated = two_layers()(start(), 3)
    assert history["loss"].tolist() == repeated["loss"].tolist()
    assert eqx.tree_equal(first, again)


def test_the_given_state_is_used_up(start):
    state = start()
    two_layers()(state, 1)
    assert state.step.is_deleted()


def test_batches_follow_from_the_key_and_the_step():
    step = make_step(each_sample(summing), optax.sgd(1.0))
    interval = DeviceInterval(step, device_data(10), 3, DATA, NOISE)
    state, seen = TrainState.create(Seen(jnp.array(0.0)), optax.sgd(1.0)), []
    state, _ = interval(state, 5)
    for number in range(5):
        seen.append(np.mean(batch_indices(DATA, number, 10, 3)))
        place, batch = interval.batch_of(number)
        assert (
            place == {"indices": batch_indices(DATA, number, 10, 3).tolist()}
            and batch.target[:, 0, 0].tolist() == place["indices"]
        )
    np.testing.assert_allclose(state.model.total, sum(seen), rtol=1e-12)
    assert interval.position() is None and interval.compile_seconds > 0


def test_accumulated_batches_equal_one_big_batch():
    """Two batches of three in one step: the same as a step on their six samples."""
    step = make_step(supervised(mse), optax.adam(0.1))
    interval = DeviceInterval(step, device_data(10), 3, DATA, NOISE, accumulate=2)
    found, history = interval(TrainState.create(Seen(jnp.array(0.5)), optax.adam(0.1)), 3)
    state = TrainState.create(Seen(jnp.array(0.5)), optax.adam(0.1))
    for number in range(3):
        indices = jnp.concatenate([batch_indices(DATA, 2 * number + part, 10, 3) for part in (0, 1)])
        state, metrics = step(state, device_data(10).take(indices), jax.random.key(0))
        np.testing.assert_allclose(history["loss"][number], metrics["loss"], rtol=1e-12)
    np.testing.assert_allclose(found.model.total, state.model.total, rtol=1e-12)
    assert found.step == 3


def test_the_first_step_that_is_not_finite_is_told_and_holds_the_rest():
    loss = each_sample(lambda model, sample, key: jnp.log(5.0 - model.total) + summing(model, sample, key))
    step = make_step(loss, optax.sgd(1.0))
    state, history = DeviceInterval(step, device_data(10), 3, DATA, NOISE)(
        TrainState.create(Seen(jnp.array(0.0)), optax.sgd(1.0)), 8
    )
    first = int(np.argmin(history["finite"]))
    assert 0 < first == state.step and not history["finite"][first:].any() and np.isfinite(state.model.total)


def test_a_stream_takes_the_same_steps(start, numbers):
    """Batches from Grain through the same step: what the loop over its batches gives by hand."""
    step = make_step(supervised(mse), optax.adam(1e-2), ema=0.9, micro_batch=2)
    interval = StreamInterval(step, grain_batches(numbers, 4, seed=1), NOISE)
    state, history = interval(start(), 4)
    by_hand, batches, losses = start(), grain_batches(numbers, 4, seed=1), []
    for number in range(4):
        batch = jax.tree.map(jnp.asarray, next(batches))
        by_hand, metrics = jax.jit(step)(by_hand, batch, jax.random.fold_in(NOISE, number))
        losses.append(metrics["loss"])
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-9)
    assert state.step == 4 and history["finite"].all()


def test_a_stream_goes_on_where_it_was(start, numbers):
    step = make_step(supervised(mse), optax.adam(1e-2), ema=0.9, accumulate=2)
    whole = StreamInterval(step, grain_batches(numbers, 2, seed=1), NOISE, accumulate=2)
    state, _ = whole(start(), 3)
    middle, position = copy(state), whole.position()
    _, wanted = whole(state, 3)
    resumed = StreamInterval(step, grain_batches(numbers, 2, seed=1), NOISE, accumulate=2)
    resumed.resume_at(position)
    _, found = resumed(middle, 3)
    assert found["loss"].tolist() == wanted["loss"].tolist()
    place, batch = whole.batch_of(4)
    resumed.resume_at(place["stream"])
    np.testing.assert_array_equal(batch.target, resumed._next().target)
    again = StreamInterval(step, grain_batches(numbers, 2, seed=1), NOISE, accumulate=2)
    for _ in range(5):
        fifth = again._next()
    np.testing.assert_array_equal(batch.target, fifth.target)
