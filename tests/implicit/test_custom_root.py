import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
import scipy.optimize

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit import GCR, Neumann, custom_fixed_point, custom_root, implicit_root

MATRIX = jnp.asarray(np.random.default_rng(0).normal(size=(12, 5)))
TARGET = jnp.asarray(np.random.default_rng(1).normal(size=12))


def gradient(x, weight, matrix):
    """Of the ridge regression with weight exp(weight)."""
    return matrix.T @ (matrix @ x - TARGET) + jnp.exp(weight) * x


def ridge(weight, matrix=MATRIX):
    return jnp.linalg.solve(matrix.T @ matrix + jnp.exp(weight) * jnp.eye(5), matrix.T @ TARGET)


def newton(start, weight, matrix):
    step = lambda _, x: x - jnp.linalg.solve(matrix.T @ matrix + jnp.exp(weight) * jnp.eye(5), gradient(x, weight, matrix))
    return jax.lax.fori_loop(0, 3, step, start)


def descent(start, weight, matrix):
    """Not differentiable in reverse mode."""
    rate = 1 / (jnp.linalg.norm(matrix, 2) ** 2 + jnp.exp(weight))
    going = lambda x: jnp.linalg.norm(gradient(x, weight, matrix)) > 1e-11
    return jax.lax.while_loop(going, lambda x: x - rate * gradient(x, weight, matrix), start)


def scipys(start, weight, matrix):
    """Sees NumPy arrays only."""
    assert isinstance(matrix, np.ndarray)
    function = lambda x: np.sum((matrix @ x - np.asarray(TARGET)) ** 2) / 2 + np.exp(weight) * np.sum(x**2) / 2
    slope = lambda x: matrix.T @ (matrix @ x - np.asarray(TARGET)) + np.exp(weight) * x
    return scipy.optimize.minimize(function, start, jac=slope, method="BFGS", options={"gtol": 1e-12}).x


SOLVERS = {
    "newton": custom_root(gradient, linear_solver=lx.LU())(newton),
    "descent": custom_root(gradient, linear_solver=lx.CG(1e-14, 1e-14), tags=lx.positive_semidefinite_tag)(descent),
    "scipy": custom_root(gradient, host=True)(scipys),
}


@functools.cache
def closed_form():
    """The solution, its derivatives by the matrix and by the weight, and the second one by the weight."""
    by_weight = lambda weight: (jax.jacfwd(ridge)(weight), jax.hessian(ridge)(weight))
    return jax.jit(lambda weight: (ridge(weight), jax.jacfwd(ridge, argnums=1)(weight, MATRIX), *by_weight(weight)))(0.3)


@pytest.mark.parametrize("name", SOLVERS)
def test_first_and_second_derivatives_are_those_of_the_closed_form(name, compiled):
    """Acceptance 1, 2 and 4, with the parameters of every kind: a scalar and a matrix."""
    solve = lambda weight, matrix: SOLVERS[name](jnp.zeros(5), weight, matrix)

    def derivatives(weight):
        by_weight = () if name == "scipy" else (jax.jacfwd(solve)(weight, MATRIX), jax.jacfwd(jax.jacrev(solve))(weight, MATRIX))
        return solve(weight, MATRIX), jax.jacrev(solve, argnums=1)(weight, MATRIX), *by_weight

    found = compiled(derivatives, jnp.asarray(0.3))
    assert len(found) == (2 if name == "scipy" else 4)
    for value, wanted, atol in zip(found, closed_form(), (1e-8, 1e-7, 1e-7, 1e-6)):
        np.testing.assert_allclose(value, wanted, atol=atol)


