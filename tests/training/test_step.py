import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neuralop_jax.data import Sample, reflect
from neuralop_jax.models import FNO, Normalized
from neuralop_jax.normalizers import GaussianNormalizer
from neuralop_jax.training import GuardRule, TrainState, each_sample, make_step, supervised


def mse(prediction, target):
    return jnp.mean((prediction - target) ** 2)


class Scale(eqx.Module):
    """v = a u."""

    a: jax.Array

    def __call__(self, u, *, key=None):
        return self.a * u

    batched = __call__


def batch_of(getkey, size=6, points=8):
    u = jax.random.normal(getkey(), (size, 1, points))
    return Sample({"u": u}, jnp.roll(u, 1, -1) ** 2)


@pytest.fixture
def operator(getkey):
    model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=3, depth=1, key=getkey())
    return Normalized(model, GaussianNormalizer([0.3], [2.0]), GaussianNormalizer([1.0], [0.5]))


@pytest.mark.parametrize("micro_batch", [1, 4])
def test_micro_batches_give_the_gradient_of_the_whole_batch(getkey, operator, micro_batch):
    batch, optimizer = batch_of(getkey), optax.sgd(1.0)  # six samples: portions of 1 and of 3, the largest divisor up to 4
    state, key = TrainState.create(operator, optimizer), getkey()
    wanted, metrics = jax.jit(make_step(supervised(mse), optimizer))(state, batch, key)
    found, others = jax.jit(make_step(supervised(mse), optimizer, micro_batch=micro_batch))(state, batch, key)
    for a, b in zip(jax.tree.leaves(found.model), jax.tree.leaves(wanted.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(others["gradient_norm"], metrics["gradient_norm"], rtol=1e-9)


def test_gradient_descent_by_hand(getkey):
    """One step of gradient descent on the mean of (a u - v)^2 over batch and points."""
    batch, optimizer = batch_of(getkey), optax.sgd(0.1)
    state, metrics = make_step(supervised(mse), optimizer)(TrainState.create(Scale(jnp.array(0.7)), optimizer), batch, getkey())
    u, v = np.asarray(batch.inputs["u"]), np.asarray(batch.target)
    slope = np.mean(2 * u * (0.7 * u - v))
    np.testing.assert_allclose(state.model.a, 0.7 - 0.1 * slope, rtol=1e-12)
    np.testing.assert_allclose(metrics["loss"], np.mean((0.7 * u - v) ** 2), rtol=1e-12)
    np.testing.assert_allclose(metrics["gradient_norm"], abs(slope), rtol=1e-12)
    assert state.step == 1


def test_normalizers_are_not_trained(getkey, operator):
    optimizer = optax.adamw(1e-2, weight_decay=0.5)
    state = TrainState.create(operator, optimizer)
    after, _ = jax.jit(make_step(supervised(mse), optimizer))(state, batch_of(getkey), getkey())
    assert eqx.tree_equal(after.model.input, operator.input) and eqx.tree_equal(after.model.output, operator.output)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), after.model.model, operator.model)
    assert all(jax.tree.leaves(moved))
    assert after.opt_state[0].mu.input.mean is None


def test_average_is_the_weighted_mean_of_all_steps(getkey):
    decay, optimizer = 0.9, optax.sgd(0.1)
    step = jax.jit(make_step(supervised(mse), optimizer, ema=decay))
    state, seen = TrainState.create(Scale(jnp.array(5.0)), optimizer, averaged=True), []
    for _ in range(7):
        state, _ = step(state, batch_of(getkey), getkey())
        seen.append(float(state.model.a))
        weights = decay ** np.arange(len(seen))[::-1]
        np.testing.assert_allclose(state.ema.a, np.sum(weights * seen) / np.sum(weights), rtol=1e-12)
    assert state.operator().a == state.ema.a != state.model.a


