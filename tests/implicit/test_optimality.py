"""Acceptance 1 and 2: derivatives of solutions found by a JAX loop, and by SciPy on the host, against central differences."""

from functools import partial

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
import scipy.optimize
from jax.flatten_util import ravel_pytree

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit import (
    KKTPoint,
    block_coordinate,
    custom_fixed_point,
    custom_root,
    gradient_descent,
    implicit_root,
    kkt,
    mirror_descent,
    newton,
    project_box,
    project_simplex,
    projected_gradient,
    prox_lasso,
    prox_nonnegative,
    prox_ridge,
    proximal_gradient,
    stationary,
)

RANDOM = np.random.default_rng(0)
MATRIX, TARGET = jnp.asarray(RANDOM.normal(size=(8, 5))), jnp.asarray(RANDOM.normal(size=8))
RATE = float(1 / np.linalg.norm(MATRIX, 2) ** 2)
OPEN = (None, None)
HOST = {"ftol": 1e-30, "gtol": 1e-13, "maxiter": 5000}


def squares(x, target):
    return jnp.sum((MATRIX @ x - target) ** 2) / 2


def of_tree(x, target):
    return squares(jnp.concatenate([x["a"], x["b"]]), target)


def ridge(x, weight, target):
    return of_tree(x, target) + jnp.exp(weight) * (x["a"] @ x["a"] + x["b"] @ x["b"]) / 2


def system(x, target):
    """The unknowns are coupled and the derivative is not symmetric."""
    return {"a": x["a"] + 0.2 * x["b"][0] ** 3 - target[:2], "b": jnp.sinh(x["b"]) - 0.3 * x["a"].sum() - target[2:5]}


def entropic(x, target):
    return squares(x, target) / 10 + x @ jnp.log(x)


def by_blocks(x, target):
    return squares(jnp.concatenate(x), target)


def repeat(step, start, *arguments):
    return jax.lax.fori_loop(0, 4000, lambda _, x: step(x, *arguments), start)


def semismooth(residual, start, *arguments):
    flat, unravel = ravel_pytree(start)
    f = lambda z: ravel_pytree(residual(unravel(z), *arguments))[0]
    return unravel(jax.lax.fori_loop(0, 20, lambda _, z: z - jnp.linalg.solve(jax.jacfwd(f)(z), f(z)), flat))


def least(bounds, penalty, x, target):
    """The minimum of the squares and a penalty by L-BFGS-B; the penalty gives its value and its derivative."""
    matrix = np.asarray(MATRIX)

    def both(x):
        rest, (more, slope) = matrix @ x - target, penalty(x)
        return rest @ rest / 2 + more, matrix.T @ rest + slope

    return scipy.optimize.minimize(both, x, jac=True, method="L-BFGS-B", bounds=bounds, options=HOST).x


def host_ridge(start, weight, target):
    x = least([OPEN] * 5, lambda x: (np.exp(weight) * x @ x / 2, np.exp(weight) * x), np.zeros(5), target)
    return {"a": x[:2], "b": x[2:]}


def host_lasso(start, weight, target):
    """By twice the unknowns, none of which is negative."""
    matrix = np.asarray(MATRIX)

    def both(z):
        rest = matrix @ (z[:5] - z[5:]) - target
        return rest @ rest / 2 + weight * z.sum(), np.concatenate([matrix.T @ rest, -matrix.T @ rest]) + weight

    z = scipy.optimize.minimize(both, np.ones(10) / 10, jac=True, method="L-BFGS-B", bounds=[(0, None)] * 10, options=HOST).x
    return z[:5] - z[5:]


def host_simplex(start, set, target):
    """The sum as one more equation, heavily weighted, of nonnegative least squares: exact up to the square of the weight."""
    heavy = np.concatenate([np.asarray(MATRIX), np.full((1, 5), 1e5)])
    return scipy.optimize.nnls(heavy, np.append(target, 1e5 * set[0]))[0]


def host_box(start, set, target):
    return scipy.optimize.lsq_linear(np.asarray(MATRIX), target, set, method="bvls", tol=1e-14).x


