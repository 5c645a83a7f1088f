import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.evaluation._unrolled import unrolled_darcy
from neuralop_jax.grids import Grid
from neuralop_jax.solvers import solve_darcy

GRID = Grid((9, 9), boundary=("dirichlet", "dirichlet"))


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float64, 1e-10), (jnp.float32, 1e-4)])
def test_iterations_far_beyond_convergence_change_neither_solution_nor_gradient(dtype, tolerance):
    a = jnp.exp(jnp.sin(3 * jnp.arange(81.0)).reshape(1, 9, 9)).astype(dtype)
    source = jnp.ones((1, 9, 9), dtype)
    square = lambda solve: jax.jit(jax.value_and_grad(lambda a: jnp.sum(solve(a) ** 2)))(a)
    exact = square(lambda a: solve_darcy(a, source, GRID, rtol=1e-12 if dtype == jnp.float64 else 1e-6).value)
    found = square(lambda a: unrolled_darcy(a, source, GRID, num_steps=600))
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * float(jnp.abs(other).max()))


def test_a_source_of_zero_has_a_pressure_and_a_gradient_of_zero():
    value, slope = jax.jit(jax.value_and_grad(lambda f: jnp.sum(unrolled_darcy(jnp.ones((1, 9, 9)), f, GRID, num_steps=3) ** 2)))(
        jnp.zeros((1, 9, 9))
    )
    assert value == 0 and not slope.any()
