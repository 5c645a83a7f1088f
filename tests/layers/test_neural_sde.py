"""Stochastic equations against moments and paths in closed form."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import NeuralSDE

TIMES = jnp.asarray([0.0, 0.5, 1.0])


def test_moments_of_the_process_of_ornstein_and_uhlenbeck():
    """At times on the grid of the steps, between steps, and much nearer to each other than a step; backwards they grow."""
    layer = NeuralSDE(lambda t, z, a: -a * z, lambda t, z, a: 0.5 * jnp.ones_like(z), step=1 / 16)
    program = eqx.filter_jit(lambda key, ts: layer(jnp.full(4000, 2.0), ts, jnp.asarray(1.5), key=key))
    solve = lambda key, ts: jax.tree.map(np.asarray, program(key, jnp.asarray(ts)))
    times = np.asarray([0.0, 0.03, 0.031, 0.5, 1.0])
    solution = solve(jax.random.key(0), times)
    assert solution.result == 0 and solution.num_steps == 1 + 1 + 8 + 8 == solution.num_evaluations - 1
    back = solve(jax.random.key(0), -times)
    assert np.allclose(back.values.mean(axis=1), 2 * np.exp(1.5 * times), rtol=0.02)
    assert solve(jax.random.key(0), times[[0, 2, 1, 3, 4]]).result == 9
    near = np.diff(solution.values[1:3], axis=0)
    assert abs(near.var() - 0.25e-3) < 0.1 * 0.25e-3
    for z, t in zip(solution.values, times):
        variance = 0.25 * (1 - np.exp(-3 * t)) / 3
        assert abs(z.mean() - 2 * np.exp(-1.5 * t)) < 4 * np.sqrt(variance / 4000) + 3e-3
        assert abs(z.var() - variance) < 0.1 * variance + 1e-12
    assert np.array_equal(solution.values, solve(jax.random.key(0), times).values)


@pytest.mark.parametrize("solver", ["euler_heun", "reversible_heun"])
def test_the_sense_is_that_of_stratonovich(solver):
    layer = NeuralSDE(lambda t, z, a: 0 * z, lambda t, z, a: 0.5 * z, step=1 / 32, solver=solver, only_end=True)
    end = eqx.filter_jit(lambda key: layer(jnp.ones(2000), TIMES, key=key).values)(jax.random.key(1))
    assert abs(np.log(end).mean()) < 2 / np.sqrt(2000) < 0.1  # in the sense of Itô it would be -1/8


def test_gradients_of_a_path_agree_between_adjoints_and_with_the_closed_form():
    def loss(sigma, adjoint):
        layer = NeuralSDE(lambda t, z, a: 0 * z, lambda t, z, a: a * z, step=1 / 256, adjoint=adjoint, only_end=True)
        return layer(jnp.ones(1), TIMES, sigma, key=jax.random.key(2)).values[0]

    sigma = jnp.asarray(0.4)
    for adjoint in ("checkpoint", "backsolve"):
        value, slope = jax.jit(jax.value_and_grad(lambda s, adjoint=adjoint: loss(s, adjoint)))(sigma)
        assert abs(slope - value * np.log(value) / 0.4) < 0.02 * abs(slope)  # z = exp(sigma W)


def test_a_failed_path_is_nan_and_the_others_do_not_notice():
    layer = NeuralSDE(lambda t, z, a: a * z**3, lambda t, z, a: 0.1 * jnp.ones_like(z), step=1 / 8, only_end=True)

    @jax.jit
    @lambda f: jax.value_and_grad(f, has_aux=True)
    def loss(a):
        found = jax.vmap(lambda z: layer(z, TIMES, a, key=jax.random.key(3)))(jnp.asarray([[0.1], [50.0]]))
        return jnp.sum(jnp.where(found.successful, found.values[:, 0], 0)), found

    (_, found), slope = loss(1.0)
    assert found.result.tolist() == [0, 2] and np.isnan(found.values[1]).all() and np.isfinite(slope)


def test_solvers_of_other_equations_are_refused():
    for solver in (diffrax.Tsit5(), diffrax.ItoMilstein()):
        with pytest.raises(ConfigError, match="Stratonovich"):
            NeuralSDE(lambda t, z, a: z, lambda t, z, a: z, step=0.1, solver=solver)
    with pytest.raises(ConfigError, match="one of"):
        NeuralSDE(lambda t, z, a: z, lambda t, z, a: z, step=0.1, solver="tsit5")
    with pytest.raises(ConfigError, match="positive step"):
        NeuralSDE(lambda t, z, a: z, lambda t, z, a: z, step=0.0)
