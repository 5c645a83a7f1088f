import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import losses
from neuralop_jax.data import Sample
from neuralop_jax.errors import ConfigError
from neuralop_jax.models import FNO, ContinuousTime, ImplicitFNO, Normalized
from neuralop_jax.normalizers import GaussianNormalizer
from neuralop_jax.training import penalized, supervised
from neuralop_jax.training._penalized import check_penalty

INNER = {"kind": "fno", "n_modes": [4], "width": 4, "depth": 1}
UNITS = GaussianNormalizer(jnp.asarray([0.5]), jnp.asarray([2.0]))


def operator_of(**options):
    plain = {"in_channels": 1, "out_channels": 2, "operator": INNER, "times": (0.5, 1.0), "key": jax.random.key(0)}
    return Normalized(ContinuousTime(**(plain | options)), UNITS, UNITS.repeated(2))


def batch():
    random = np.random.default_rng(0)
    return Sample({"u": jnp.asarray(random.normal(size=(3, 1, 8)))}, jnp.asarray(random.normal(size=(3, 2, 8))))


@pytest.mark.parametrize(
    ("penalty", "of", "extra_channels"),
    [
        ("error", losses.global_penalties, 0),
        ("stiffness", losses.global_penalties, 1),
        ("local_error", losses.local_penalties, 0),
    ],
)
def test_the_loss_of_every_sample_has_the_penalty_of_the_batch(penalty, of, extra_channels):
    operator, data, keys = operator_of(augmented_channels=extra_channels), batch(), jax.random.split(jax.random.key(1), 3)
    found = jax.jit(penalized(losses.relative_l2, penalty, 0.3))(operator, data, keys)
    plain = jax.jit(supervised(losses.relative_l2))(operator, data, keys)
    model = operator.model
    u = jnp.moveaxis((data.inputs["u"] - 0.5) / 2, 0, 1)
    u = jnp.concatenate([u, jnp.zeros((extra_channels, *u.shape[1:]))])
    options = {"key": keys[0]} if penalty.startswith("local") else {}
    _, penalties = jax.jit(lambda m, u: of(m.layer(batched=True), u, jnp.asarray([0.0, 0.5, 1.0]), **options))(model, u)
    extra = getattr(penalties, penalty.removeprefix("local_"))
    assert extra > 0
    np.testing.assert_allclose(found, plain + 0.3 * extra, rtol=1e-9)


def test_a_penalty_lowers_what_it_measures():
    """Along its negative gradient, and the plain loss grows."""
    operator, data, keys = operator_of(rtol=1e-6, atol=1e-6), batch(), jax.random.split(jax.random.key(1), 3)
    only = jax.jit(lambda m: penalized(lambda v, target: jnp.zeros(()), "error", 1.0)(m, data, keys).mean())
    slope = jax.jit(jax.grad(only, allow_int=True))(operator)
    moved = jax.tree.map(lambda w, g: w - 1e-3 * g if g.dtype == w.dtype else w, operator, slope)
    assert only(moved) < only(operator)


def test_the_norm_of_the_jacobian_is_that_at_the_equilibrium_and_has_a_gradient():
    options = {"in_channels": 1, "out_channels": 1, "n_modes": (4,), "width": 4, "rtol": 1e-10, "max_steps": 100}
    operator = Normalized(ImplicitFNO(**options, key=jax.random.key(0)), UNITS, UNITS)
    data, keys = Sample({"u": batch().inputs["u"]}, jnp.asarray(batch().target[:, :1])), jax.random.split(jax.random.key(1), 3)
    mean = lambda m: penalized(losses.relative_l2, "jacobian", 0.3)(m, data, keys).mean()
    found, slope = eqx.filter_jit(eqx.filter_value_and_grad(mean))(operator)

    @eqx.filter_jit
    def expected(operator):
        model, u = operator.model, jnp.moveaxis((data.inputs["u"] - 0.5) / 2, 0, 1)
        z, v = model.solve(u)[1].value, model.inject(u)
        jacobian = jax.jacfwd(lambda flat: model.step(flat.reshape(z.shape), v).ravel())(z.ravel())
        signs = jax.random.rademacher(jax.random.split(jax.random.split(keys[0], 1)[0], 1)[0], z.shape, z.dtype)
        plain = supervised(losses.relative_l2)(operator, data, keys).mean()
        return plain + 0.3 * jnp.sum((jacobian @ signs.ravel()) ** 2) / z.size

    np.testing.assert_allclose(found, expected(operator), rtol=1e-8)
    scale = lambda m: m.model.gate.scale
    moved = lambda h: eqx.tree_at(scale, operator, scale(operator).at[1].add(h))
    difference = (expected(moved(1e-4)) - expected(moved(-1e-4))) / 2e-4
    np.testing.assert_allclose(scale(slope)[1], difference, rtol=1e-5)


@pytest.mark.parametrize(
    ("operator", "penalty", "said"),
    [
        (lambda: Normalized(FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0)), UNITS, UNITS), "error", "is for model.kind 'continuous_time', got FNO"),
        (lambda: operator_of(), "jacobian", "is for model.kind 'implicit_fno', got ContinuousTime"),
        (lambda: operator_of(time_step=0.5), "error", "Leave model.time_step out"),
        (lambda: operator_of(solver="bosh3"), "local_stiffness", "needs model.solver 'tsit5' or 'dopri5', got 'bosh3'"),
        (lambda: operator_of(adjoint="backsolve"), "error", "Use 'local_error'"),
    ],
)  # fmt: skip
def test_penalties_that_cannot_be_measured_are_refused(operator, penalty, said):
    with pytest.raises(ConfigError, match=said):
        check_penalty(operator(), penalty)
