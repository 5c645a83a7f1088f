"""Euclidean projections onto convex sets, differentiable almost everywhere.

Each takes one array; a tree is projected leaf by leaf with `jax.tree.map`. At a kink the derivative is that of one side. NaN
stays NaN.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


def project_nonnegative(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""The nearest point with $x_i \ge 0$: negative numbers become zero."""
    return jnp.where(x < 0, 0, x)


def project_box(x: Float[Array, "*shape"], lower: ArrayLike, upper: ArrayLike) -> Float[Array, "*shape"]:
    r"""The nearest point with $l_i \le x_i \le u_i$.

    **Arguments:** `lower`, `upper` are numbers or arrays of the shape of `x`, infinite where there is no bound.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import project_box

        assert project_box(jnp.asarray([-1.0, 0.5, 3.0]), 0.0, jnp.asarray([1.0, 1.0, 2.0])).tolist() == [0, 0.5, 2]
        ```
    """
    return jnp.where(x < lower, lower, jnp.where(x > upper, upper, x))


def project_simplex(x: Float[Array, " n"], total: ArrayLike = 1.0) -> Float[Array, " n"]:
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
    falling = -jnp.sort(-jax.lax.stop_gradient(x))
    excess = jnp.cumsum(falling) - jax.lax.stop_gradient(total)
    count = jnp.arange(1, x.size + 1, dtype=x.dtype)
    kept = jnp.maximum(jnp.sum(falling * count > excess), 1)
    positive = ~(x < falling[kept - 1])  # the set is constant almost everywhere: the sort needs no derivative
    shift = (jnp.sum(jnp.where(positive, x, 0)) - total) / jnp.sum(positive)
    return jnp.where(positive, jnp.maximum(x - shift, 0), 0)


def project_l1_ball(x: Float[Array, " n"], radius: ArrayLike = 1.0) -> Float[Array, " n"]:
    r"""The nearest point with $\sum_i |x_i| \le r$.

    **Arguments:** `x`, a vector; `radius`, $r > 0$.

    **Source:** Duchi et al., ICML 2008, doi:10.1145/1390156.1390191, section 4.
    """
    inside = jnp.sum(jnp.abs(x)) <= radius
    return jnp.where(inside, x, jnp.sign(x) * project_simplex(jnp.abs(x), radius))


def project_l2_ball(x: Float[Array, "*shape"], radius: ArrayLike = 1.0) -> Float[Array, "*shape"]:
    r"""The nearest point with $\|x\|_2 \le r$, all of `x` being one vector.

    **Arguments:** `x`, an array; `radius`, $r \ge 0$.
    """
    square = jnp.sum(x**2)
    outside = square > radius**2
    norm = jnp.sqrt(jnp.where(outside, square, 1))  # whose derivative at zero would be infinite
    return x * jnp.where(outside, radius / norm, 1)


def project_affine(x: Float[Array, " n"], matrix: Float[Array, "m n"], b: Float[Array, " m"]) -> Float[Array, " n"]:
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
    return x - matrix.T @ jnp.linalg.solve(matrix @ matrix.T, matrix @ x - b)
