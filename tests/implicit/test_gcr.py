"""Generalized conjugate residuals against closed forms, and where GMRES restarts and breaks down."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit import GCR
from neuralop_jax.implicit._linear_solve import solve_linear

RANDOM = np.random.default_rng(0)


@eqx.filter_jit
def solve(matrix, b, solver):
    return lx.linear_solve(lx.MatrixLinearOperator(matrix), b, solver, throw=False)


def test_it_is_gmres_until_it_truncates():
    """The residual after k steps is the smallest of the Krylov space, and a 2 x 2 system takes two."""
    matrix, b = RANDOM.normal(size=(12, 12)), RANDOM.normal(size=12)
    krylov = [b / np.linalg.norm(b)]
    for steps in range(1, 13):
        space = np.linalg.qr(np.stack(krylov, 1))[0]
        image = matrix @ space
        smallest = np.linalg.norm(b - image @ np.linalg.lstsq(image, b)[0])
        found = solve(jnp.asarray(matrix), jnp.asarray(b), GCR(rtol=1e-14, max_steps=jnp.asarray(steps)))
        np.testing.assert_allclose(np.linalg.norm(b - matrix @ np.asarray(found.value)), smallest, atol=1e-12)
        krylov.append(matrix @ space[:, -1])
    x = solve(jnp.asarray([[0.0, 1.0], [-2.0, 1.0]]), jnp.asarray([1.0, 2.0]), GCR(rtol=1e-12))
    np.testing.assert_allclose(x.value, [-0.5, 1.0], atol=1e-12)
    assert x.stats["num_steps"] == 3  # the last one checks


@pytest.mark.parametrize("name", ["shift", "skew", "laplace", "convection", "indefinite", "contraction"])
def test_matrices_of_every_kind(name):
    """Cyclic shifts make restarted GMRES stand still; 48 unknowns are more than the 16 vectors that are kept."""
    one, up = np.eye(48), np.eye(48, k=1)
    shift, basis = np.roll(one, 1, axis=0), np.linalg.qr(np.random.default_rng(1).normal(size=(48, 48)))[0]
    matrix = {
        "shift": shift,
        "skew": shift - shift.T + 0.1 * one,
        "laplace": 2 * one - up - up.T,
        "convection": 2 * one - 0.5 * up - 1.5 * up.T,
        "indefinite": basis * np.linspace(1, 20, 48) * np.resize([1, -1], 48) @ basis.T,
        "contraction": one - 0.5 * basis,
    }[name]
    b = np.eye(48)[5]
    found = solve(jnp.asarray(matrix), jnp.asarray(b), GCR(rtol=1e-11))
    assert found.result == lx.RESULTS.successful and found.stats["num_steps"] < 500
    np.testing.assert_allclose(found.value, np.linalg.solve(matrix, b), atol=1e-8)
    residual = np.linalg.norm(b - matrix @ np.asarray(found.value))
    np.testing.assert_allclose(found.stats["relative_residual"], residual, rtol=1e-2)


def test_an_exact_solution_after_few_vectors_and_none_at_all():
    scales = np.asarray([2.0, 2.0, 2.0, 5.0, 5.0, 0.5])
    matrix = jnp.asarray(np.diag(scales))
    found = solve(matrix, jnp.asarray(np.ones(6)), GCR(rtol=1e-13))  # three different eigenvalues
    assert found.stats["num_steps"] == 4
    np.testing.assert_allclose(found.value, 1 / scales, rtol=1e-13)
    nothing = solve(matrix, jnp.asarray(np.zeros(6)), GCR())
    assert nothing.stats["num_steps"] == 0 and (nothing.value == 0).all() and nothing.result == lx.RESULTS.successful


def test_singular_systems_and_bad_numbers_are_results():
    projection, one = jnp.asarray(np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 0.0])), np.eye(6)
    result = lambda matrix, b, **options: solve(jnp.asarray(matrix), jnp.asarray(b), GCR(**options)).result
    solvable = solve(projection, jnp.asarray([1.0, 1.0, 1.0, 1.0, 1.0, 0.0]), GCR())
    np.testing.assert_allclose(solvable.value, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 0], atol=1e-7)
    assert result(projection, np.ones(6)) == lx.RESULTS.stagnation
    assert result(np.eye(6, k=1), np.ones(6)) == lx.RESULTS.stagnation
    assert result(np.full((6, 6), np.nan), np.ones(6)) == lx.RESULTS.stagnation
    assert result(projection, np.full(6, np.nan)) == lx.RESULTS.nonfinite_input
    assert result(np.roll(one, 1, 0), one[0], max_steps=3) == lx.RESULTS.max_steps_reached


def test_samples_single_precision_and_trees():
    scales = np.asarray([1.0, 2.0, 1e-3], np.float32)
    matrix = np.asarray(np.eye(6) + 0.3 * np.random.default_rng(2).normal(size=(6, 6)), np.float32)
    b = {"a": jnp.asarray(np.ones(2), jnp.float32), "b": jnp.asarray(np.full((2, 2), -1.0), jnp.float32)}

    @jax.jit
    @jax.vmap
    def each(scale):
        flat, unravel = jax.flatten_util.ravel_pytree(b)
        return solve_linear(lambda v: unravel(scale * matrix @ jax.flatten_util.ravel_pytree(v)[0]), b, throw=False)

    wanted = np.linalg.solve(matrix, np.asarray([1, 1, -1, -1, -1, -1], np.float32)) / scales[:, None]
    found = each(jnp.asarray(scales))
    np.testing.assert_allclose(found["a"], wanted[:, :2], rtol=1e-4)
    np.testing.assert_allclose(found["b"], wanted[:, 2:].reshape(3, 2, 2), rtol=1e-4)


def test_what_gcr_refuses():
    with pytest.raises(ConfigError, match="GCR needs integers truncation and max_steps of at least 1, got 0 and 5000"):
        GCR(truncation=0)
    operator = lx.MatrixLinearOperator(jnp.eye(2))
    with pytest.raises(ConfigError, match="GCR takes no options, got y0"):
        lx.linear_solve(operator, jnp.ones(2), GCR(), options={"y0": jnp.ones(2)})
    with pytest.raises(ConfigError, match="GCR needs a square operator"):
        lx.linear_solve(lx.MatrixLinearOperator(jnp.ones((2, 3))), jnp.ones(2), GCR())
