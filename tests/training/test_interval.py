import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neuralop_jax.data import DeviceData, Sample, batch_indices, grain_batches
from neuralop_jax.models import FNO
from neuralop_jax.training import DeviceInterval, StreamInterval, TrainState, make_step, supervised

DATA, NOISE = jax.random.key(3), jax.random.key(4)


def mse(prediction, target):
    return jnp.mean((prediction - target) ** 2)


class Numbers:
    """Sample i is the field that is i everywhere."""

    split, fingerprint = "train", "numbers"

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return Sample({"u": np.full((1, 8), float(index))}, np.full((1, 8), float(index)))


def device_data(count):
    fields = jnp.broadcast_to(jnp.arange(float(count))[:, None, None], (count, 1, 8))
    return DeviceData({"u": fields}, fields)


class Seen(eqx.Module):
    """Adds up the fields it is given, through its gradient."""

    total: jax.Array

    def __call__(self, u, *, key=None):
        return self.total * u


def summing(model, sample, key):
    """A loss whose gradient is minus the mean of the field, so that gradient descent adds up what it has seen."""
    return -model(sample.inputs["u"]).mean()


@pytest.fixture
def start(getkey):
    model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=getkey())
    return lambda: jax.tree.map(
        lambda x: jnp.copy(x) if eqx.is_array(x) else x, TrainState.create(model, optax.adam(1e-2), averaged=True)
    )


def fno_interval(**options):
    step = make_step(supervised(mse), optax.adam(1e-2), ema=0.9, micro_batch=2)
    return DeviceInterval(step, device_data(10), 4, DATA, NOISE, **options)


def test_one_interval_equals_many(start):
    """The scan of six steps, two scans of three, and a loop over single steps agree to the bit."""
    wanted, history = fno_interval()(start(), 6)
    interval, state, losses = fno_interval(), start(), []
    for length in (3, 2, 1):
        state, part = interval(state, length)
        losses.extend(part["loss"])
    np.testing.assert_allclose(losses, history["loss"], rtol=1e-12)
    assert state.step == wanted.step == 6 and history["loss"].shape == (6,)
    for a, b in zip(jax.tree.leaves(eqx.filter(state, eqx.is_array)), jax.tree.leaves(eqx.filter(wanted, eqx.is_array)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_the_same_interval_program_repeats_itself_to_the_bit(start):
    first, history = fno_interval()(start(), 3)
    again, repeated = fno_interval()(start(), 3)
    assert history["loss"].tolist() == repeated["loss"].tolist()
    assert eqx.tree_equal(first, again)


def test_the_given_state_is_used_up(start):
    state = start()
    fno_interval()(state, 1)
    assert state.step.is_deleted()


def test_batches_follow_from_the_key_and_the_step():
    step = make_step(summing, optax.sgd(1.0))
    interval = DeviceInterval(step, device_data(10), 3, DATA, NOISE)
    state, seen = TrainState.create(Seen(jnp.array(0.0)), optax.sgd(1.0)), []
    state, _ = interval(state, 5)
    for number in range(5):
        seen.append(np.mean(batch_indices(DATA, number, 10, 3)))
        assert interval.batch_of(number) == {"indices": batch_indices(DATA, number, 10, 3).tolist()}
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
    step = make_step(lambda model, sample, key: jnp.log(5.0 - model.total) + summing(model, sample, key), optax.sgd(1.0))
    state, history = DeviceInterval(step, device_data(10), 3, DATA, NOISE)(TrainState.create(Seen(jnp.array(0.0)), optax.sgd(1.0)), 8)
    first = int(np.argmin(history["finite"]))
    assert 0 < first == state.step and not history["finite"][first:].any() and np.isfinite(state.model.total)


def test_a_stream_takes_the_same_steps(start):
    """Batches from Grain through the same step: what the loop over its batches gives by hand."""
    step = make_step(supervised(mse), optax.adam(1e-2), ema=0.9, micro_batch=2)
    interval = StreamInterval(step, grain_batches(Numbers(10), 4, seed=1), NOISE)
    state, history = interval(start(), 4)
    by_hand, batches, losses = start(), grain_batches(Numbers(10), 4, seed=1), []
    for number in range(4):
        batch = jax.tree.map(jnp.asarray, next(batches))
        by_hand, metrics = jax.jit(step)(by_hand, batch, jax.random.fold_in(NOISE, number))
        losses.append(metrics["loss"])
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-9)
    assert state.step == 4 and history["finite"].all()


def test_a_stream_goes_on_where_it_was(start):
    step = make_step(supervised(mse), optax.adam(1e-2), ema=0.9)
    whole = StreamInterval(step, grain_batches(Numbers(10), 2, seed=1), NOISE, accumulate=2)
    state, _ = whole(start(), 3)
    middle, position = jax.tree.map(lambda x: jnp.copy(x) if eqx.is_array(x) else x, state), whole.position()
    _, wanted = whole(state, 3)
    resumed = StreamInterval(step, grain_batches(Numbers(10), 2, seed=1), NOISE, accumulate=2)
    resumed.resume_at(position)
    _, found = resumed(middle, 3)
    assert found["loss"].tolist() == wanted["loss"].tolist()
    assert whole.batch_of(4) == {"stream_before_interval": position}
