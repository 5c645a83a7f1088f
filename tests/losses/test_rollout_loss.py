import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.losses import relative_l2, rollout_loss, trajectory_loss
from neuralop_jax.models import FNO
from neuralop_jax.rollout import window_rollout


def test_of_a_linear_map_in_closed_form():
    """u_t = a^t u_0 against u_0: the sum of |a^t - 1|, with the derivative sum of t a^(t - 1)."""
    u0 = jnp.sin(jnp.arange(8.0))[None]
    targets = jnp.broadcast_to(u0, (4, *u0.shape))
    value, slope = jax.value_and_grad(lambda a: rollout_loss(lambda u: a * u, u0, targets))(1.5)
    np.testing.assert_allclose(value, sum(1.5**t - 1 for t in range(1, 5)), rtol=1e-12)
    np.testing.assert_allclose(slope, sum(t * 1.5 ** (t - 1) for t in range(1, 5)), rtol=1e-12)


def test_pushforward_differentiates_the_last_step_to_each_frame():
    """Only one of the t factors of a^t counts: the derivative is the sum of a^(t - 1)."""
    u0 = jnp.sin(jnp.arange(8.0))[None]
    targets = jnp.broadcast_to(u0, (4, *u0.shape))
    loss = lambda a: rollout_loss(lambda u: a * u, u0, targets, pushforward=True)
    value, slope = jax.value_and_grad(loss)(1.5)
    np.testing.assert_allclose(value, sum(1.5**t - 1 for t in range(1, 5)), rtol=1e-12)
    np.testing.assert_allclose(slope, sum(1.5 ** (t - 1) for t in range(1, 5)), rtol=1e-12)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_equals_a_loop_of_single_steps_gradients_included(getkey, checkpoint):
    """The loss is the sum of per-step relative errors, back-propagated through the whole rollout."""
    model = FNO(in_channels=2, out_channels=2, n_modes=(4,), width=4, depth=1, key=getkey())
    u0, targets = jax.random.normal(getkey(), (2, 8)), jax.random.normal(getkey(), (3, 2, 8))

    def loop(model):
        u, total = u0, 0.0
        for target in targets:
            u = model(u)
            total = total + jnp.linalg.norm(u - target) / jnp.linalg.norm(target)
        return total

    scanned = lambda model: rollout_loss(model, u0, targets, checkpoint=checkpoint)
    assert_same(scanned, loop, model)


def test_recurrent_fno_equals_a_loop_over_windows_gradients_included(getkey):
    """The recurrent FNO-2D: a window of past frames, the next one appended, the oldest dropped."""
    model = FNO(in_channels=3, out_channels=1, n_modes=(4,), width=4, depth=1, key=getkey())
    window, targets = jax.random.normal(getkey(), (3, 1, 8)), jax.random.normal(getkey(), (4, 1, 8))

    def loop(model):
        frames, total = list(window), 0.0
        for target in targets:
            new = model(jnp.concatenate(frames))
            frames, total = frames[1:] + [new], total + relative_l2(new, target)
        return total

    assert_same(lambda model: trajectory_loss(window_rollout(model, window, 4), targets), loop, model)


def test_the_reported_error_is_another_number():
    predictions, targets = jnp.array([[[2.0]], [[4.0]]]), jnp.array([[[1.0]], [[3.0]]])
    np.testing.assert_allclose(trajectory_loss(predictions, targets), 1 + 1 / 3)
    np.testing.assert_allclose(relative_l2(predictions, targets), np.sqrt(2 / 10))


def assert_same(found, wanted, model):
    import equinox as eqx

    (value, gradient), (other, reference) = (eqx.filter_value_and_grad(f)(model) for f in (found, wanted))
    np.testing.assert_allclose(value, other, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(reference), strict=True):
        assert jnp.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * jnp.abs(b).max())
