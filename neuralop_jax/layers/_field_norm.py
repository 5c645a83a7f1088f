"""Layer normalization of fields: one mean and variance of a sample, over channels and points."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax.kernels import own_part
from neuralop_jax.layers._norm import standardize


class FieldNorm(eqx.Module):
    r"""$w\,(u - \mu)/\sqrt{\sigma^2 + 10^{-5}} + b$ with mean and variance of each sample over all channels and points.

    **Arguments:**

    - `num_dims`: space axes.
    - `shape`: `(channels, *space)`, for weights $w$ and $b$ of every channel and point, which tie it to this grid; without,
      nothing is learned and any grid will do.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import FieldNorm

        v = FieldNorm(2)(jax.random.normal(jax.random.key(0), (3, 8, 8)))
        assert abs(v.mean()) < 1e-6 and abs(v.var() - 1) < 1e-3
        ```
    """

    weight: Float[Array, "channels *space"] | None
    bias: Float[Array, "channels *space"] | None
    num_dims: int = eqx.field(static=True)

    def __init__(self, num_dims: int, shape: Sequence[int] | None = None):
        self.num_dims = num_dims
        self.weight = None if shape is None else jnp.ones(tuple(shape))
        self.bias = None if shape is None else jnp.zeros(tuple(shape))

    def __call__(
        self, u: Float[Array, "channels *batch_space"], *, divided: bool = True
    ) -> Float[Array, "channels *batch_space"]:
        """The normalized field; several samples stand between channels and space, each is normalized on its own.

        `divided`: whether `u` is a block where devices share the domain.
        """
        batch = range(1, u.ndim - self.num_dims)
        axes = (0, *range(u.ndim - self.num_dims, u.ndim))
        v = standardize(u, axes, divided=divided)
        if self.weight is None or self.bias is None:
            return v
        weight, bias = (own_part(x, 1) if divided else x for x in (self.weight, self.bias))
        return v * jnp.expand_dims(weight.astype(u.dtype), batch) + jnp.expand_dims(bias.astype(u.dtype), batch)
