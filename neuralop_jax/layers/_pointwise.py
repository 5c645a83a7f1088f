"""Affine maps of the channels at every point: convolutions of kernel size one."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from neuralop_jax._typing import PRNGKey


class Pointwise(eqx.Module):
    r"""$v_o(x) = \sum_i W_{oi}\, u_i(x) + b_o$, the same at every point of any grid.

    **Arguments:**

    - `in_channels`, `out_channels`: sizes.
    - `bias`: whether $b$ is there.
    - `complex_data`: whether $W$ and $b$ are complex; they are kept as real arrays with a leading axis of two.
    - `key`: draws $W$ and $b$ uniformly in $\pm 1/\sqrt{\text{in channels}}$, as PyTorch's convolutions do.
    """

    weight: Float[Array, "..."]
    bias: Float[Array, "..."] | None

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True, complex_data: bool = False, key: PRNGKey):
        limit = in_channels**-0.5
        parts = (2,) if complex_data else ()
        weight_key, bias_key = jax.random.split(key)
        self.weight = jax.random.uniform(weight_key, (*parts, out_channels, in_channels), minval=-limit, maxval=limit)
        self.bias = jax.random.uniform(bias_key, (*parts, out_channels), minval=-limit, maxval=limit) if bias else None

    def __call__(self, u: Inexact[Array, "channels *points"]) -> Inexact[Array, "out *points"]:
        complex_data = self.weight.ndim == 3
        weight = self.weight[0] + 1j * self.weight[1] if complex_data else self.weight
        # Plain matrices: with several axes of points, the gradient would transpose the field in memory.
        v = (weight.astype(u.dtype) @ u.reshape(len(u), -1)).reshape(-1, *u.shape[1:])
        if self.bias is None:
            return v
        bias = self.bias[0] + 1j * self.bias[1] if complex_data else self.bias
        return v + over_space(bias.astype(u.dtype), v)


class SoftGate(eqx.Module):
    r"""$v_c(x) = s_c\, u_c(x)$: one real scale per channel, 1 at the start.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import SoftGate

        assert (SoftGate(2)(jnp.ones((2, 4))) == 1).all()
        ```
    """

    scale: Float[Array, " channels"]

    def __init__(self, channels: int):
        self.scale = jnp.ones(channels)

    def __call__(self, u: Inexact[Array, "channels *points"]) -> Inexact[Array, "channels *points"]:
        return over_space(self.scale.astype(u.dtype), u) * u


def over_space(values: Array, u: Array) -> Array:
    """A vector over channels, shaped to broadcast over the points of `u`."""
    return values.reshape(-1, *(1,) * (u.ndim - 1))
