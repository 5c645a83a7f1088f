import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neuralop_jax import losses, metrics
from neuralop_jax.grids import Grid

NORMS = sorted(set(losses.LOSSES) - {"cross_entropy"})
GRID = Grid((6, 5), ((0.0, 2.0), (0.0, 1.0)), ("periodic", "dirichlet"))


def test_all_channels_count_together(getkey):
    prediction, target = jax.random.normal(getkey(), (2, 3, 6, 5))
    e, y = np.asarray(prediction - target), np.asarray(target)
    np.testing.assert_allclose(losses.relative_l2(prediction, target), np.linalg.norm(e) / np.linalg.norm(y), rtol=1e-12)
    np.testing.assert_allclose(losses.mse(prediction, target), np.mean(e**2), rtol=1e-12)
    joint = metrics.relative_h1(prediction, target, GRID, joint=True)[0]
    np.testing.assert_allclose(losses.relative_h1(prediction, target, GRID), joint, rtol=1e-12)
    assert set(losses.LOSSES) == {"relative_l2", "relative_h1", "difference_h1", "truncated_h1", "mse", "cross_entropy"}


@pytest.mark.parametrize("name", losses.LOSSES)
def test_gradients_by_finite_differences(getkey, name):
    prediction, target = jax.random.normal(getkey(), (2, 2, 6, 5))
    check_grads(lambda u: losses.LOSSES[name](jnp.asarray(u), target, GRID), (prediction,), order=1, modes=("rev",), rtol=1e-6)


def test_gradient_of_the_relative_error_in_closed_form(getkey):
    prediction, target = jax.random.normal(getkey(), (2, 1, 9))
    e = prediction - target
    wanted = e / jnp.linalg.norm(e) / jnp.linalg.norm(target)
    np.testing.assert_allclose(jax.grad(losses.relative_l2)(prediction, target), wanted, rtol=1e-10)


@pytest.mark.parametrize("name", NORMS)
def test_a_perfect_prediction_has_gradient_zero(getkey, name):
    target = jax.random.normal(getkey(), (2, 6, 5), jnp.float32)
    value, gradient = jax.value_and_grad(losses.LOSSES[name])(target, target, GRID)
    assert value == 0 and (gradient == 0).all()


@pytest.mark.parametrize("name", NORMS)
def test_a_target_that_vanishes_has_a_finite_loss_and_gradient(getkey, name):
    prediction, zero = jax.random.normal(getkey(), (2, 6, 5), jnp.float32), jnp.zeros((2, 6, 5), jnp.float32)
    value, gradient = jax.value_and_grad(losses.LOSSES[name])(prediction, zero, GRID)
    assert 0 < value < 100 and jnp.isfinite(gradient).all() and jnp.abs(gradient).max() < 100
    value, gradient = jax.value_and_grad(losses.LOSSES[name])(zero, zero, GRID)
    assert value == 0 and (gradient == 0).all()


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_the_gradient_in_the_network_does_not_depend_on_the_unit(getkey, unit):
    """d loss / d a of the prediction unit * a * v."""
    v, target = jax.random.normal(getkey(), (2, 1, 8), jnp.float32)
    slope = lambda unit: jax.grad(lambda a: losses.relative_l2(unit * (a * v), unit * target))(jnp.float32(0.3))
    np.testing.assert_allclose(slope(jnp.float32(unit)), slope(jnp.float32(1)), rtol=1e-5)


def test_cross_entropy_is_that_of_the_class(getkey):
    logits, label = 3 * jax.random.normal(getkey(), (4, 6)), jnp.asarray([0, 3, 1, 1, 2, 0])
    target = jax.nn.one_hot(label, 4, axis=0)
    chosen = np.asarray(jax.nn.softmax(logits, axis=0))[np.asarray(label), np.arange(6)]
    np.testing.assert_allclose(losses.cross_entropy(logits, target), -np.log(chosen).mean(), rtol=1e-12)
    gradient = jax.grad(losses.cross_entropy)(logits, target)
    np.testing.assert_allclose(gradient, (jax.nn.softmax(logits, axis=0) - target) / 6, atol=1e-14)
    assert jnp.isfinite(losses.cross_entropy(1e4 * logits, target))