def test_average_in_single_precision_starts_at_the_first_weights():
    optimizer = optax.sgd(0.1)
    state = TrainState.create(Scale(jnp.array(5.0, jnp.float32)), optimizer, averaged=True)
    batch = Sample({"u": jnp.ones((2, 1, 3), jnp.float32)}, jnp.zeros((2, 1, 3), jnp.float32))
    state, _ = make_step(supervised(mse), optimizer, ema=0.9999)(state, batch, jax.random.key(0))
    assert state.ema.a.dtype == state.model.a.dtype == jnp.float32
    np.testing.assert_allclose(state.ema.a, state.model.a, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_is_not_finite_changes_nothing(getkey, bad):
    optimizer, batch = optax.adam(1e-2), batch_of(getkey)
    step = jax.jit(make_step(supervised(mse), optimizer, ema=0.9, micro_batch=2))
    state, metrics = step(TrainState.create(Scale(jnp.array(0.7)), optimizer, averaged=True), batch, getkey())
    assert metrics["finite"]
    after, metrics = step(state, batch._replace(target=batch.target.at[3, 0, 2].set(bad)), getkey())
    assert not metrics["finite"] and not np.isfinite(metrics["loss"])
    assert eqx.tree_equal(after, state)


def test_a_skipped_step_is_as_if_it_had_not_been(getkey):
    """Weights, optimizer and average are those of the good batches alone; only the steps are counted."""
    optimizer, batches, keys = optax.adam(1e-2), [batch_of(getkey) for _ in range(3)], [getkey() for _ in range(3)]
    step = jax.jit(make_step(supervised(mse), optimizer, ema=0.9, guard=GuardRule(skips_nonfinite=True)))
    start = TrainState.create(Scale(jnp.array(0.7)), optimizer, averaged=True)
    wanted = found = start
    for number, (batch, key) in enumerate(zip(batches, keys)):
        wanted, _ = step(wanted, batch, key)
        if number == 1:
            found, metrics = step(found, batch._replace(target=batch.target * jnp.nan), key)
            assert metrics["skipped"] and not metrics["made"] and found.guard.in_a_row == 1
        found, metrics = step(found, batch, key)
        assert metrics["made"] and not metrics["skipped"]
    assert found.step == 4 and wanted.step == 3 and found.guard.skipped == 1 and found.guard.in_a_row == 0
    for name in ("model", "opt_state", "ema"):
        assert eqx.tree_equal(getattr(found, name), getattr(wanted, name))
    assert found.guard.mean_norm == wanted.guard.mean_norm


def test_an_infinite_gradient_of_a_finite_loss_changes_nothing():
    root = supervised(lambda prediction, target: jnp.sqrt(jnp.sum((prediction - target) ** 2)))
    optimizer, batch = optax.sgd(1.0), Sample({"u": jnp.ones((1, 1, 4))}, jnp.ones((1, 1, 4)))
    state = TrainState.create(Scale(jnp.array(1.0)), optimizer)
    after, metrics = make_step(root, optimizer)(state, batch, jax.random.key(0))
    assert metrics["loss"] == 0 and not metrics["finite"]
    assert eqx.tree_equal(after, state)


def test_augmentation_is_drawn_anew_for_every_sample_and_key(getkey):
    """With u = (0, 1) and the loss v = u[0], the mean loss counts the reflected samples."""
    first = lambda model, sample, key: model(sample.inputs["u"])[0, 0]
    optimizer, size = optax.sgd(0.0), 200
    batch = Sample({"u": jnp.tile(jnp.array([0.0, 1.0]), (size, 1, 1))}, jnp.zeros((size, 1, 2)))
    step = jax.jit(make_step(each_sample(first), optimizer, augment=lambda u, v, *, key: reflect(u, v, key=key)))
    state = TrainState.create(Scale(jnp.array(1.0)), optimizer)
    fractions = [float(step(state, batch, jax.random.key(seed))[1]["loss"]) for seed in (1, 2, 1)]
    assert fractions[0] == fractions[2] != fractions[1]
    assert all(0.35 < fraction < 0.65 for fraction in fractions)


def test_statistics_over_the_mapped_batch(getkey):
    """A loss may look at the whole batch through the axis `"batch"`."""
    spread = lambda model, sample, key: (
        (model(sample.inputs["u"]).mean() - jax.lax.pmean(model(sample.inputs["u"]).mean(), "batch")) ** 2
    )
    optimizer, batch = optax.sgd(0.0), batch_of(getkey)
    _, metrics = make_step(each_sample(spread), optimizer)(TrainState.create(Scale(jnp.array(1.0)), optimizer), batch, getkey())
    np.testing.assert_allclose(metrics["loss"], np.var(np.asarray(batch.inputs["u"]).mean((1, 2))), rtol=1e-12)
