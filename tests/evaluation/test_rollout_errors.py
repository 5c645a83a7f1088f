"""Errors of rollouts, with samples that blow up."""

import jax.numpy as jnp
import numpy as np

from neuralop_jax.evaluation import evaluate_rollout

TARGETS = jnp.ones((3, 4, 1, 2))


def test_means_are_of_the_samples_that_are_left():
    """Three states double: 1, 5 and 300, of which the last passes 1000 at step 2, and the second never."""
    u0 = jnp.asarray([1.0, 5.0, 300.0]).reshape(3, 1, 1) * jnp.ones((3, 1, 2))
    found = evaluate_rollout(lambda u: 2 * u, u0, TARGETS, stop_at=1e3)
    assert (found["count"], found["left"], found["diverged"], found["first_bad_step"]) == (3, [3, 2, 2, 2], 1, 2)
    np.testing.assert_allclose(found["relative_l2"], [(1 + 9 + 599) / 3, (3 + 19) / 2, (7 + 39) / 2, (15 + 79) / 2], rtol=1e-12)
    assert found["summary"] == "diverged at step 2 in 1 of 3 samples"


def test_nothing_left_and_nothing_lost():
    u0 = jnp.ones((3, 1, 2))
    lost = evaluate_rollout(lambda u: u / 0, u0, TARGETS)
    assert lost["relative_l2"] == [None] * 4 and lost["summary"] == "diverged at step 1 in 3 of 3 samples"
    good = evaluate_rollout(lambda u: u, u0, TARGETS)
    assert good["relative_l2"] == [0.0] * 4 and good["summary"] == "no sample diverged" and good["first_bad_step"] is None
