"""Implicit steps without a Jacobian: their gradients, memory and cost, and failures that stay with their sample."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.layers import NeuralODE

N = 2000
ENDS = jnp.asarray([0.0, 1.0])


def diffusion(t, z, rate):
    return rate * (jnp.roll(z, 1) + jnp.roll(z, -1) - 2 * z) - z**3


def program(loss):
    """The compiled value and gradient, and the bytes that they take besides their arguments."""
    compiled = jax.jit(jax.value_and_grad(loss)).lower(jnp.asarray(20.0), jnp.ones(N)).compile()
    return compiled, compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("solver", ["kvaerno5", "implicit_euler"])
def test_the_gradient_of_a_stiff_solve_is_exact_and_never_holds_a_jacobian(solver):
    layer = NeuralODE(diffusion, solver=solver, step=0.125, rtol=1e-10, atol=1e-10, max_steps=8, only_end=True)
    loss = lambda rate, z: jnp.sum(layer(z, ENDS, rate).values ** 2)
    both, memory = program(loss)
    assert memory < 2e6 < 8 * N**2
    z = jnp.asarray(np.sin(0.1 * np.arange(N)))
    (above, _), (_, slope), (below, _) = (both(jnp.asarray(rate), z) for rate in (20.001, 20.0, 19.999))
    difference = (above - below) / 0.002
    assert abs(slope - difference) < 1e-6 * abs(difference)


def test_nor_does_that_of_a_steady_state():
    layer = NeuralODE(
        lambda t, z, rate: 1 - rate * z - 0.3 * jnp.roll(z, 1) * z,
        steady=1e-6,
        rtol=1e-8,
        atol=1e-8,
        adjoint="implicit",
        only_end=True,
    )
    both, memory = program(lambda rate, z: layer(z, jnp.asarray([0.0, jnp.inf]), rate).values.sum())
    assert memory < 2e6
    z = (-20 + np.sqrt(400 + 1.2)) / 0.6  # of 0.3 z^2 + 20 z = 1
    assert abs(both(jnp.asarray(20.0), jnp.zeros(N))[1] + N * z / (20 + 0.6 * z)) < 1e-5


def test_samples_count_for_themselves_and_fail_alone():
    layer = NeuralODE(lambda t, z, rate: rate * z**2, solver="kvaerno5", rtol=1e-6, atol=1e-8, max_steps=200, only_end=True)
    rates = jnp.asarray([0.5, 3.0, -5.0])  # the second is infinite at time 1/3
    solve = jax.vmap(lambda rate: layer(jnp.ones(1), ENDS, rate))
    together = jax.jit(jax.value_and_grad(lambda rates: _sum(solve(rates)), has_aux=True))
    (_, found), slope = together(rates)
    assert found.result.tolist()[::2] == [0, 0] and found.result[1] != 0
    exact, found = 1 / (1 - np.asarray(rates)), jax.tree.map(np.asarray, found)
    np.testing.assert_allclose(found.values[::2, 0], exact[::2], rtol=1e-3)
    np.testing.assert_allclose(slope, np.where([1, 0, 1], exact**2, 0), rtol=1e-4)
    for i in (0, 2):
        (_, equals), _ = together(jnp.full(3, rates[i]))  # none of which costs more than it would alone
        assert set(np.asarray(equals.num_evaluations)) == {found.num_evaluations[i]}
        assert set(np.asarray(equals.num_products)) == {found.num_products[i]}


def _sum(solution):
    return jnp.sum(jnp.where(solution.successful, solution.values[:, 0], 0)), solution


def test_the_adjoint_equation_takes_implicit_steps_too():
    options = {"solver": "kvaerno3", "rtol": 1e-7, "atol": 1e-7, "adjoint": "backsolve", "only_end": True}
    layer = NeuralODE(lambda t, z, a: -a * z**3, **options)
    slope = jax.jit(jax.grad(lambda rate: layer(jnp.ones(1), ENDS, rate).values[0]))(2.0)
    assert abs(slope + (1 + 2 * 2.0) ** -1.5) < 1e-5  # of (1 + 2 a)^(-1/2)


def test_states_of_any_size_and_type_converge():
    """In single precision, and with a scale far from one, where an absolute tolerance would never be met."""
    layer = NeuralODE(lambda t, z, _: {"a": -100 * z["a"], "b": z["a"][:1]}, solver="kvaerno5", only_end=True)
    z0 = {"a": jnp.full(3, 1e6, jnp.float32), "b": jnp.zeros(1, jnp.float32)}
    solution = eqx.filter_jit(layer)(z0, ENDS)
    assert solution.successful and solution.values["b"].dtype == jnp.float32 and solution.num_steps < 100
    np.testing.assert_allclose(solution.values["b"], 1e4, rtol=1e-3)
