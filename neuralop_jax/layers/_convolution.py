"""Convolutions with a small kernel whose boundary condition is said: what is read beyond the edge of the domain."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels._convolve import BOUNDARY_RULES, convolve
from neuralop_jax.layers._pointwise import over_space


class Convolution(eqx.Module):
    r"""$v_o(x_i) = \sum_c \sum_k W_{ock}\, u_c(x_{s i + k - r}) + b_o$ on a uniform grid, with stride $s$ and padding $r$.

    The result changes with the spacing of the grid: a kernel covers points, not lengths.

    **Arguments:**

    - `num_dims`: space axes, one to four.
    - `in_channels`, `out_channels`: sizes.
    - `kernel_size`: points per axis.
    - `stride`: every so many points is computed.
    - `padding`: points $r$ added at each end of each axis; `None` takes half the kernel, which keeps the grid for odd kernels.
    - `boundary`: what the added points hold: `"zeros"` (a field that vanishes outside, Dirichlet), `"reflect"` (mirrored at the
      last point, Neumann), `"replicate"` (the last value again, Neumann half a point further) or `"periodic"`.
    - `bias`: whether $b$ is there.
    - `key`: draws $W$ and $b$ uniformly in $\pm 1/\sqrt{c_\text{in} k^d}$, as PyTorch's convolutions do.

    **Raises:** `ConfigError` for another boundary.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import Convolution

        layer = Convolution(2, 1, 4, kernel_size=3, stride=2, boundary="periodic", key=jax.random.key(0))
        assert layer(jnp.ones((1, 16, 16))).shape == (4, 8, 8)
        assert layer(jnp.ones((1, 5, 16, 16))).shape == (4, 5, 8, 8)  # five samples, behind the channels
        ```
    """

    weight: Float[Array, "out in *kernel"]
    bias: Float[Array, " out"] | None
    stride: int = eqx.field(static=True)
    padding: int = eqx.field(static=True)
    boundary: str = eqx.field(static=True)

    def __init__(
        self,
        num_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        boundary: str = "zeros",
        bias: bool = True,
        key: PRNGKey,
    ):
        one_of("boundary", boundary, BOUNDARY_RULES, ConfigError)
        limit = (in_channels * kernel_size**num_dims) ** -0.5
        weight_key, bias_key = jax.random.split(key)
        shape = (out_channels, in_channels, *(kernel_size,) * num_dims)
        self.weight = jax.random.uniform(weight_key, shape, minval=-limit, maxval=limit)
        self.bias = jax.random.uniform(bias_key, (out_channels,), minval=-limit, maxval=limit) if bias else None
        self.stride, self.boundary = stride, boundary
        self.padding = kernel_size // 2 if padding is None else padding

    def __call__(self, u: Float[Array, "in *batch_space"], *, divided: bool = True) -> Float[Array, "out *batch_out_space"]:
        """The convolved field; several samples at once stand between channels and space: `(channels, batch, *space)`.

        `divided`: whether `u` is a block where devices share the domain.
        """
        options = {"stride": self.stride, "padding": self.padding, "boundary": self.boundary, "divided": divided}
        v = convolve(u, self.weight, **options)
        return v if self.bias is None else v + over_space(self.bias.astype(u.dtype), v)
