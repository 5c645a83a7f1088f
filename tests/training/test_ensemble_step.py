"""Members of an ensemble are trained as they would be alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neuralop_jax.data import Sample
from neuralop_jax.metrics import relative_l2
from neuralop_jax.models import FNO, Ensemble
from neuralop_jax.training import GuardRule, TrainState, ensemble_state, ensemble_step, make_step, supervised

KEYS = jax.random.split(jax.random.key(0), 3)
OPTIMIZER = optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(optax.cosine_decay_schedule(1e-2, 10)))


def build(key):
    return FNO(in_channels=1, out_channels=1, n_modes=(6,), width=4, depth=1, key=key)


@pytest.mark.parametrize("batches", ["shared", "own"])
def test_one_step_for_all_leads_where_separate_steps_do(batches):
    """With clipping, decay, a schedule, averages and micro-batches, which all have a state; one member meets a NaN and skips it."""
    loss = supervised(lambda v, target: relative_l2(v, target, joint=True)[0])
    step = make_step(loss, OPTIMIZER, ema=0.9, micro_batch=2, guard=GuardRule(skips_nonfinite=True))
    own = batches == "own"
    u = jax.random.normal(jax.random.key(1), (4, 3, 4, 1, 16) if own else (4, 4, 1, 16))
    target = jnp.roll(u, 3, -1) ** 2
    if own:
        u = u.at[1, 2].set(jnp.nan)
    together = jax.jit(ensemble_step(step, batches=batches))
    state = ensemble_state(Ensemble.of(build, KEYS), OPTIMIZER, averaged=True)
    losses = []
    for number in range(4):
        state, metrics = together(state, Sample({"u": u[number]}, target[number]), KEYS)
        losses.append(metrics["loss"])
    ensemble, alone = Ensemble(state.operator(), 3), jax.jit(step)
    for member in range(3):
        apart = TrainState.create(build(KEYS[member]), OPTIMIZER, averaged=True)
        for number in range(4):
            at = (number, member) if own else number
            apart, metrics = alone(apart, Sample({"u": u[at]}, target[at]), KEYS[member])
            np.testing.assert_allclose(losses[number][member], metrics["loss"], rtol=1e-9)
        assert eqx.tree_equal(ensemble.member(member), apart.operator(), rtol=1e-9, atol=1e-11)
        assert state.guard.skipped[member] == apart.guard.skipped == (own and member == 2)
