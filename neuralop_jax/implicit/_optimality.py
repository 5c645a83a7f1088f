"""The equations that solutions of optimization problems satisfy: residuals for `custom_root`, steps for `custom_fixed_point`.

The rate of a step changes neither the solution nor its derivatives, only the conditioning of their linear system. Unknowns and
parameters are any trees unless an argument says otherwise.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, PyTree

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit._linear_solve import solve_linear

Objective = Callable[..., Array]
Map = Callable[..., PyTree[Array]]


class KKTPoint(NamedTuple):
    """The unknowns of `kkt`: the point and the multipliers of both kinds of constraints, `None` where there are none."""

    x: PyTree[Array]
    equality: PyTree[Array] = None
    inequality: PyTree[Array] = None


def stationary(objective: Objective) -> Map:
    r"""The residual $F(x, \theta) = \nabla_x f(x, \theta)$ of a minimum.

    Its derivative is symmetric, at a strict minimum positive definite: take `tags=lineax.positive_semidefinite_tag` and
    `lineax.CG`.

    **Arguments:** `objective` is $f$, called `objective(x, *arguments)`, twice differentiable.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        import lineax as lx
        from neuralop_jax.implicit import custom_root, stationary

        residual = stationary(lambda x, a: jnp.sum((x - 1) ** 2) + a * jnp.sum(x**2))
        solve = custom_root(residual, linear_solver=lx.CG(1e-6, 1e-6), tags=lx.positive_semidefinite_tag)(
            lambda start, a: jnp.full(3, 1 / (1 + a))
        )
        slope = jax.grad(lambda a: solve(jnp.zeros(3), a)[0])(1.0)
        assert abs(slope + 0.25) < 1e-6
        ```
    """
    return jax.grad(objective)


def gradient_descent(objective: Objective, rate: ArrayLike = 1.0) -> Map:
    r"""The step $T(x, \theta) = x - \eta\nabla_x f(x, \theta)$.

    **Arguments:** `objective` is $f$, called `objective(x, *arguments)`; `rate` is $\eta$. *Good values*: with `Neumann`, and to
    iterate, less than two over the largest eigenvalue of $\nabla^2 f$; otherwise any.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import gradient_descent, project_nonnegative, projected_gradient

        distance, b = lambda x, b: jnp.sum((x - b) ** 2) / 2, jnp.asarray([3.0, -1.0])
        assert gradient_descent(distance)(jnp.zeros(2), b).tolist() == [3, -1]
        assert projected_gradient(distance, project_nonnegative)(jnp.zeros(2), (), b).tolist() == [3, 0]
        ```
    """
    slope = jax.grad(objective)
    return lambda x, *arguments: jax.tree.map(lambda a, g: a - rate * g, x, slope(x, *arguments))


def newton(residual: Map, rate: ArrayLike = 1.0, *, linear_solver: lx.AbstractLinearSolver | None = None) -> Map:
    r"""The step $T(x, \theta) = x - \eta\,(\partial_x G)^{-1} G(x, \theta)$, whose derivative by $x$ at a root is $(1 - \eta)I$.

    The linear system of the derivatives is then $\eta I$; the one with $\partial_x G$ is solved inside of $T$.

    **Arguments:**

    - `residual`: $G$, called `residual(x, *arguments)`; for a minimum `stationary(objective)`.
    - `rate`: $\eta$, 1 or less.
    - `linear_solver`: a Lineax solver for $\partial_x G$; `GCR` if `None`.

    **Returns:** the step, called `step(x, *arguments)`; NaN where $\partial_x G$ is singular, so that one sample harms no other.

    !!! example

        ```python
        from neuralop_jax.implicit import newton

        step = newton(lambda x, a: x**2 - a)
        assert abs(step(3.0, 4.0) - (3 - 5 / 6)) < 1e-6
        ```
    """

    def step(x: PyTree, *arguments: Any) -> PyTree[Array]:
        x = jax.tree.map(jnp.asarray, x)
        value, product = jax.linearize(lambda x: residual(x, *arguments), x)
        change = solve_linear(product, value, linear_solver, throw=False)
        return jax.tree.map(lambda a, d: a - rate * d, x, change)

    return step


def kkt(objective: Objective, equality: Map | None = None, inequality: Map | None = None) -> Map:
    r"""The residual of the Karush-Kuhn-Tucker conditions of $\min f$ subject to $h = 0$ and $g \le 0$,

    $$\big(\nabla_x(f + \nu\cdot h + \lambda\cdot g),\quad h,\quad \min(\lambda, -g)\big).$$

    The minimum is zero exactly where $\lambda \ge 0$, $g \le 0$ and $\lambda g = 0$. Unlike the product $\lambda g$, whose row is
    as small as the slack or the multiplier, it restricts the system to the active set: $\dot g_i = 0$ for active constraints,
    $\dot\lambda_i = 0$ for others. The system is regular if the gradients of the active constraints are independent and $f$ is
    strictly convex along them. Where $\lambda_i = g_i = 0$ the derivative is that of the active side.

    **Arguments:**

    - `objective`, `equality`, `inequality`: $f$, $h$, $g$, each called `(x, *arguments)`; $h$ and $g$ return any trees.

    **Returns:** the residual of a `KKTPoint`, called `residual(point, *arguments)`. Its derivative is not symmetric:
    `lineax.LU()` for few unknowns, otherwise the default.

    **Raises:** `ConfigError` if the multipliers do not have the structure of the constraints.

    **Source:** the minimum from Facchinei, Pang 2003, *Finite-Dimensional Variational Inequalities*, section 1.5.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.implicit import KKTPoint, implicit_root, kkt

        conditions = kkt(lambda x, a: jnp.sum((x - a) ** 2) / 2, equality=lambda x, a: jnp.sum(x) - 1)
        project = lambda a: KKTPoint(a - (a.sum() - 1) / 2, (a.sum() - 1) / 2)
        x = lambda a: implicit_root(conditions, project(a), a).x
        assert jnp.allclose(jax.jacrev(x)(jnp.asarray([1.0, 3.0])), jnp.asarray([[0.5, -0.5], [-0.5, 0.5]]), atol=1e-6)
        ```
    """

    def values(constraint: Map | None, multiplier: PyTree, name: str, x: PyTree, arguments: tuple) -> PyTree[Array]:
        found = None if constraint is None else constraint(x, *arguments)
        shapes = [jax.tree.map(jnp.shape, tree) for tree in (found, multiplier)]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"The {name} multipliers of a KKTPoint must have the structure of the constraints, {shapes[0]}, got {shapes[1]}. "
                "Give one for each."
            )
        return found

    def residual(point: KKTPoint, *arguments: Any) -> KKTPoint:
        x, nu, lam = point
        h, g = (
            values(constraint, multiplier, name, x, arguments)
            for constraint, multiplier, name in ((equality, nu, "equality"), (inequality, lam, "inequality"))
        )

        def lagrangian(x: PyTree) -> Array:
            total = objective(x, *arguments)
            for constraint, multiplier in ((equality, nu), (inequality, lam)):
                if constraint is not None:
                    total += _dot(constraint(x, *arguments), multiplier)
            return total

        complementary = jax.tree.map(lambda a, b: jnp.where(a < -b, a, -b), lam, g)
        return KKTPoint(jax.grad(lagrangian)(x), h, complementary)

    return residual


def proximal_gradient(objective: Objective, prox: Map, rate: ArrayLike = 1.0) -> Map:
    r"""The step $T(x, w, \theta) = \operatorname{prox}_{\eta g_w}\!\big(x - \eta\nabla_x f(x, \theta)\big)$ of $\min f + g_w$.

    **Arguments:**

    - `objective`: $f$, called `objective(x, *arguments)`.
    - `prox`: called `prox(x, weights)`, with weights in which $g$ is linear, such as `prox_lasso`.
    - `rate`: $\eta$. Any positive number serves for derivatives; to iterate, as in `gradient_descent`.

    **Returns:** the step, called `step(x, weights, *arguments)`.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.implicit import custom_fixed_point, prox_lasso, proximal_gradient

        step = proximal_gradient(lambda x, b: jnp.sum((x - b) ** 2) / 2, prox_lasso, rate=0.5)

        @custom_fixed_point(step)
        def denoised(start, weight, b):
            return jax.lax.fori_loop(0, 30, lambda _, x: step(x, weight, b), start)

        b = jnp.asarray([3.0, -2.0, 0.5])
        slope = jax.jacrev(denoised, argnums=1)(jnp.zeros(3), 1.0, b)
        assert jnp.allclose(slope, jnp.asarray([-1.0, 1.0, 0.0]))
        ```
    """
    descend = gradient_descent(objective, rate)
    scaled = lambda weights: jax.tree.map(lambda w: rate * w, weights)
    return lambda x, weights, *arguments: prox(descend(x, *arguments), scaled(weights))


def projected_gradient(objective: Objective, project: Map, rate: ArrayLike = 1.0) -> Map:
    r"""The step $T(x, s, \theta) = P_{C(s)}\!\big(x - \eta\nabla_x f(x, \theta)\big)$ of $\min f$ on a convex set.

    **Arguments:**

    - `objective`: $f$, called `objective(x, *arguments)`.
    - `project`: called `project(x, *set)`, such as `project_simplex`.
    - `rate`: $\eta$, as in `proximal_gradient`.

    **Returns:** the step, called `step(x, set, *arguments)`; `set` is the tuple of what describes the set, `()` if nothing does.
    """
    descend = gradient_descent(objective, rate)
    return lambda x, set, *arguments: project(descend(x, *arguments), *set)


def mirror_descent(objective: Objective, rate: ArrayLike = 1.0, *, mirror: Map = jnp.log, back: Map = jax.nn.softmax) -> Map:
    r"""The step $T(x, \theta) = \nabla\phi^*\!\big(\nabla\phi(x) - \eta\nabla_x f(x, \theta)\big)$, by default on the simplex.

    There $\phi$ is the negative entropy and $T$ is the softmax of $\log x - \eta\nabla f$. Derivatives need $x > 0$; a solution
    on the boundary of the simplex is for `projected_gradient`.

    **Arguments:**

    - `objective`: $f$, called `objective(x, *arguments)`.
    - `rate`: $\eta$.
    - `mirror`, `back`: $\nabla\phi$, and the inverse with the Bregman projection onto the set.

    **Source:** Beck, Teboulle, Oper. Res. Lett. 31 (2003), doi:10.1016/S0167-6377(02)00231-6.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.implicit import custom_fixed_point, mirror_descent

        entropic = lambda x, c: x @ c + x @ jnp.log(x)  # whose minimum on the simplex is softmax(-c)
        solve = custom_fixed_point(mirror_descent(entropic))(lambda start, c: jax.nn.softmax(-c))
        c = jnp.asarray([0.0, 1.0, 2.0])
        found = jax.jacrev(solve, argnums=1)(c, c)
        assert jnp.allclose(found, jax.jacrev(lambda c: jax.nn.softmax(-c))(c), atol=1e-6)
        ```
    """
    slope = jax.grad(objective)

    def step(x: PyTree, *arguments: Any) -> PyTree[Array]:
        change = slope(x, *arguments)
        return back(jax.tree.map(lambda a, g: a - rate * g, mirror(x), change))

    return step


def block_coordinate(objective: Objective, proxes: tuple[Map, ...], rates: tuple[ArrayLike, ...]) -> Map:
    r"""One sweep of proximal gradient steps over the blocks of $x = (x_1, \dots, x_n)$, each seeing the blocks before it renewed:

    $$x_i \leftarrow \operatorname{prox}_{\eta_i g_i}\!\big(x_i - \eta_i\nabla_i f(x, \theta)\big).$$

    **Arguments:**

    - `objective`: $f$, called `objective(x, *arguments)`.
    - `proxes`: one for each block, called `prox(block, weights)`.
    - `rates`: $\eta_i$, to iterate below two over the largest eigenvalue of $\nabla_i^2 f$.

    **Returns:** the step, called `step(x, weights, *arguments)` with tuples of blocks and of their weights (`None` for a prox
    that takes none).

    **Raises:** `ConfigError` unless there are as many blocks and weights as operators and rates.

    **Source:** Tseng, J. Optim. Theory Appl. 109 (2001), doi:10.1023/A:1017501703105; Bolte, Sabach, Teboulle, Math. Program. 146
    (2014), doi:10.1007/s10107-013-0701-9.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import block_coordinate, prox_lasso

        step = block_coordinate(lambda x: (x[0] + x[1] - 3) ** 2 / 2, (prox_lasso, prox_lasso), (1.0, 1.0))
        first, second = step((jnp.asarray(0.0), jnp.asarray(0.0)), (1.0, 0.0))
        assert first == 2 and second == 1  # the second block sees the first one renewed
        ```
    """

    def step(x: tuple, weights: tuple, *arguments: Any) -> tuple:
        if len({len(parts) for parts in (x, weights, proxes, rates)}) > 1:
            raise ConfigError(
                f"block_coordinate has {len(proxes)} operators and {len(rates)} rates, and got {len(x)} blocks and "
                f"{len(weights)} weights. Give one for each block."
            )
        for i, (prox, rate) in enumerate(zip(proxes, rates, strict=True)):
            along = lambda block, i=i, x=x: objective((*x[:i], block, *x[i + 1 :]), *arguments)
            block = proximal_gradient(along, prox, rate)(x[i], weights[i])
            x = (*x[:i], block, *x[i + 1 :])
        return x

    return step


def _dot(a: PyTree[Array], b: PyTree[Array]) -> Array:
    return jnp.vdot(ravel_pytree(a)[0], ravel_pytree(b)[0])
