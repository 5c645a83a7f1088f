"""Normalization over channels: at every point, or in groups of channels over the whole domain."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax.layers._norm import _standardize
from neuralop_jax.layers._pointwise import over_space


class LayerNorm(eqx.Module):
    r"""$s_c\,(u_c(x) - \mu(x))/\sqrt{\sigma^2(x) + 10^{-5}} + b_c$ with mean and variance over the channels at every point."""

    scale: Float[Array, " channels"]
    shift: Float[Array, " channels"]

    def __init__(self, channels: int):
        self.scale, self.shift = jnp.ones(channels), jnp.zeros(channels)

    def __call__(self, u: Float[Array, "channels *points"]) -> Float[Array, "channels *points"]:
        v = _standardize(u, (0,))
        return over_space(self.scale.astype(u.dtype), u) * v + over_space(self.shift.astype(u.dtype), u)


class GroupedNorm(eqx.Module):
    r"""$s_c\,(u_c - \mu_g)/\sqrt{\sigma_g^2 + 10^{-5}} + b_c$: mean and variance of a sample over a group of channels and space.

    **Arguments:**

    - `channels`, `groups`: sizes; neighboring channels make a group.
    """

    scale: Float[Array, " channels"]
    shift: Float[Array, " channels"]
    groups: int = eqx.field(static=True)

    def __init__(self, channels: int, groups: int):
        self.scale, self.shift, self.groups = jnp.ones(channels), jnp.zeros(channels), groups

    def __call__(self, u: Float[Array, "channels batch *space"]) -> Float[Array, "channels batch *space"]:
        v = u.reshape(self.groups, -1, u.shape[1], *(u.shape[2:] or (1,)))
        v = _standardize(v, (1, *range(3, v.ndim))).reshape(u.shape)
        return over_space(self.scale.astype(u.dtype), u) * v + over_space(self.shift.astype(u.dtype), u)
