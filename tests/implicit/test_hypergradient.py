"""Acceptance 10: hypergradients by Neumann series, conjugate gradients and exactly, against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit import Neumann, bilevel, custom_fixed_point, custom_root, hypergradient, stationary
from neuralop_jax.implicit._linear_solve import solve_linear

RANDOM = np.random.default_rng(0)
BASIS = np.linalg.qr(RANDOM.normal(size=(12, 12)))[0]
LOWEST, HIGHEST = 0.5, 8.5  # condition 17
HESSIAN = jnp.asarray(BASIS * np.linspace(LOWEST, HIGHEST, 12) @ BASIS.T)
MIXED, WANTED = jnp.asarray(RANDOM.normal(size=(12, 3))), jnp.asarray(RANDOM.normal(size=12))
THETA = {"a": jnp.asarray([0.3, -0.2]), "b": jnp.asarray(0.7)}


def inner(x, theta):
    """Whose minimum is the inverse Hessian times MIXED times theta."""
    return x @ HESSIAN @ x / 2 - x @ MIXED @ jnp.append(theta["a"], theta["b"])


def outer(x, theta):
    return jnp.sum((x - WANTED) ** 2) / 2 + theta["b"] ** 2


def minimum(theta):
    return jnp.linalg.solve(HESSIAN, MIXED @ jnp.append(theta["a"], theta["b"]))


@eqx.filter_jit
def by(linear_solver):
    x = minimum(THETA)
    value, slope = hypergradient(outer, inner, x, THETA, linear_solver=linear_solver)
    return value, jnp.append(slope["a"], slope["b"])


def test_conjugate_gradients_exact_solves_and_the_closed_form_agree(compiled):
    value, wanted = compiled(jax.value_and_grad(lambda theta: outer(minimum(theta), theta)), THETA)
    wanted = np.append(wanted["a"], wanted["b"])
    for solver in (lx.LU(), lx.CG(1e-10, 1e-10), None, Neumann(600, 1 / HIGHEST)):
        found, slope = by(solver)
        assert abs(found - value) < 1e-14
        np.testing.assert_allclose(slope, wanted, atol=1e-8)


def test_the_error_of_every_truncated_series_is_below_its_bound(compiled):
    """(1 - alpha mu)^(K + 1) of the solution, K from 0 to 159; K = 0 with alpha = 1 takes the Hessian for the identity."""
    alpha, last = 0.9 / HIGHEST, np.arange(160)
    solve = lambda terms: solve_linear(lambda v: HESSIAN @ v, WANTED, Neumann(terms, alpha))
    series = compiled(jax.vmap(solve), jnp.asarray(last + 1))
    exact = np.linalg.solve(HESSIAN, WANTED)
    errors = np.linalg.norm(series - exact, axis=1) / np.linalg.norm(exact)
    assert (errors < (1 - alpha * LOWEST) ** (last + 1)).all() and errors[-1] > 1e-9
    _, slope = by(Neumann(1))
    pulled = compiled(lambda theta: (MIXED.T @ (minimum(theta) - WANTED)).at[2].add(2 * theta["b"]), THETA)
    np.testing.assert_allclose(slope, pulled, rtol=1e-13)


def test_a_series_that_diverges_says_so(compiled):
    operator = lx.MatrixLinearOperator(HESSIAN)
    found = eqx.filter_jit(lambda b: lx.linear_solve(operator, b, Neumann(50, 1.0), throw=False))(WANTED)
    assert found.result == lx.RESULTS.breakdown
    diverging = {"linear_solver": Neumann(50), "throw": False}
    slope = compiled(lambda theta: hypergradient(outer, inner, minimum(theta), theta, **diverging)[1], THETA)
    assert np.isnan(slope["a"]).all()
    with pytest.raises(Exception, match="The fixed-point iteration diverged: the map is no contraction"):
        by(Neumann(50))[1].block_until_ready()


def test_a_series_inverts_a_contraction_and_its_transpose():
    """With I - T', not T' - I; the matrix is not symmetric."""
    matrix = 0.5 * BASIS
    solve = custom_fixed_point(lambda x, a: matrix @ x + a, linear_solver=Neumann(60))(
        lambda start, a: jnp.linalg.solve(jnp.eye(12) - matrix, a)
    )
    found = jax.jit(lambda a: (jax.jacfwd(solve, argnums=1)(a, a), jax.jacrev(solve, argnums=1)(a, a)))(WANTED)
    for jacobian in found:
        np.testing.assert_allclose(jacobian, np.linalg.inv(np.eye(12) - matrix), atol=1e-12)


def test_the_decorator_gives_the_same_gradient_and_second_derivatives():
    solve = custom_root(stationary(inner), tags=lx.positive_semidefinite_tag)(lambda start, theta: minimum(theta))
    loss = lambda solve: lambda theta: jnp.tanh(outer(solve(WANTED, theta), theta) / 100)
    along = lambda theta: THETA | {"b": theta}
    exactly = lambda start, theta: minimum(theta)
    found, wanted = jax.jit(lambda b: [jax.hessian(lambda b: loss(s)(along(b)))(b) for s in (solve, exactly)])(0.7)  # noqa: B023
    assert abs(found - wanted) < 1e-10 * abs(wanted)


def test_warm_starts_carry_the_inner_minimum_along(compiled):
    """Three gradient steps for each outer one: from the last minimum they end at the best parameters, from zero they cannot."""
    descend = lambda x, theta: jax.lax.fori_loop(0, 3, lambda _, x: x - 0.2 * jax.grad(inner)(x, theta), x)
    cold = lambda x, theta: descend(jnp.zeros(12), theta)
    response = np.linalg.solve(HESSIAN, MIXED)
    curved = response.T @ response + np.diag([0, 0, 2.0])
    best, optimizer = np.linalg.solve(curved, response.T @ np.asarray(WANTED)), optax.sgd(0.5 / np.linalg.norm(curved, 2))
    tune = lambda solve: bilevel(
        outer, inner, solve, jnp.zeros(12), THETA, optimizer=optimizer, num_steps=1000, linear_solver=lx.LU()
    )
    run = jax.jit(tune, static_argnums=0)
    found = run(descend)
    np.testing.assert_allclose(np.append(found.theta["a"], found.theta["b"]), best, atol=1e-3)
    least, last = compiled(lambda x, theta: (minimum(theta), outer(x, theta)), found.x, found.theta)
    np.testing.assert_allclose(found.x, least, atol=1e-3)
    assert found.losses.shape == (1001,) and abs(np.asarray(found.losses)[-1] - last) < 1e-14
    short = run(cold)
    assert abs(np.append(short.theta["a"], short.theta["b"]) - best).max() > 0.1


def test_outer_steps_may_start_from_plain_numbers(compiled):
    outer, inner, solve = lambda x, a: (x - 3) ** 2, lambda x, a: (x - a) ** 2 / 2, lambda x, a: a
    found = compiled(lambda: bilevel(outer, inner, solve, 0.0, 0.0, optimizer=optax.sgd(0.25), num_steps=2).theta)
    assert abs(found - 2.25) < 1e-12  # halfway to 3, twice


def test_hypergradients_refuse_what_cannot_be():
    with pytest.raises(ConfigError, match="bilevel needs num_steps of at least 1, got 0"):
        bilevel(outer, inner, minimum, WANTED, THETA, optimizer=optax.sgd(0.1), num_steps=0)
    with pytest.raises(ConfigError, match="hypergradient needs an outer objective that returns one number, got .*Sum or average"):
        hypergradient(lambda x, theta: x, lambda x, a: jnp.sum((x - a) ** 2), jnp.ones(2), 1.0)
    with pytest.raises(ConfigError, match="hypergradient needs parameters of real floating arrays, got int"):
        hypergradient(lambda x, a: jnp.sum(x), lambda x, a: jnp.sum((x - a) ** 2), jnp.ones(2), 1)
    with pytest.raises(ConfigError, match="Neumann.num_terms must be an integer of at least 1, got 0"):
        Neumann(0)
    with pytest.raises(ConfigError, match="Neumann.scale must be positive and finite, got -1.0"):
        Neumann(3, -1.0)
