"""A learned prolongation: from every other point of a grid to all of them."""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import beyond, is_divided, own_points
from neuralop_jax.kernels._convolve import BOUNDARY_RULES, convolve


class Prolongation(eqx.Module):
    r"""$v_o(x_i) = \sum_c \sum_j W_{oc,\,i - p_j + 1}\, u_c(j)$: coarse values stand at the fine points $p_j = 2j + f$.

    This is a convolution of the field that holds zeros between the coarse values. The zeros are never multiplied: each of the
    $2^d$ positions between coarse points has a kernel of two points per axis of its own, which is a quarter of the work in two
    dimensions. With three points, $W = (\tfrac12, 1, \tfrac12)$ along each axis is linear interpolation.

    **Arguments:**

    - `num_dims`: space axes.
    - `in_channels`, `out_channels`: sizes.
    - `kernel_size`: 3 (fine points next to a coarse one) or 4 (and those two further right).
    - `first`: $f$, the first fine point that the coarser grid keeps: 0 or 1.
    - `boundary`: what is read beyond the ends of the coarse field, as in `Convolution`: so that a periodic operator commutes with
      shifts, and one with reflection with flips. With `"zeros"` this is the transposed convolution of other libraries.
    - `key`: draws $W$ as `Convolution` does.

    **Raises:** `ConfigError` for another boundary or kernel size.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import Prolongation

        layer = Prolongation(2, 3, 1, key=jax.random.key(0))
        assert layer(jnp.ones((3, 4, 5)), (8, 9)).shape == (1, 8, 9)
        ```
    """

    weight: Float[Array, "out in *kernel"]
    first: int = eqx.field(static=True)
    boundary: str = eqx.field(static=True)

    def __init__(
        self,
        num_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 4,
        first: int = 0,
        boundary: str = "zeros",
        key: PRNGKey,
    ):
        one_of("kernel_size", kernel_size, (3, 4), ConfigError)
        one_of("boundary", boundary, BOUNDARY_RULES, ConfigError)
        limit = (in_channels * kernel_size**num_dims) ** -0.5
        shape = (out_channels, in_channels, *(kernel_size,) * num_dims)
        self.weight = jax.random.uniform(key, shape, minval=-limit, maxval=limit)
        self.first, self.boundary = first, boundary

    def __call__(
        self, u: Float[Array, "in *batch_space"], shape: Sequence[int], *, divided: bool = True
    ) -> Float[Array, "out *batch_out_space"]:
        """The values on the finer grid of `shape`; several samples stand between channels and space.

        `divided`: whether `u` is a block where devices share the domain, of a grid with half the points of the finer one along
        the first axis. `shape` is that of the whole finer grid.
        """
        dims, divided = self.weight.ndim - 2, divided and is_divided()
        lead = u.ndim - dims
        for axis, points in enumerate(shape, lead):
            u = self._widened(u, axis, points, divided and axis == lead)
        shape = (own_points(shape[0]), *shape[1:]) if divided else shape
        v = convolve(u, self._phases(), padding=0, divided=False)
        v = v.reshape(-1, *(2,) * dims, *v.shape[1:])
        batch = range(1 + dims, lead + dims)
        woven = itertools.chain.from_iterable((lead + dims + axis, 1 + axis) for axis in range(dims))
        v = v.transpose(0, *batch, *woven)
        v = v.reshape(*v.shape[:lead], *(2 * (n - 1) for n in u.shape[lead:]))
        start = 1 - self.first
        return v[(..., *(slice(start, start + points) for points in shape))]

    def _phases(self) -> Array:
        """The kernels of two points for each parity of the position, `(out * 2**d, in, 2, ...)`.

        Between coarse points $q - 1$ and $q$, numbers $2q - 1$ and $2q$ of the fine ones past `first` read
        $(W_2, W_0)$ and $(W_3, W_1)$ of the two.
        """
        weight, dims = self.weight, self.weight.ndim - 2
        out, into, size = weight.shape[:3]
        weight = jnp.pad(weight, ((0, 0), (0, 0), *((0, 4 - size),) * dims))
        weight = weight.reshape(out, into, *(2, 2) * dims)
        taps, parities = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
        weight = jnp.flip(weight, tuple(taps)).transpose(0, *parities, 1, *taps)
        return weight.reshape(out * 2**dims, into, *(2,) * dims)

    def _widened(self, u: Array, axis: int, points: int, divided: bool) -> Array:
        """The coarse field with one more value at both ends of an axis: where the rule finds it on `points` fine ones."""
        if divided:  # the last of an even number of points is no coarse one
            right = "replicate" if self.boundary == "reflect" else self.boundary
            return jnp.concatenate([beyond(u, axis, 1, 0, self.boundary)[0], u, beyond(u, axis, 0, 1, right)[1]], axis)
        if self.boundary == "zeros":
            return jnp.pad(u, [(1, 1) if k == axis else (0, 0) for k in range(u.ndim)])
        last = u.shape[axis] - 1
        if self.boundary == "periodic":
            ends = last, 0
        elif self.boundary == "replicate":
            ends = 0, last
        else:  # mirrored at the first and the last fine point, which need not be coarse ones
            is_kept = self.first == 0 and points % 2 == 1
            ends = min(1 - self.first, last), max(last - is_kept, 0)
        left, right = (jax.lax.slice_in_dim(u, end, end + 1, axis=axis) for end in ends)
        return jnp.concatenate([left, u, right], axis)
