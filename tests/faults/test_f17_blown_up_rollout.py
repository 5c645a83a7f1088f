"""F17: an emulator that blows up is stopped, its first bad step is told, and no NaN is in a mean."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax.data import Sample
from neuralop_jax.evaluation import evaluate, evaluate_rollout
from neuralop_jax.models import AbstractOperator
from neuralop_jax.rollout import rollout


class Growing(AbstractOperator):
    """v = exp(100 u): infinite for an input above one."""

    in_channels: int = eqx.field(static=True, default=1)
    out_channels: int = eqx.field(static=True, default=1)
    width: int = eqx.field(static=True, default=1)

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return jnp.exp(100 * u)


def test_f17_a_thousand_steps_with_gain(count):
    """Gains of 1.1 and more: the first state beyond a thousand standard deviations is at ceil(log 1000 / log gain)."""
    samples = count(8, 64)
    gains = jnp.linspace(1.1, 3.0, samples)
    steps = jax.jit(jax.vmap(lambda gain: rollout(lambda u: gain * u, jnp.ones((1, 16)), 1000, stop_at=1e3)))(gains)
    np.testing.assert_array_equal(steps.bad_step, np.ceil(np.log(1e3) / np.log(np.asarray(gains))))
    assert jnp.isfinite(steps.values).all() and jnp.abs(steps.values).max() <= 1e3
    targets = jnp.ones((samples, 1000, 1, 16))
    found = evaluate_rollout(lambda u: 3 * u, jnp.ones((samples, 1, 16)).at[0].set(0.0), targets, stop_at=1e3)
    assert found["summary"] == f"diverged at step 7 in {samples - 1} of {samples} samples"
    assert np.isfinite(found["relative_l2"]).all() and found["left"][6:] == [1] * 994


def test_f17_no_mean_of_an_evaluation_has_a_sample_that_diverged():
    u = jnp.asarray([0.0, 0.0, 5.0, 0.0], jnp.float32).reshape(4, 1, 1) * jnp.ones((4, 1, 8), jnp.float32)
    sample = Sample({"u": u}, jnp.full((4, 1, 8), 2.0, jnp.float32))
    found = evaluate(Growing(), sample)
    assert found["diverged"] == 1 and found["count"] == 4
    np.testing.assert_allclose(found["relative_l2"], 0.5, rtol=1e-6)
    lost = evaluate(Growing(), Sample({"u": u[2:3]}, sample.target[2:3]))
    assert lost["diverged"] == 1 and lost["relative_l2"] == np.inf and lost["spread"]["relative_l2"] == 0.0
    assert "diverged" not in evaluate(Growing(), Sample({"u": u[:2]}, sample.target[:2]))
