"""Normalization over the channels at every point."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax.layers._norm import standardize
from neuralop_jax.layers._pointwise import over_space


class LayerNorm(eqx.Module):
    r"""$s_c\,(u_c(x) - \mu(x))/\sqrt{\sigma^2(x) + 10^{-5}} + b_c$ with mean and variance over the channels at every point.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import LayerNorm

        v = LayerNorm(4)(jax.random.normal(jax.random.key(0), (4, 8)))
        assert jnp.allclose(v.mean(axis=0), 0, atol=1e-6)
        ```
    """

    scale: Float[Array, " channels"]
    shift: Float[Array, " channels"]

    def __init__(self, channels: int):
        self.scale, self.shift = jnp.ones(channels), jnp.zeros(channels)

    def __call__(self, u: Float[Array, "channels *points"]) -> Float[Array, "channels *points"]:
        v = standardize(u, (0,), divided=False)
        return over_space(self.scale.astype(u.dtype), u) * v + over_space(self.shift.astype(u.dtype), u)
