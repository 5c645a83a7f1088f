r"""Proximal operators $\operatorname{prox}_{g}(x) = \arg\min_z \tfrac12\|z - x\|^2 + g_w(z)$, differentiable almost everywhere.

Each takes one array and weights in which $g_w$ is linear, so that a step of length $\eta$ takes the weights $\eta w$. A tree is
treated leaf by leaf with `jax.tree.map(prox, x, weights)`. At a kink the derivative is that of one side. NaN stays NaN.
Negative weights raise `ModelInputError`; inside compiled code they are not looked at.
"""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from neuralop_jax.implicit._arguments import check_least, unit_of


def prox_lasso(x: Float[Array, "*shape"], weight: ArrayLike) -> Float[Array, "*shape"]:
    r"""Soft threshold, of $g = \sum_i w_i|x_i|$: every number moves towards zero by $w_i$ and stops there.

    **Arguments:** `x`, an array; `weight`, $w \ge 0$, a number or an array of the shape of `x`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import prox_lasso

        assert prox_lasso(jnp.asarray([-3.0, 0.5, 2.0]), 1.0).tolist() == [-2, 0, 1]
        ```
    """
    check_least("prox_lasso", "weight", weight, 0)
    return jnp.where(jnp.abs(x) <= weight, 0, x - weight * jnp.sign(x))


def prox_ridge(x: Float[Array, "*shape"], weight: ArrayLike) -> Float[Array, "*shape"]:
    r"""Of $g = \tfrac12\sum_i w_i x_i^2$: $x / (1 + w)$.

    **Arguments:** as `prox_lasso`.
    """
    check_least("prox_ridge", "weight", weight, 0)
    return x / (1 + weight)


def prox_elastic_net(x: Float[Array, "*shape"], weights: tuple[ArrayLike, ArrayLike]) -> Float[Array, "*shape"]:
    r"""Of $g = \sum_i v_i|x_i| + \tfrac12 w_i x_i^2$: the soft threshold by $v$, divided by $1 + w$.

    **Arguments:** `x`, an array; `weights`, the pair $(v, w)$.

    **Source:** Zou, Hastie, J. R. Stat. Soc. B 67 (2005), doi:10.1111/j.1467-9868.2005.00503.x.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import prox_elastic_net, prox_nonnegative, prox_ridge

        x = jnp.asarray([3.0, -3.0])
        assert prox_elastic_net(x, (1.0, 1.0)).tolist() == [1, -1]
        assert prox_nonnegative(x, 1.0).tolist() == [2, 0] and prox_ridge(x, 2.0).tolist() == [1, -1]
        ```
    """
    absolute, square = weights
    return prox_ridge(prox_lasso(x, absolute), square)


def prox_group_lasso(x: Float[Array, "*groups size"], weight: ArrayLike) -> Float[Array, "*groups size"]:
    r"""Of $g = \sum_k w_k\|x_k\|_2$: every group, a vector along the last axis, is shortened by $w_k$, at most to zero.

    **Arguments:** `x`, an array; `weight`, $w \ge 0$, a number or an array of the shape of the groups.

    **Source:** Yuan, Lin, J. R. Stat. Soc. B 68 (2006), doi:10.1111/j.1467-9868.2005.00532.x.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import prox_group_lasso

        assert jnp.allclose(prox_group_lasso(jnp.asarray([[3.0, 4.0], [0.3, 0.4]]), 1.0), jnp.asarray([[2.4, 3.2], [0, 0]]))
        ```
    """
    check_least("prox_group_lasso", "weight", weight, 0)
    unit = unit_of(x, -1)
    weight, square = weight / unit, jnp.sum((x / unit[..., None]) ** 2, axis=-1)
    inside = square <= weight**2
    norm = jnp.sqrt(jnp.where(inside, 1, square))  # whose derivative at zero would be infinite
    return x * jnp.where(inside, 0, 1 - weight / norm)[..., None]


def prox_nonnegative(x: Float[Array, "*shape"], weight: ArrayLike = 0.0) -> Float[Array, "*shape"]:
    r"""Of $g = \sum_i w_i x_i$ on $x \ge 0$: $\max(x - w, 0)$, the nonnegative lasso, and with $w = 0$ a projection.

    **Arguments:** as `prox_lasso`.
    """
    check_least("prox_nonnegative", "weight", weight, 0)
    return jnp.where(x <= weight, 0, x - weight)
