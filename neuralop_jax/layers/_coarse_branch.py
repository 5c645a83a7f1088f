"""A branch over a coarser grid: convolutions on half the points and back."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.layers._activation import gelu
from neuralop_jax.layers._convolution import Convolution
from neuralop_jax.layers._norm import standardize


class CoarseBranch(eqx.Module):
    """One level of a U-net: instance norm, to every second point and back to the grid, by four convolutions of three points.

    Downward, a convolution of stride two, a GELU and a convolution; upward, the nearest value, a convolution, a GELU and a
    convolution; half the channels between. Zeros beyond the edge tell points at a boundary from others. The result changes with
    the spacing of the grid. On a periodic grid with an even number of points per axis it commutes with shifts by two points.

    **Arguments:**

    - `num_dims`: space axes.
    - `channels`: of the field, an even number.
    - `periodic`: whether the other end is read beyond the edge, instead of zeros.
    - `key`: initial weights.

    **Source:** the released code of Li, Shu, Barati Farimani 2023, arXiv:2305.17560, for Darcy flow and smoke.
    """

    down: tuple[Convolution, Convolution]
    up: tuple[Convolution, Convolution]

    def __init__(self, num_dims: int, channels: int, *, periodic: bool = False, key: PRNGKey):
        keys, half = iter(jax.random.split(key, 4)), channels // 2

        def convolution(a: int, b: int, stride: int = 1) -> Convolution:
            return Convolution(num_dims, a, b, stride=stride, boundary="periodic" if periodic else "zeros", key=next(keys))

        self.down = convolution(channels, half, 2), convolution(half, half)
        self.up = convolution(half, half), convolution(half, channels)

    def __call__(self, u: Float[Array, "channels batch *space"]) -> Float[Array, "channels batch *space"]:
        v = standardize(u, tuple(range(2, u.ndim)))
        v = self.down[1](gelu(self.down[0](v)))
        for axis in range(2, u.ndim):
            v = jax.lax.slice_in_dim(jnp.repeat(v, 2, axis=axis), 0, u.shape[axis], axis=axis)
        return self.up[1](gelu(self.up[0](v)))
