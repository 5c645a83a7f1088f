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


@pytest.mark.parametrize("name", SOLVERS)
def test_first_and_second_derivatives_are_those_of_the_closed_form(name):
    """Acceptance 1, 2 and 4, with the parameters of every kind: a scalar and a matrix."""
    solve = lambda weight, matrix: SOLVERS[name](jnp.zeros(5), weight, matrix)
    weight = jnp.asarray(0.3)
    np.testing.assert_allclose(solve(weight, MATRIX), ridge(weight), atol=1e-8)
    by_matrix = jax.jit(jax.jacrev(solve, argnums=1))(weight, MATRIX)
    np.testing.assert_allclose(by_matrix, jax.jit(jax.jacfwd(ridge, argnums=1))(weight, MATRIX), atol=1e-7)
    if name == "scipy":
        return
    forward, second = jax.jit(lambda w: (jax.jacfwd(solve)(w, MATRIX), jax.jacfwd(jax.jacrev(solve))(w, MATRIX)))(weight)
    np.testing.assert_allclose(forward, jax.jacfwd(ridge)(weight), atol=1e-7)
    np.testing.assert_allclose(second, jax.hessian(ridge)(weight), atol=1e-6)


def test_forward_and_reverse_are_adjoint_for_trees_of_unknowns():
    """Acceptance 2: <J t, c> = <t, J' c>."""

    def residual(x, theta):
        coupled = jnp.sum(x["b"]) + theta["s"]
        return {"a": x["a"] ** 3 + coupled - theta["v"], "b": 2 * x["b"] + 0.1 * jnp.sin(x["a"][:2] * x["b"])}

    @custom_root(residual)
    def solve(start, theta):
        flat, unravel = jax.flatten_util.ravel_pytree(start)
        f = lambda z: jax.flatten_util.ravel_pytree(residual(unravel(z), theta))[0]
        return unravel(jax.lax.fori_loop(0, 30, lambda _, z: z - jnp.linalg.solve(jax.jacfwd(f)(z), f(z)), flat))

    start = {"a": jnp.ones(3), "b": jnp.full(2, 0.1)}
    theta = {"v": jnp.asarray([2.0, 3.0, 4.0]), "s": jnp.asarray(0.5)}
    random = np.random.default_rng(0)
    t = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), theta)
    c = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), start)
    x, pushed = jax.jvp(lambda theta: solve(start, theta), (theta,), (t,))
    (pulled,) = jax.vjp(lambda theta: solve(start, theta), theta)[1](c)
    dot = lambda a, b: sum(jnp.vdot(a[name], b[name]) for name in a)
    assert max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(residual(x, theta))) < 1e-12
    assert abs(dot(pushed, c) - dot(t, pulled)) < 1e-10 * abs(dot(t, pulled))


def test_captured_values_and_modules_are_differentiated_and_starts_are_not():
    def solution(scale, layer, start):
        step = lambda x: jnp.tanh(layer(x)) * scale

        @custom_fixed_point(step)
        def solve(start):
            return jax.lax.while_loop(lambda x: jnp.linalg.norm(step(x) - x) > 1e-14, step, start)

        return jnp.sum(solve(start) ** 2)

    layer = eqx.nn.Linear(4, 4, key=jax.random.key(0))
    scale, start = jnp.asarray(0.5), jnp.ones(4)
    slopes = eqx.filter_grad(lambda all: solution(*all))((scale, layer, start))
    for move in (
        lambda e: (scale + e, layer, start),
        lambda e: (scale, eqx.tree_at(lambda m: m.bias, layer, layer.bias + e), start),
    ):
        central = (solution(*move(1e-5)) - solution(*move(-1e-5))) / 2e-5
        along = slopes[0] if move(1.0)[0] is not scale else slopes[1].bias.sum()
        assert abs(central - along) < 1e-8
    assert (slopes[2] == 0).all()


def test_an_error_of_the_solution_is_one_of_the_derivative_of_first_order():
    """Acceptance 5."""
    exact, errors, slopes = jax.jacfwd(ridge)(jnp.asarray(0.0)), [], []
    for steps in (10, 20, 40, 80):
        rate = 1 / (jnp.linalg.norm(MATRIX, 2) ** 2 + 1)
        loop = lambda start, w, m: jax.lax.fori_loop(0, steps, lambda _, x: x - rate * gradient(x, w, m), start)  # noqa: B023
        solve = lambda w: custom_root(gradient)(loop)(jnp.zeros(5), w, MATRIX)  # noqa: B023
        errors.append(jnp.linalg.norm(solve(jnp.asarray(0.0)) - ridge(0.0)))
        slopes.append(jnp.linalg.norm(jax.jacfwd(solve)(jnp.asarray(0.0)) - exact))
    order = np.polyfit(np.log(errors), np.log(slopes), 1)[0]
    assert abs(order - 1) < 0.2