def test_forward_and_reverse_are_adjoint_for_trees_of_unknowns(compiled):
    """Acceptance 2: <J t, c> = <t, J' c>."""

    def residual(x, theta):
        coupled = jnp.sum(x["b"]) + theta["s"]
        return {"a": x["a"] ** 3 + coupled - theta["v"], "b": 2 * x["b"] + 0.1 * jnp.sin(x["a"][:2] * x["b"])}

    @custom_root(residual)
    def solve(start, theta):
        flat, unravel = jax.flatten_util.ravel_pytree(start)
        f = lambda z: jax.flatten_util.ravel_pytree(residual(unravel(z), theta))[0]
        return unravel(jax.lax.fori_loop(0, 30, lambda _, z: z - jnp.linalg.solve(jax.jacfwd(f)(z), f(z)), flat))

    start = {"a": jnp.asarray([1.0, 1.0, 1.0]), "b": jnp.asarray([0.1, 0.1])}
    theta = {"v": jnp.asarray([2.0, 3.0, 4.0]), "s": jnp.asarray(0.5)}
    random = np.random.default_rng(0)
    t = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), theta)
    c = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), start)

    def both_ways(start, theta):
        x, pushed = jax.jvp(lambda theta: solve(start, theta), (theta,), (t,))
        return residual(x, theta), pushed, jax.vjp(lambda theta: solve(start, theta), theta)[1](c)[0]

    rest, pushed, pulled = compiled(both_ways, start, theta)
    dot = lambda a, b: sum(np.vdot(a[name], b[name]) for name in a)
    assert max(abs(leaf).max() for leaf in jax.tree.leaves(rest)) < 1e-12
    assert abs(dot(pushed, c) - dot(t, pulled)) < 1e-10 * abs(dot(t, pulled))


def test_captured_values_and_modules_are_differentiated_and_starts_are_not(compiled):
    def solution(scale, layer, start):
        step = lambda x: jnp.tanh(layer(x)) * scale

        @custom_fixed_point(step)
        def solve(start):
            return jax.lax.while_loop(lambda x: jnp.linalg.norm(step(x) - x) > 1e-14, step, start)

        return jnp.sum(solve(start) ** 2)

    moves = (
        lambda e, scale, layer: (scale + e, layer),
        lambda e, scale, layer: (scale, eqx.tree_at(lambda m: m.bias, layer, layer.bias + e)),
    )

    def derivatives(scale, layer, start):
        moved = lambda move, e: solution(*move(e, scale, layer), start)
        central = [(moved(move, 1e-5) - moved(move, -1e-5)) / 2e-5 for move in moves]
        return eqx.filter_grad(lambda all: solution(*all))((scale, layer, start)), central

    layer = eqx.nn.Linear(4, 4, key=jax.random.key(0))
    (by_scale, by_layer, by_start), central = compiled(derivatives, jnp.asarray(0.5), layer, jnp.asarray([1.0, 1.0, 1.0, 1.0]))
    assert abs(central[0] - by_scale) < 1e-8
    assert abs(central[1] - by_layer.bias.sum()) < 1e-8
    assert (by_start == 0).all()


def test_an_error_of_the_solution_is_one_of_the_derivative_of_first_order(compiled):
    """Acceptance 5."""
    rate = 1 / (np.linalg.norm(MATRIX, 2) ** 2 + 1)

    @custom_root(gradient)
    def solve(start, weight, matrix, *, steps):
        return jax.lax.fori_loop(0, steps, lambda _, x: x - rate * gradient(x, weight, matrix), start)

    def errors(weight, steps):
        after = lambda weight: solve(jnp.zeros(5), weight, MATRIX, steps=steps)
        return jnp.linalg.norm(after(weight) - ridge(weight)), jnp.linalg.norm(
            jax.jacfwd(after)(weight) - jax.jacfwd(ridge)(weight)
        )

    of_solution, of_slope = compiled(jax.vmap(errors, in_axes=(None, 0)), jnp.asarray(0.0), jnp.asarray([10, 20, 40, 80]))
    order = np.polyfit(np.log(of_solution), np.log(of_slope), 1)[0]
    assert abs(order - 1) < 0.2


def test_the_memory_of_a_derivative_is_that_of_some_fields():
    """Acceptance 3, and less than 2 MB for 2000 unknowns: never a dense Jacobian."""
    step = lambda x, a: jnp.tanh(0.3 * (jnp.roll(x, 1) + jnp.roll(x, -1)) + a)
    solve = custom_fixed_point(step)(lambda x, a: jax.lax.fori_loop(0, 50, lambda _, x: step(x, a), x))
    for n, bound in ((2000, 2e6), (100_000, 50 * 8 * 100_000)):
        slope = jax.jit(jax.grad(lambda a: jnp.sum(solve(jnp.zeros_like(a), a) ** 2)))
        program = slope.lower(jax.ShapeDtypeStruct((n,), jnp.float64)).compile()
        assert program.memory_analysis().temp_size_in_bytes < bound