def host_mirror(start, target):
    """The derivative without its mean, by the logarithms of all unknowns but the last."""
    matrix = np.asarray(MATRIX)

    def slope(z):
        x = scipy.special.softmax(np.append(z, 0.0))
        g = matrix.T @ (matrix @ x - target) / 10 + np.log(x)
        return (g - g @ x)[:-1]

    return scipy.special.softmax(np.append(scipy.optimize.root(slope, np.zeros(4), tol=1e-14).x, 0.0))


def host_system(start, target):
    f = lambda z: np.concatenate([z[:2] + 0.2 * z[2] ** 3 - target[:2], np.sinh(z[2:]) - 0.3 * z[:2].sum() - target[2:5]])
    z = scipy.optimize.root(f, np.zeros(5), tol=1e-14).x
    return {"a": z[:2], "b": z[2:]}


def host_kkt(start, limit, target):
    """Active are the bounds that SciPy's point meets; with them it is one linear system."""
    matrix = np.asarray(MATRIX)
    slope = lambda x: matrix.T @ (matrix @ x - target)
    rows = [{"type": "eq", "fun": lambda x: x.sum() - 1}, {"type": "ineq", "fun": lambda x: limit - x}]
    x = scipy.optimize.minimize(
        lambda x: np.sum((matrix @ x - target) ** 2) / 2,
        np.full(5, 0.2),
        jac=slope,
        constraints=rows,
        method="SLSQP",
        options={"ftol": 1e-14},
    ).x
    active = x > limit - 1e-5
    rows = np.concatenate([np.ones((1, 5)), np.eye(5)[active]])
    whole = np.block([[matrix.T @ matrix, rows.T], [rows, np.zeros((len(rows), len(rows)))]])
    z = np.linalg.solve(whole, np.concatenate([matrix.T @ target, [1.0], limit[active]]))
    multipliers = np.zeros(5)
    multipliers[active] = z[6:]
    return KKTPoint({"a": z[:2], "b": z[2:5]}, z[5], multipliers)


def host_blocks(start, weights, target):
    bounds = [(0, None)] * 2 + [OPEN] * 3
    penalty = lambda x: (
        weights[0] * x[:2].sum() + weights[1] * x[2:] @ x[2:] / 2,
        np.append(np.full(2, weights[0]), weights[1] * x[2:]),
    )
    x = least(bounds, penalty, np.zeros(5), target)
    return x[:2], x[2:]


ZERO = {"a": jnp.zeros(2), "b": jnp.zeros(3)}
WEIGHT = jnp.asarray(0.4)
CONDITIONS = kkt(
    lambda x, limit, target: of_tree(x, target),
    lambda x, limit, target: x["a"].sum() + x["b"].sum() - 1,
    lambda x, limit, target: jnp.concatenate([x["a"], x["b"]]) - limit,
)
POINT = KKTPoint({"a": jnp.full(2, 0.2), "b": jnp.full(3, 0.2)}, jnp.asarray(0.0), jnp.zeros(5))
DESCENT = gradient_descent(ridge, RATE / 2)
LASSO = proximal_gradient(squares, prox_lasso, RATE)
SIMPLEX = projected_gradient(squares, project_simplex, RATE)
BOX = projected_gradient(squares, project_box, RATE)
MIRROR = mirror_descent(entropic, 0.3)
BLOCKS = block_coordinate(by_blocks, (prox_nonnegative, prox_ridge), (RATE, RATE))
CASES = {  # decorator, condition, the solver in JAX, that of SciPy, start, parameters
    "stationary": (custom_root, stationary(ridge), partial(repeat, DESCENT), host_ridge, ZERO, (WEIGHT, TARGET)),
    "gradient descent": (custom_fixed_point, DESCENT, partial(repeat, DESCENT), host_ridge, ZERO, (WEIGHT, TARGET)),
    "newton": (custom_fixed_point, newton(system, linear_solver=lx.LU()), partial(semismooth, system), host_system, ZERO, (TARGET,)),
    "kkt": (custom_root, CONDITIONS, partial(semismooth, CONDITIONS), host_kkt, POINT, (jnp.full(5, 0.5), TARGET)),
    "lasso": (custom_fixed_point, LASSO, partial(repeat, LASSO), host_lasso, jnp.zeros(5), (WEIGHT, TARGET)),
    "simplex": (custom_fixed_point, SIMPLEX, partial(repeat, SIMPLEX), host_simplex, jnp.ones(5), ((jnp.asarray(1.0),), TARGET)),
    "box": (custom_fixed_point, BOX, partial(repeat, BOX), host_box, jnp.zeros(5), ((jnp.full(5, -0.2), jnp.full(5, 0.3)), TARGET)),
    "mirror": (custom_fixed_point, MIRROR, partial(repeat, MIRROR), host_mirror, jnp.full(5, 0.2), (TARGET,)),
    "blocks": (
        custom_fixed_point, BLOCKS, partial(repeat, BLOCKS), host_blocks, (jnp.zeros(2), jnp.zeros(3)), ((jnp.asarray(0.1), WEIGHT), TARGET),
    ),
}  # fmt: skip