def test_the_memory_of_a_derivative_is_that_of_some_fields():
    """Acceptance 3, and less than 2 MB for 2000 unknowns: never a dense Jacobian."""
    step = lambda x, a: jnp.tanh(0.3 * (jnp.roll(x, 1) + jnp.roll(x, -1)) + a)
    solve = custom_fixed_point(step)(lambda x, a: jax.lax.fori_loop(0, 50, lambda _, x: step(x, a), x))
    for n, bound in ((2000, 2e6), (100_000, 50 * 8 * 100_000)):
        compiled = jax.jit(jax.grad(lambda a: jnp.sum(solve(jnp.zeros_like(a), a) ** 2))).lower(jnp.ones(n)).compile()
        assert compiled.memory_analysis().temp_size_in_bytes < bound


def test_a_singular_system_is_nan_or_an_error_and_other_samples_are_whole():
    residual = lambda x, a: a * x - 1.0
    both = jnp.asarray([2.0, 0.0])
    solve = custom_root(residual, throw=False)(lambda x, a: jnp.where(a == 0, 0.0, 1 / a))
    slopes = jax.vmap(jax.grad(solve, argnums=1), in_axes=(None, 0))(0.0, both)
    assert abs(slopes[0] + 0.25) < 1e-12 and jnp.isnan(slopes[1])
    with pytest.raises(Exception, match="The linear system was not solved: it is singular.*Check that the solution is isolated"):
        jax.jit(jax.grad(custom_root(residual)(lambda x, a: x), argnums=1))(1.0, 0.0).block_until_ready()


def test_mapped_solvers_aux_and_options():
    @custom_root(lambda x, a: x * x - a, has_aux=True)
    def solve(start, a, *, steps):
        return jax.lax.fori_loop(0, steps, lambda _, x: (x + a / x) / 2, start), {"steps": steps}

    values = jnp.asarray([1.0, 4.0, 9.0])
    slopes, aux = jax.vmap(jax.grad(lambda a: solve(1.0, a, steps=20), has_aux=True))(values)
    np.testing.assert_allclose(slopes, 0.5 / jnp.sqrt(values), rtol=1e-12)
    assert aux["steps"].tolist() == [20, 20, 20]


def test_a_known_solution_takes_part_in_derivatives():
    slope = jax.grad(lambda a: implicit_root(lambda x, a: x**3 - a, 2.0, a))(8.0)
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
def test_the_usual_linear_solvers_serve_in_both_modes(name):
    """For a matrix that is not symmetric."""
    matrix = jnp.eye(5) + 0.1 * MATRIX[:5]
    solve = custom_root(lambda x, a: matrix @ x - a, linear_solver=CHOICES[name])(lambda start, a: jnp.linalg.solve(matrix, a))
    for jacobian in jax.jit(lambda a: (jax.jacfwd(solve, argnums=1)(a, a), jax.jacrev(solve, argnums=1)(a, a)))(jnp.ones(5)):
        np.testing.assert_allclose(jacobian, jnp.linalg.inv(matrix), atol=1e-9)


def test_solutions_and_parameters_of_weak_type_are_like_others():
    """As `jnp.full(3, 0.5)` and Python numbers are."""
    gradient = jax.grad(lambda x, a: jnp.sum((x - 1) ** 2) / 2 + a * jnp.sum(x**2) / 2)
    solve = custom_root(gradient)(lambda start, a: jnp.full(3, 1 / (1 + a)))
    assert abs(jax.grad(lambda a: solve(jnp.full(3, 0.0), a).sum())(1.0) + 3 / 4) < 1e-12
    assert abs(jax.grad(lambda a: implicit_root(gradient, jnp.full(3, 0.5), a).sum())(1.0) + 3 / 4) < 1e-12


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"must have the structure and types of the solution, float64\(2,\), got float64\(\)"):
        custom_root(lambda x: jnp.sum(x))(lambda x: x)(jnp.ones(2))
    with pytest.raises(ConfigError, match=r"of the solution, float32\(2,\), got float64\(2,\)"):
        custom_root(lambda x, a: x - a)(lambda x, a: x)(jnp.ones(2, jnp.float32), jnp.ones(2))
    with pytest.raises(ConfigError, match="cannot take aux from a solver on the host"):
        custom_root(lambda x: x, has_aux=True, host=True)
