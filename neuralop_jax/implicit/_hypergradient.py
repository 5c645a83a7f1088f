"""The gradient of a loss of a minimum by the parameters of what is minimized."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jaxtyping import Array, ArrayLike, Float, PyTree

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit._arguments import floating, kinds
from neuralop_jax.implicit._custom_root import implicit_root
from neuralop_jax.implicit._optimality import stationary

Objective = Callable[[PyTree, PyTree], Any]


def hypergradient(
    outer: Objective,
    inner: Objective,
    x: PyTree[ArrayLike],
    theta: PyTree[ArrayLike],
    *,
    linear_solver: lx.AbstractLinearSolver | None = None,
    throw: bool = True,
) -> tuple[Float[Array, ""], PyTree[Array]]:
    r"""The value and the gradient of $\theta \mapsto \ell\big(x(\theta), \theta\big)$ with $x(\theta) = \arg\min_x f(x, \theta)$:

    $$\nabla_\theta\ell - \partial_\theta\nabla_x f^\top\,(\nabla_x^2 f)^{-1}\,\nabla_x\ell,$$

    by one linear solve with the Hessian. The solver is the method: `Neumann(K + 1, alpha)` is the truncated series, and with
    $K = 0$ and $\alpha = 1$ the rule that takes the Hessian for the identity; `lineax.CG(1e-10, 1e-10)` needs about the square
    root of its products; `lineax.LU()` forms the Hessian and is exact. As a decorator around an inner
    solver, the same is `custom_root(stationary(inner), linear_solver=..., tags=lineax.positive_semidefinite_tag)`.

    **Arguments:**

    - `outer`: $\ell$, called `outer(x, theta)`.
    - `inner`: $f$, called `inner(x, theta)`, strictly convex at the minimum. Minibatches belong into its closure; a Hessian of
        other data than the minimum makes the gradient a biased estimate.
    - `x`: the minimum, as exact as the gradient is to be; see `custom_root`.
    - `theta`: the parameters.
    - `linear_solver`: a Lineax solver; `GCR` if `None`.
    - `throw`: raise if the linear system has no solution; otherwise the gradient is NaN.

    **Returns:** $\ell$ and its gradient, of the structure of `theta`.

    **Raises:** `ConfigError` for minima and parameters that are no real floating arrays, and losses that are no single number.

    **Source:** Lorraine, Vicol, Duvenaud 2020, arXiv:1911.02590, for the series; Pedregosa 2016, arXiv:1602.02355, for
    conjugate gradients.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import hypergradient

        ridge = lambda x, a: jnp.sum((x - 1) ** 2) / 2 + a * jnp.sum(x**2) / 2
        minimum = jnp.full(3, 0.5)  # 1 / (1 + a)
        loss, slope = hypergradient(lambda x, a: jnp.sum(x), ridge, minimum, 1.0)
        assert loss == 1.5 and abs(slope + 3 / 4) < 1e-6
        ```
    """
    x, theta = (floating(f"hypergradient needs {name}", tree) for name, tree in (("a minimum", x), ("parameters", theta)))
    for name, objective in (("outer", outer), ("inner", inner)):
        found = kinds(jax.eval_shape(objective, x, theta))
        if not isinstance(found, str) or not found.endswith("()"):
            raise ConfigError(f"hypergradient needs an {name} objective that returns one number, got {found}. Sum or average it.")
    solver = {"linear_solver": linear_solver, "tags": lx.positive_semidefinite_tag, "throw": throw}
    value = lambda theta: outer(implicit_root(stationary(inner), x, theta, **solver), theta)
    return jax.value_and_grad(value)(theta)


class Bilevel(NamedTuple):
    """What `bilevel` returns: the parameters, the inner minimum for them, and the outer losses, that of the end the last."""

    theta: PyTree[Array]
    x: PyTree[Array]
    losses: Float[Array, " steps"]


def bilevel(
    outer: Objective,
    inner: Objective,
    solve: Callable[[PyTree, PyTree], PyTree[Array]],
    x: PyTree[ArrayLike],
    theta: PyTree[ArrayLike],
    *,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    linear_solver: lx.AbstractLinearSolver | None = None,
    throw: bool = True,
) -> Bilevel:
    r"""Descent of $\theta$ along hypergradients, in which every inner solve starts at the last inner minimum.

    **Arguments:**

    - `outer`, `inner`, `linear_solver`, `throw`: as in `hypergradient`.
    - `solve`: called `solve(x, theta)`, improves the inner `x` for `theta`. Warm, a few steps are often enough.
    - `x`, `theta`: where both start.
    - `optimizer`: an Optax transformation for `theta`.
    - `num_steps`: outer steps, at least 1; each takes one inner solve, and there is one more at the end.

    **Raises:** `ConfigError` for less than one step, and as `hypergradient`.

    !!! example

        ```python
        import jax.numpy as jnp
        import optax
        from neuralop_jax.implicit import bilevel

        inner = lambda x, a: (x - a) ** 2 / 2
        outer = lambda x, a: (x - 3) ** 2
        found = bilevel(outer, inner, lambda x, a: a, jnp.zeros(()), jnp.zeros(()), optimizer=optax.sgd(0.25), num_steps=30)
        assert abs(found.theta - 3) < 1e-5 and len(found.losses) == 31
        ```
    """
    if num_steps < 1:
        raise ConfigError(f"bilevel needs num_steps of at least 1, got {num_steps}.")

    strong = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=leaf.dtype), tree)  # types weak no longer
    x, theta = (strong(floating(f"bilevel needs {name} to start with", t)) for name, t in (("an x", x), ("a theta", theta)))

    def step(carry: tuple, _: None) -> tuple[tuple, Array]:
        x, theta, state = carry
        x = strong(floating("bilevel needs solve to return an x", solve(x, theta)))
        loss, slope = hypergradient(outer, inner, x, theta, linear_solver=linear_solver, throw=throw)
        change, state = optimizer.update(slope, state, theta)
        return (x, optax.apply_updates(theta, change), state), loss

    (x, theta, _), losses = jax.lax.scan(step, (x, theta, optimizer.init(theta)), length=num_steps)
    x = solve(x, theta)
    return Bilevel(theta, x, jnp.append(losses, outer(x, theta)))
