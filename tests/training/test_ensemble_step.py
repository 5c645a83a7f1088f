"""Members of an ensemble are trained as they would be alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from neuralop_jax.data import Sample
from neuralop_jax.metrics import relative_l2
from neuralop_jax.models import FNO, AbstractOperator, Ensemble
from neuralop_jax.training import GuardRule, TrainState, ensemble_state, ensemble_step, make_step, supervised

KEYS = jax.random.split(jax.random.key(0), 3)
OPTIMIZER = optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(optax.cosine_decay_schedule(1e-2, 10)))


def build(key):
    return FNO(in_channels=1, out_channels=1, n_modes=(6,), width=4, depth=1, key=key)


def test_one_step_for_all_leads_where_separate_steps_do():
    """With clipping, decay, a schedule, averages and micro-batches, which all have a state; one member meets a NaN and skips it."""
    loss = supervised(lambda v, target: relative_l2(v, target, joint=True)[0])
    step = make_step(loss, OPTIMIZER, ema=0.9, micro_batch=2, guard=GuardRule(skips_nonfinite=True))
    u = jax.random.normal(jax.random.key(1), (4, 3, 4, 1, 16))
    u, target = u.at[1, 2].set(jnp.nan), jnp.roll(u, 3, -1) ** 2
    together, alone = jax.jit(ensemble_step(step, batches="own")), jax.jit(step)
    state, losses = ensemble_state(Ensemble.of(build, KEYS), OPTIMIZER, averaged=True), []
    for number in range(4):
        state, metrics = together(state, Sample({"u": u[number]}, target[number]), KEYS)
        losses.append(metrics["loss"])
    ensemble = Ensemble(state.operator(), 3)
    for member in range(3):
        apart = TrainState.create(build(KEYS[member]), OPTIMIZER, averaged=True)
        for number in range(4):
            apart, metrics = alone(apart, Sample({"u": u[number, member]}, target[number, member]), KEYS[member])
            np.testing.assert_allclose(losses[number][member], metrics["loss"], rtol=1e-9)
        assert eqx.tree_equal(ensemble.member(member), apart.operator(), rtol=1e-9, atol=1e-11)
        assert state.guard.skipped[member] == apart.guard.skipped == (member == 2)


class Gain(AbstractOperator):
    """v = a u."""

    a: jax.Array
    in_channels: int = eqx.field(static=True, default=1)
    out_channels: int = eqx.field(static=True, default=1)
    width: int = eqx.field(static=True, default=1)

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return self.a * u


def test_members_share_a_batch_unless_they_have_their_own():
    """A step of 1/2 down the slope 2 (a - 3) of (a - 3)^2 leads to the minimum from everywhere."""
    optimizer, members = optax.sgd(0.5), [Gain(jnp.asarray(a)) for a in (0.0, 1.0)]
    step = make_step(supervised(lambda v, target: jnp.mean((v - target) ** 2)), optimizer)
    state = ensemble_state(Ensemble.joined(members), optimizer)
    u = jnp.ones((2, 4, 1, 3))
    shared, metrics = ensemble_step(step)(state, Sample({"u": u[0]}, 3 * u[0]), KEYS[:2])
    np.testing.assert_allclose(shared.model.a, [3.0, 3.0], rtol=1e-12)
    np.testing.assert_allclose(metrics["loss"], [9.0, 4.0], rtol=1e-12)
    own, _ = ensemble_step(step, batches="own")(
        state, Sample({"u": u}, u * jnp.asarray([5.0, 7.0]).reshape(2, 1, 1, 1)), KEYS[:2]
    )
    np.testing.assert_allclose(own.model.a, [5.0, 7.0], rtol=1e-12)
