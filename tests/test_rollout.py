import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ModelInputError
from neuralop_jax.rollout import repeat, rollout, window_rollout


def test_powers_of_a_linear_map(getkey):
    matrix, u0 = jax.random.normal(getkey(), (5, 5)) / 3, jax.random.normal(getkey(), (2, 5))
    step = lambda u: u @ matrix
    wanted = np.stack([u0 @ np.linalg.matrix_power(matrix, t) for t in range(7)])
    np.testing.assert_allclose(rollout(step, u0, 6), wanted, atol=1e-12)
    np.testing.assert_allclose(rollout(step, u0, 6, include_init=False), wanted[1:], atol=1e-12)
    np.testing.assert_allclose(repeat(step, u0, 6), wanted[-1], atol=1e-12)


def test_no_step():
    u0 = jnp.ones((1, 4))
    assert rollout(lambda u: 2 * u, u0, 0).tolist() == [u0.tolist()]
    assert rollout(lambda u: 2 * u, u0, 0, include_init=False).shape == (0, 1, 4)
    assert (repeat(lambda u: 2 * u, u0, 0) == u0).all()


@pytest.mark.parametrize("checkpoint", [False, True])
def test_gradients_through_time(checkpoint):
    """d(sum of a^t u_0)/da = sum of t a^(t - 1) u_0."""
    total = lambda a: rollout(lambda u: a * u, jnp.ones((1, 1)), 4, checkpoint=checkpoint).sum()
    np.testing.assert_allclose(jax.grad(total)(1.2), sum(t * 1.2 ** (t - 1) for t in range(1, 5)), rtol=1e-12)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_windows_see_the_newest_frames_oldest_first(checkpoint):
    """u_t = u_{t-3} + 10 u_{t-1} on two channels, which stay apart."""
    window = jnp.arange(6.0).reshape(3, 2, 1)
    found = window_rollout(lambda w: w[0:2] + 10 * w[4:6], window, 4, checkpoint=checkpoint)
    frames = [np.asarray(frame) for frame in window]
    for _ in range(4):
        frames.append(frames[-3] + 10 * frames[-1])
    np.testing.assert_allclose(found, frames[3:])


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("num_steps", [0, 1, 6, 7])
def test_calls_that_emit_more_frames_than_the_window_holds(num_steps, checkpoint):
    """Three frames per call, the newest frame seen plus 1, 2, 3: u_t = t on two channels."""
    ahead = lambda w: (w[None, 2:4] + jnp.arange(1.0, 4)[:, None, None]).reshape(6, 1)
    window = jnp.asarray([-1.0, 0.0])[:, None, None] * jnp.ones((2, 2, 1))
    found = window_rollout(ahead, window, num_steps, frames=3, checkpoint=checkpoint)
    assert found.shape == (num_steps, 2, 1)
    np.testing.assert_array_equal(found, jnp.arange(1.0, num_steps + 1)[:, None, None] * jnp.ones((1, 2, 1)))


def test_a_step_that_changes_the_state_is_refused():
    with pytest.raises(ModelInputError, match=r"float64 \(1, 4\).*returns float64 \(2, 4\)"):
        rollout(lambda u: jnp.concatenate([u, u]), jnp.ones((1, 4)), 2)
    with pytest.raises(ModelInputError, match=r"float32 \(1, 4\).*returns float64 \(1, 4\)"):
        repeat(lambda u: u.astype(jnp.float64), jnp.ones((1, 4), jnp.float32), 2)
    with pytest.raises(ModelInputError, match=r"float64 \(1, 4\).*returns float64 \(3, 4\)"):
        window_rollout(lambda w: w, jnp.ones((3, 1, 4)), 2)
    with pytest.raises(ModelInputError, match=r"float64 \(2, 4\).*returns float64 \(3, 4\). Say with frames="):
        window_rollout(lambda w: w, jnp.ones((3, 1, 4)), 2, frames=2)
    with pytest.raises(ModelInputError, match="at least one frame per call, got frames=0"):
        window_rollout(lambda w: w[:0], jnp.ones((3, 1, 4)), 2, frames=0)


def test_stops_at_the_first_state_that_is_too_large():
    """With gain 1.1 the state passes 1000 at step 73: 1.1^72 = 955.6."""
    stopped = rollout(lambda u: 1.1 * u, jnp.ones((2, 4)), 1000, stop_at=1e3)
    assert stopped.bad_step == 73 and stopped.diverged
    np.testing.assert_allclose(stopped.values[:73, 0, 0], 1.1 ** np.arange(73), rtol=1e-12)
    np.testing.assert_array_equal(stopped.values[73:], np.broadcast_to(stopped.values[72], (928, 2, 4)))


@pytest.mark.parametrize("checkpoint", [False, True])
def test_good_rollouts_are_not_changed(getkey, checkpoint):
    step, u0 = lambda u: jnp.sin(3 * u), jax.random.normal(getkey(), (1, 5))
    stopped = rollout(step, u0, 9, stop_at=10.0, checkpoint=checkpoint)
    np.testing.assert_array_equal(stopped.values, rollout(step, u0, 9))
    assert stopped.bad_step == 0 and not stopped.diverged
    wanted = jax.grad(lambda u: jnp.sum(rollout(step, u, 9) ** 2))(u0)
    found = jax.grad(lambda u: jnp.sum(rollout(step, u, 9, stop_at=10.0, checkpoint=checkpoint).values ** 2))(u0)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_every_sample_stops_by_itself_and_every_channel_has_its_limit():
    gains, limits = jnp.asarray([0.5, 2.0, jnp.inf]), jnp.asarray([jnp.inf, 100.0])
    stopped = jax.vmap(lambda gain: rollout(lambda u: gain * u, jnp.ones((2, 3)), 20, include_init=False, stop_at=limits))(gains)
    assert stopped.bad_step.tolist() == [0, 7, 1]
    np.testing.assert_array_equal(stopped.values[0, -1], np.full((2, 3), 0.5**20))
    np.testing.assert_array_equal(stopped.values[1, -1], np.full((2, 3), 64.0))
    np.testing.assert_array_equal(stopped.values[2], np.ones((20, 2, 3)))


def test_no_step_is_made_after_the_bad_one():
    made = []

    def step(u):
        jax.debug.callback(lambda: made.append(1))
        return 10 * u

    jax.block_until_ready(rollout(step, jnp.ones((1, 1)), 50, stop_at=1e3).values)
    jax.effects_barrier()
    assert len(made) == 4