def like(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(1).normal(size=leaf.shape)), tree)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_of_the_catalogue(name, compiled):
    decorator, condition, loop, on_host, start, theta = CASES[name]
    t, c = like(theta), like(start)
    moved = lambda e: ravel_pytree(loop(start, *jax.tree.map(lambda a, b: a + e * b, theta, t)))[0]
    exact, above, below = compiled(jax.vmap(moved), jnp.asarray([0.0, 1e-5, -1e-5]))
    central = (above - below) / 2e-5
    for solver in (decorator(condition)(loop), decorator(condition, host=True)(on_host)):

        def derivatives(theta, solver=solver):
            x, push = jax.linearize(lambda theta: solver(start, *theta), theta)
            found = x, push(t), jax.linear_transpose(push, theta)(c)[0], t, c
            return [ravel_pytree(tree)[0] for tree in found]

        x, pushed, pulled, by, against = compiled(derivatives, theta)
        np.testing.assert_allclose(x, exact, atol=1e-7)
        np.testing.assert_allclose(pushed, central, atol=1e-6)
        assert abs(pushed @ against - by @ pulled) < 1e-10 * (1 + np.linalg.norm(pulled))


def test_some_constraints_bind_and_others_do_not(compiled):
    """So that the derivatives above are those of both kinds."""
    _, _, loop, _, start, theta = CASES["kkt"]
    point = compiled(lambda theta: loop(start, *theta), theta)
    bound = np.concatenate([point.x["a"], point.x["b"]]) > 0.5 - 1e-9
    assert bound.any() and not bound.all() and (point.inequality[bound] > 1e-3).all() and (point.inequality[~bound] == 0).all()
    for name, rest in (("lasso", lambda x: x == 0), ("simplex", lambda x: x == 0), ("box", lambda x: (x == -0.2) | (x == 0.3))):
        _, _, loop, _, start, theta = CASES[name]
        found = rest(compiled(lambda theta: loop(start, *theta), theta))  # noqa: B023
        assert found.any() and not found.all(), name


def test_nothing_moves_an_inactive_constraint():
    """min (x - a)^2 / 2 with x <= 1: for a = 0.5 the multiplier row would be as small as the slack, and is one."""
    conditions = kkt(lambda x, a: (x - a) ** 2 / 2, inequality=lambda x, a: x - 1)
    slopes = jax.jit(lambda a, *point: jax.jacfwd(lambda a: implicit_root(conditions, KKTPoint(point[0], None, point[1]), a))(a))
    free, bound = slopes(0.5, 0.5, 0.0), slopes(3.0, 1.0, 2.0)
    assert abs(free.x - 1) < 1e-12 and abs(free.inequality) < 1e-12
    assert abs(bound.x) < 1e-12 and abs(bound.inequality - 1) < 1e-12


def test_a_catalogue_refuses_what_does_not_fit():
    with pytest.raises(
        ConfigError, match=r"equality multipliers of a KKTPoint must have the structure of the constraints, \(\), got None"
    ):
        CONDITIONS(KKTPoint(ZERO, None, jnp.zeros(5)), 0.5, TARGET)
    with pytest.raises(ConfigError, match="block_coordinate has 2 operators and 2 rates, and got 1 blocks and 2 weights"):
        BLOCKS((jnp.zeros(5),), (0.0, 1.0), TARGET)
