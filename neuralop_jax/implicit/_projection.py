"""Euclidean projections onto convex sets, differentiable almost everywhere.

Each takes one array; a tree is projected leaf by leaf with `jax.tree.map`. At a kink the derivative is that of one side. NaN
stays NaN. Sets that are empty, and vectors of another shape, raise `ModelInputError`; bounds and radii inside compiled code are
not looked at.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from neuralop_jax.errors import ModelInputError
from neuralop_jax.implicit._arguments import check_least, is_known, unit_of


def project_nonnegative(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""The nearest point with $x_i \ge 0$: negative numbers become zero."""
    return jnp.where(x < 0, 0, x)


def project_box(x: Float[Array, "*shape"], lower: ArrayLike, upper: ArrayLike) -> Float[Array, "*shape"]:
    r"""The nearest point with $l_i \le x_i \le u_i$.

    **Arguments:** `lower`, `upper` are numbers or arrays of the shape of `x`, infinite where there is no bound.

    **Raises:** `ModelInputError` where $l_i > u_i$, as far as both are known before a program runs.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import project_box

        assert project_box(jnp.asarray([-1.0, 0.5, 3.0]), 0.0, jnp.asarray([1.0, 1.0, 2.0])).tolist() == [0, 0.5, 2]
        ```
    """
    if is_known(lower) and is_known(upper) and np.any(np.asarray(lower) > np.asarray(upper)):
        raise ModelInputError("project_box needs lower <= upper everywhere, got bounds between which there is nothing.")
    return jnp.where(x < lower, lower, jnp.where(x > upper, upper, x))


def project_simplex(x: Float[Array, "..."], total: ArrayLike = 1.0) -> Float[Array, "..."]:
    r"""The nearest point of $\{x \ge 0,\ \sum_i x_i = s\}$: $\max(x - \tau, 0)$ with the right $\tau$.

    **Arguments:**

    - `x`: a vector.
    - `total`: $s > 0$, a number.

    **Source:** Held, Wolfe, Crowder, Math. Program. 6 (1974), doi:10.1007/BF01580223.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import project_simplex

        assert jnp.allclose(project_simplex(jnp.asarray([0.9, 0.5, -1.0])), jnp.asarray([0.7, 0.3, 0.0]))
        ```
    """
    _check_vector("project_simplex", x)
    check_least("project_simplex", "total", total, 0, above=True)
    x = x - jax.lax.stop_gradient(jnp.max(x))  # which changes nothing but the size of the sums
    falling = -jnp.sort(-jax.lax.stop_gradient(x))
    excess = jnp.cumsum(falling) - jax.lax.stop_gradient(total)
    count = jnp.arange(1, x.size + 1, dtype=x.dtype)
    kept = jnp.maximum(jnp.sum(falling * count > excess), 1)
    positive = ~(x < falling[kept - 1])  # the set is constant almost everywhere: the sort needs no derivative
    shift = (jnp.sum(jnp.where(positive, x, 0)) - total) / jnp.sum(positive)
    return jnp.where(positive, jnp.maximum(x - shift, 0), 0)


def project_l1_ball(x: Float[Array, "..."], radius: ArrayLike = 1.0) -> Float[Array, "..."]:
    r"""The nearest point with $\sum_i |x_i| \le r$.

    **Arguments:** `x`, a vector; `radius`, $r > 0$.

    **Source:** Duchi et al., ICML 2008, doi:10.1145/1390156.1390191, section 4.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import project_l1_ball, project_l2_ball

        x = jnp.asarray([3.0, 4.0])
        assert jnp.allclose(project_l1_ball(x), jnp.asarray([0.0, 1.0]))
        assert jnp.allclose(project_l2_ball(x), jnp.asarray([0.6, 0.8]))
        ```
    """
    _check_vector("project_l1_ball", x)
    check_least("project_l1_ball", "radius", radius, 0, above=True)
    inside = jnp.sum(jnp.abs(x)) <= radius
    return jnp.where(inside, x, jnp.sign(x) * project_simplex(jnp.abs(x), radius))


def project_l2_ball(x: Float[Array, "*shape"], radius: ArrayLike = 1.0) -> Float[Array, "*shape"]:
    r"""The nearest point with $\|x\|_2 \le r$, all of `x` being one vector.

    **Arguments:** `x`, an array; `radius`, $r \ge 0$.
    """
    check_least("project_l2_ball", "radius", radius, 0)
    unit = unit_of(x)
    radius, square = radius / unit, jnp.sum((x / unit.reshape((1,) * x.ndim)) ** 2)
    outside = square > radius**2
    norm = jnp.sqrt(jnp.where(outside, square, 1))  # whose derivative at zero would be infinite
    return x * jnp.where(outside, radius / norm, 1)


def project_affine(x: Float[Array, "..."], matrix: Float[Array, "m n"], b: Float[Array, " m"]) -> Float[Array, "..."]:
    r"""The nearest point with $Ax = b$: $x - A^\top(AA^\top)^{-1}(Ax - b)$.

    **Arguments:**

    - `x`: a vector.
    - `matrix`: $A$, of full row rank; otherwise the result is not finite or has no meaning.
    - `b`: the right-hand side.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import project_affine

        x = project_affine(jnp.zeros(4), jnp.ones((1, 4)), jnp.asarray([2.0]))
        assert jnp.allclose(x, 0.5)
        ```
    """
    _check_vector("project_affine", x)
    return x - matrix.T @ jnp.linalg.solve(matrix @ matrix.T, matrix @ x - b)


def _check_vector(who: str, x: Array) -> None:
    if x.ndim != 1 or not x.size:
        raise ModelInputError(f"{who} needs one vector, not empty, got shape {x.shape}. Flatten it, or use jax.vmap.")
