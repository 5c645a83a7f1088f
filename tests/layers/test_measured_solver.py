"""Sums over a solve against single steps of the solver and closed forms, and states at random times."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import NeuralODE, VectorField
from neuralop_jax.losses import global_penalties, local_penalties

TIMES = jnp.asarray([0.0, 1.0])


def test_sums_are_those_of_the_steps_one_by_one(getkey):
    field = VectorField(features=2, width=4, key=getkey())
    z0, h = jnp.asarray([1.0, -0.5]), 0.25
    _, penalties = eqx.filter_jit(lambda: global_penalties(NeuralODE(field, step=h), z0, TIMES))()
    method, term = diffrax.Tsit5(), diffrax.ODETerm(field)
    row, z, errors, rates = np.asarray(method.tableau.a_lower[-2]), z0, [], []
    step = jax.jit(lambda t, z: method.step(term, t, t + h, z, None, method.init(term, t, t + h, z, None), False)[:3])
    for t in h * np.arange(4):
        z1, error, dense = step(t, z)
        errors.append(np.sqrt(np.mean((error / (1e-5 + 1e-4 * np.maximum(abs(z), abs(z1)))) ** 2)))
        before = z + row @ dense["k"][: len(row)]
        rates.append(np.linalg.norm(dense["k"][-1] - dense["k"][-2]) / np.linalg.norm(z1 - before) / h)
        z = z1
    assert abs(penalties.error - h * sum(errors)) < 1e-8 * h * sum(errors) + 1e-12
    assert abs(penalties.stiffness - h * sum(rates)) < 1e-8


def test_rejected_steps_do_not_count():
    field = lambda t, z, a: 40 * jnp.cos(40 * t**2) * jnp.ones_like(z)
    solution, penalties = eqx.filter_jit(lambda: global_penalties(NeuralODE(field, only_end=True), jnp.ones(1), TIMES))()
    assert solution.measured.num_accepted < solution.num_steps
    assert penalties.error < 1  # every accepted step has an error below the tolerance, and the time is 1
    assert solution.successful and solution.measured.state is None


def test_stiffness_of_a_linear_field_is_its_rate():
    ode = NeuralODE(lambda t, z, rate: -rate * z, solver="dopri5", only_end=True)
    solve = eqx.filter_jit(lambda ts: global_penalties(ode, jnp.ones(2), ts, 37.0)[1].stiffness)
    for ts in (TIMES, TIMES[::-1] / 10):
        assert abs(solve(ts) - 37 * abs(ts[1] - ts[0])) < 1e-8 * 37
    local = jax.jit(lambda: ode.local_estimates(jnp.asarray(0.2), jnp.ones(2), jnp.asarray(1.0), 37.0)[1])()
    assert abs(local - 37) < 1e-8


def test_gradients_of_the_sums_agree_with_differences_at_constant_steps():
    ode = NeuralODE(lambda t, z, a: -a * z + jnp.sin(a * t), step=0.25, max_steps=4, only_end=True)

    @jax.jit
    @jax.value_and_grad
    def both(a, for_error):
        penalties = global_penalties(ode, jnp.ones(1), TIMES, a)[1]
        return jnp.where(for_error, penalties.error, penalties.stiffness)

    for for_error in (True, False):
        (above, _), (_, exact), (below, _) = (both(a, for_error) for a in (2.0 + 1e-5, 2.0, 2.0 - 1e-5))
        assert abs((above - below) / 2e-5 - exact) < 4e-6 * abs(exact) + 1e-9


@pytest.mark.parametrize(("adjoint", "sampling"), [("checkpoint", "uniform"), ("backsolve", "accepted")])
def test_local_penalties_have_gradients_under_any_adjoint(adjoint, sampling):
    ode = NeuralODE(lambda t, z, a: -a * z, adjoint=adjoint, rtol=1e-6, atol=1e-9, only_end=True)

    @jax.jit
    @lambda f: jax.value_and_grad(f, has_aux=True)
    def solve(a, key):
        solution, penalties = local_penalties(ode, jnp.ones(1), TIMES, a, sampling=sampling, key=key)
        return penalties.stiffness + 0 * penalties.error + solution.values[0], solution.measured

    (value, measured), slope = solve(3.0, jax.random.key(1))
    assert abs(value - 3 - np.exp(-3)) < 1e-5 and abs(slope - 1 + np.exp(-3)) < 1e-4
    assert np.allclose(measured.state[0], np.exp(-3 * measured.time), rtol=1e-4)


def test_random_times_are_uniform_in_time_or_over_the_steps():
    ode = NeuralODE(lambda t, z, a: -200 * (z - jnp.cos(t)) * (t > 0.5), only_end=True)  # nearly all steps in the second half
    for visit, share in (("uniform", 0.5), ("accepted", None)):
        keys = jax.random.split(jax.random.key(2), 200)
        solution = eqx.filter_jit(eqx.filter_vmap(lambda key, v=visit: ode(jnp.ones(1), TIMES, visit=v, key=key)))(keys)
        late = np.mean(np.asarray(solution.measured.time) > 0.5)
        assert abs(late - 0.5) < 0.12 if share else late > 0.75


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ModelInputError, match="estimates its error"):
        NeuralODE(lambda t, z, a: z, solver="euler", step=0.1)(jnp.ones(1), TIMES, measure=True)
    with pytest.raises(ModelInputError, match="backsolve"):
        global_penalties(NeuralODE(lambda t, z, a: z, adjoint="backsolve"), jnp.ones(1), TIMES)
    with pytest.raises(ModelInputError, match="key"):
        NeuralODE(lambda t, z, a: z)(jnp.ones(1), TIMES, visit="uniform")
    with pytest.raises(ConfigError, match="Did you mean 'uniform'"):
        local_penalties(NeuralODE(lambda t, z, a: z), jnp.ones(1), TIMES, sampling="unifrom", key=jax.random.key(0))
    with pytest.raises(ModelInputError, match="steady state alone"):
        layer = NeuralODE(lambda t, z, a: -z, adjoint="implicit", steady=0.1, only_end=True)
        layer(jnp.ones(1), TIMES, visit="uniform", key=jax.random.key(0))
