"""Numbers far from one, half precision, and starts close to nothing: no failure is a success, and no success a failure."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit import (
    GCR,
    Neumann,
    Picard,
    SteadyState,
    custom_fixed_point,
    custom_root,
    fixed_point,
    implicit_root,
    newton,
    project_l1_ball,
    project_l2_ball,
    project_simplex,
    prox_group_lasso,
)
from neuralop_jax.implicit._linear_solve import solve_linear

SINGLE = jnp.float32


def test_overflow_is_no_success_and_large_numbers_are_none_either(compiled):
    steps = ((lambda x: x / 0.0, jnp.asarray([1.0, 1.0])), (jnp.exp, 10.0))
    ends = lambda: [fixed_point(step, start, method=Picard(), throw=False) for step, start in steps]
    for ended in compiled(ends):
        assert ended.result != 0 and np.isnan(ended.value).all()
    halving = lambda a: fixed_point(lambda x, a: x / 2 + a, jnp.zeros(2, SINGLE), a, method=Picard(), atol=0, throw=False)
    for size in (1e20, 1e-25):  # whose squares are not numbers of single precision
        found = compiled(halving, jnp.asarray(size, SINGLE))
        np.testing.assert_allclose(found.value / size, 2, rtol=1e-5)
        assert found.result == 0 and 1e-8 < found.relative_residual <= 2e-6


def test_maps_that_start_small_do_not_expand(compiled):
    """2 x (1 - x) leaves zero as doubling does, and comes to 1/2."""
    found = compiled(lambda: fixed_point(lambda x: 2 * x * (1 - x), 1e-6, method=Picard()).value)
    np.testing.assert_allclose(found, 0.5, rtol=1e-6)


def test_nothing_but_nan_is_never_accepted(compiled):
    found = compiled(lambda x: fixed_point(lambda x: x * jnp.nan, x, accept=float("inf"), throw=False), jnp.asarray([1.0, 1.0]))
    assert found.result == 2 and np.isnan(found.value).all()


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_derivatives_in_half_precision(kind, compiled):
    """To the rounding of the products, a hundredth, whatever the default solver."""
    matrix = np.asarray([[2.0, 0.5, 0.0], [-0.5, 1.0, 0.25], [0.0, 0.5, 4.0]])
    solve = custom_root(lambda x, a: jnp.asarray(matrix, kind) @ x - a)(lambda x, a: jnp.linalg.solve(matrix, a).astype(kind))
    ones = jnp.asarray(np.ones(3), kind)
    for found in compiled(lambda x, a: [jacobian(solve, argnums=1)(x, a) for jacobian in (jax.jacfwd, jax.jacrev)], ones, ones):
        assert found.dtype == kind
        np.testing.assert_allclose(found.astype(float), np.linalg.inv(matrix), atol=0.02)


@pytest.mark.parametrize(("kind", "rtol"), [("float32", 1e-6), ("bfloat16", 1e-2), ("float16", 1e-2)])
def test_steady_states_in_every_precision(kind, rtol, compiled):
    """The asked tolerance is reached, or ten rounding errors."""
    solve = lambda x: fixed_point(lambda x: jnp.cos(x), x, method=SteadyState(), rtol=rtol, throw=False)
    found = compiled(solve, jnp.asarray(np.ones(2), kind))
    assert found.value.dtype == kind and found.result == 0
    assert found.relative_residual <= max(rtol, 10 * jnp.finfo(kind).eps)
    np.testing.assert_allclose(found.value.astype(float), 0.739085, rtol=max(10 * rtol, 5 * jnp.finfo(kind).eps))


def test_linear_systems_of_tiny_and_huge_numbers(compiled):
    matrix = jnp.asarray([[2.0, 1.0], [0.0, 4.0]], SINGLE)

    def solve(b):
        found = lx.linear_solve(lx.MatrixLinearOperator(matrix), b, GCR(rtol=1e-5))
        return found.stats["num_steps"], found.value, solve_linear(lambda v: matrix @ v, b)

    for size in (1e-25, 1e30):
        steps, *solutions = compiled(solve, jnp.asarray([size, size], SINGLE))
        assert 0 < steps <= 4
        for x in solutions:
            np.testing.assert_allclose(x / size, [0.375, 0.25], rtol=1e-4)


def test_projections_and_shrinkage_of_tiny_and_huge_numbers(compiled):
    """Moved by a constant, or scaled, is the same point."""
    x = np.asarray([0.75, 0.5, -1.0], SINGLE)
    near, moved = (compiled(project_simplex, jnp.asarray(y)) for y in (x, x + SINGLE(2.0**20)))
    np.testing.assert_array_equal(moved, near)
    np.testing.assert_array_equal(compiled(project_simplex, jnp.asarray([1e30, 0.0], SINGLE)), [1, 0])
    np.testing.assert_array_equal(compiled(project_l1_ball, jnp.asarray([-1e30, 0.0], SINGLE)), [-1, 0])

    def of_far(far, size):
        radius = 2 * size
        slope = jax.jacrev(project_l2_ball, argnums=1)(far, radius)
        return project_l2_ball(far, radius) / size, prox_group_lasso(far, size) / size, slope

    for size in (1e-25, 1e30):
        found = compiled(of_far, jnp.asarray([3 * size, 4 * size], SINGLE), jnp.asarray(size, SINGLE))
        for value, wanted in zip(found, ([1.2, 1.6], [2.4, 3.2], [0.6, 0.8])):
            np.testing.assert_allclose(value, wanted, rtol=1e-6)


def test_parameters_by_keyword_are_parameters(compiled):
    """Those that the residual knows; the others are options of the solver."""

    def bisect(start, a, *, steps, b=0.0):
        return jax.lax.while_loop(lambda x: jnp.abs(x * x - a - b) > 1e-13, lambda x: (x + (a + b) / x) / 2, start)

    solve = custom_root(lambda x, a, b=0.0: x * x - a - b)(bisect)
    by_step = custom_fixed_point(lambda x, a, b=0.0: (x + (a + b) / x) / 2)(bisect)
    slopes = lambda a, b: (
        jax.grad(lambda a: solve(1.0, a=a, steps=3))(a),
        jax.grad(lambda b: solve(1.0, 1.0, b=b, steps=3))(b),
        jax.grad(lambda b: by_step(1.0, 1.0, b=b, steps=3))(b),
    )
    np.testing.assert_allclose(compiled(slopes, jnp.asarray(4.0), jnp.asarray(3.0)), 0.25, rtol=0, atol=1e-12)
    on_host = custom_root(lambda x, a: x - 2 * a, host=True)(lambda start, a, twice: 2 * a if twice else None)
    assert jax.jit(jax.grad(lambda a: on_host(1.0, a=a, twice=True)))(3.0) == 2


def test_a_series_that_has_begun_to_grow_has_diverged(compiled):
    """Terms 1, 0.01 and then 1.5 times the one before; a series whose terms swing while they fall has not."""
    series = lambda matrix, b, terms: solve_linear(lambda v: v - matrix @ v, b, Neumann(terms), throw=False)
    solve = lambda matrix, b, terms: compiled(series, *map(jnp.asarray, (matrix, b, terms)))
    assert np.isnan(solve(np.diag([0.0, 1.5]), [1.0, 0.01], 6)).all()
    swinging = np.asarray([[0.0, 1.5], [0.5, 0.0]])
    for terms in (40, 41):
        x = solve(swinging, [1.0, 0.0], terms)
        np.testing.assert_allclose(x, np.linalg.solve(np.eye(2) - swinging, [1.0, 0.0]), rtol=0.02)


def test_python_numbers_and_weak_types_are_like_others():
    half = fixed_point(lambda x, a, b: a * x + b, 1.0, 0.5, 1.0)
    np.testing.assert_allclose(half.value, 2, rtol=1e-5)
    full = fixed_point(lambda x: jnp.asarray([0.25, 0.25]) + x / 2, jnp.full(2, 0.5))
    np.testing.assert_array_equal(full.value, 0.5)
    constant = fixed_point(lambda x: jnp.full(2, 3.0), jnp.zeros(2, jnp.float64))
    np.testing.assert_array_equal(constant.value, 3)


def test_one_singular_sample_of_newton_harms_no_other(compiled):
    step = newton(lambda x, a: x * x - a)
    solve = jax.vmap(lambda x, a: fixed_point(step, x, a, method=Picard(), throw=False))
    found = compiled(solve, jnp.asarray([1.0, 0.0]), jnp.asarray([1.0, 1.0]))
    assert found.result.tolist() == [0, 2] and found.value[0] == 1 and np.isnan(found.value[1])


def test_a_solution_needs_numbers_that_have_derivatives():
    for x in (jnp.ones(2, complex), jnp.ones(2, int), 3, jnp.zeros(0), ()):
        with pytest.raises(ConfigError, match="needs a solution of real floating arrays, got"):
            implicit_root(lambda x: x, x)
    with pytest.raises(ConfigError, match="GCR needs an operator on real floating arrays, got complex128"):
        lx.linear_solve(lx.MatrixLinearOperator(jnp.eye(2, dtype=complex)), jnp.ones(2, complex), GCR())