def test_a_singular_system_is_nan_or_an_error_and_other_samples_are_whole(compiled):
    residual = lambda x, a: a * x - 1.0
    both = jnp.asarray([2.0, 0.0])
    solve = custom_root(residual, throw=False)(lambda x, a: jnp.where(a == 0, 0.0, 1 / a))
    slopes = compiled(jax.vmap(jax.grad(solve, argnums=1), in_axes=(None, 0)), jnp.asarray(0.0), both)
    assert abs(slopes[0] + 0.25) < 1e-12 and np.isnan(slopes[1])
    with pytest.raises(Exception, match="The linear system was not solved: it is singular.*Check that the solution is isolated"):
        jax.jit(jax.grad(custom_root(residual)(lambda x, a: x), argnums=1))(1.0, 0.0).block_until_ready()


def test_mapped_solvers_aux_and_options(compiled):
    @custom_root(lambda x, a: x * x - a, has_aux=True)
    def solve(start, a, *, steps):
        return jax.lax.fori_loop(0, steps, lambda _, x: (x + a / x) / 2, start), {"steps": steps}

    values = np.asarray([1.0, 4.0, 9.0])
    slopes, aux = compiled(jax.vmap(jax.grad(lambda a: solve(1.0, a, steps=20), has_aux=True)), jnp.asarray(values))
    np.testing.assert_allclose(slopes, 0.5 / np.sqrt(values), rtol=1e-12)
    assert aux["steps"].tolist() == [20, 20, 20]


def test_a_known_solution_takes_part_in_derivatives(compiled):
    slope = compiled(jax.grad(lambda a: implicit_root(lambda x, a: x**3 - a, 2.0, a)), jnp.asarray(8.0))
    assert abs(slope - 1 / 12) < 1e-12


CHOICES = {
    "GCR": GCR(1e-12),
    "GMRES": lx.GMRES(1e-12, 1e-12),
    "BiCGStab": lx.BiCGStab(1e-12, 1e-12),
    "normal CG": lx.Normal(lx.CG(1e-14, 1e-14)),
    "LU": lx.LU(),
    "Neumann": Neumann(60),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_usual_linear_solvers_serve_in_both_modes(name, compiled):
    """For a matrix that is not symmetric."""
    matrix = np.eye(5) + 0.1 * np.asarray(MATRIX)[:5]
    solve = custom_root(lambda x, a: matrix @ x - a, linear_solver=CHOICES[name])(lambda start, a: jnp.linalg.solve(matrix, a))
    jacobians = lambda a: (jax.jacfwd(solve, argnums=1)(a, a), jax.jacrev(solve, argnums=1)(a, a))
    for jacobian in compiled(jacobians, jnp.asarray(np.ones(5))):
        np.testing.assert_allclose(jacobian, np.linalg.inv(matrix), atol=1e-9)


def test_solutions_and_parameters_of_weak_type_are_like_others(compiled):
    """As `jnp.full(3, 0.5)` and Python numbers are."""
    gradient = jax.grad(lambda x, a: jnp.sum((x - 1) ** 2) / 2 + a * jnp.sum(x**2) / 2)
    solve = custom_root(gradient)(lambda start, a: jnp.full(3, 1 / (1 + a)))
    slopes = lambda: (
        jax.grad(lambda a: solve(jnp.full(3, 0.0), a).sum())(1.0),
        jax.grad(lambda a: implicit_root(gradient, jnp.full(3, 0.5), a).sum())(1.0),
    )
    np.testing.assert_allclose(compiled(slopes), -3 / 4, rtol=0, atol=1e-12)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"must have the structure and types of the solution, float64\(2,\), got float64\(\)"):
        custom_root(lambda x: jnp.sum(x))(lambda x: x)(jnp.ones(2))
    with pytest.raises(ConfigError, match=r"of the solution, float32\(2,\), got float64\(2,\)"):
        custom_root(lambda x, a: x - a)(lambda x, a: x)(jnp.ones(2, jnp.float32), jnp.ones(2))
    with pytest.raises(ConfigError, match="cannot take aux from a solver on the host"):
        custom_root(lambda x: x, has_aux=True, host=True)
