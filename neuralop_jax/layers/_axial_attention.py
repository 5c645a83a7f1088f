"""Attention on a grid factorized into one kernel matrix per axis."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers._activation import gelu
from neuralop_jax.layers._axis_kernel import AxisKernel, AxisProjection
from neuralop_jax.layers._channel_norm import LayerNorm
from neuralop_jax.layers._pointwise import Pointwise

_EPSILON = 1e-8


class FactorizedAttention(eqx.Module):
    r"""Attention by axes, $v = W_o\,\operatorname{norm}\big((K_1 \otimes \dots \otimes K_d)\,W_v\operatorname{LN}u\big)$.

    Each kernel $K_m$ (see `AxisKernel`) is a matrix between the points of one axis, made of the field's projection on this axis
    (see `AxisProjection`): on $n^d$ points the layer costs $O(d\,n^{d+1})$ instead of $O(n^{2d})$. The norm takes mean and
    (unbiased) variance of each head over its channels and the whole domain, so the scale of the kernels does not matter, and
    neither does the number of points; $W_o$ stands for a linear map, a GELU and another linear map.

    **Arguments:**

    - `num_dims`: space axes.
    - `channels`, `out_channels`: sizes.
    - `heads`, `head_width`: kernels per axis, and channels that each acts on. *Good values:* 6 to 12 heads of width 64.
    - `kernel_multiplier`: channels of the inner products that make a kernel, over `head_width`.
    - `latent_channels`: channels of a projection on an axis; `None` for `channels`.
    - `rotary`, `softmax`: as in `AxisKernel`.
    - `periods`: lengths of the axes where positions are to be periodic, else `None`.
    - `scaling`: factor of the kernels. Left out, it is as published: `(kernel_multiplier * head_width) ** -0.5` for a softmax or
      for multipliers above 4, and else 1.
    - `key`: initial weights.

    **Raises:** `ConfigError` if rotary encoding is asked for an odd number of channels.

    **Source:** Li, Shu, Barati Farimani 2023, arXiv:2305.17560, section 3. Differs: quadrature weights, for grids that are not
    uniform.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.layers import FactorizedAttention

        layer = FactorizedAttention(2, 8, 8, heads=2, head_width=4, key=jax.random.key(0))
        axes = jnp.linspace(0, 1, 16), jnp.linspace(0, 1, 20)
        assert eqx.filter_jit(layer)(jnp.ones((8, 16, 20)), axes).shape == (8, 16, 20)
        ```
    """

    norm: LayerNorm
    value: Pointwise
    mixing: Pointwise
    projections: tuple[AxisProjection, ...]
    axis_kernels: tuple[AxisKernel, ...]
    first: Pointwise
    second: Pointwise
    heads: int = eqx.field(static=True)

    def __init__(
        self,
        num_dims: int,
        channels: int,
        out_channels: int,
        *,
        heads: int,
        head_width: int,
        kernel_multiplier: int = 2,
        latent_channels: int | None = None,
        rotary: bool = True,
        softmax: bool = False,
        periods: Sequence[float] | None = None,
        scaling: float | None = None,
        key: PRNGKey,
    ):
        width, latent = head_width * kernel_multiplier, channels if latent_channels is None else latent_channels
        if rotary and width % 2:
            raise ConfigError(
                f"rotary encoding turns pairs of channels, got head_width {head_width} times kernel_multiplier "
                f"{kernel_multiplier}, which is odd. Make one of them even, or leave rotary out."
            )
        published = width**-0.5 if softmax or kernel_multiplier > 4 else 1.0
        value_key, mixing_key, first_key, second_key, *axis_keys = jax.random.split(key, 4 + 2 * num_dims)
        self.norm = LayerNorm(channels)
        self.value = Pointwise(channels, heads * head_width, bias=False, key=value_key)
        self.mixing = Pointwise(channels, channels, bias=False, key=mixing_key)
        self.projections = tuple(AxisProjection(channels, latent, key=k) for k in axis_keys[:num_dims])
        self.axis_kernels = tuple(
            AxisKernel(
                latent,
                heads,
                width,
                rotary=rotary,
                period=None if periods is None else periods[axis],
                scaling=published if scaling is None else scaling,
                softmax=softmax,
                key=k,
            )
            for axis, k in enumerate(axis_keys[num_dims:])
        )
        self.first = Pointwise(heads * head_width, out_channels, bias=False, key=first_key)
        self.second = Pointwise(out_channels, out_channels, bias=False, key=second_key)
        self.heads = heads

    def __call__(
        self,
        u: Float[Array, "channels *batch_space"],
        coordinates: Sequence[Float[Array, " _points"]],
        weights: Sequence[Float[Array, " _points"]] | None = None,
    ) -> Float[Array, "out *batch_space"]:
        """The attended field, on the grid of `u`.

        **Arguments:**

        - `u`: one sample, or several behind the channels, `(channels, batch, *space)`.
        - `coordinates`: of the points of each axis.
        - `weights`: of a quadrature on each axis, for grids that are not uniform; means and kernels then are integrals.
        """
        space = u.shape[u.ndim - len(coordinates) :]
        normed = self.norm(u.reshape(len(u), -1, *space))
        kernels = self._kernels(normed, coordinates, weights)
        v = self.value(normed).reshape(self.heads, -1, *normed.shape[1:])
        v = jnp.moveaxis(v, 1, -2)  # (heads, batch, ..., channels, last axis): every kernel is then one product of matrices
        v = normalize_heads(apply_axis_kernels(kernels, v))
        v = jnp.moveaxis(v, -2, 1).reshape(-1, *normed.shape[1:])
        return self.second(gelu(self.first(v))).reshape(-1, *u.shape[1:])

    def kernels(
        self,
        u: Float[Array, "channels *batch_space"],
        coordinates: Sequence[Float[Array, " _points"]],
        weights: Sequence[Float[Array, " _points"]] | None = None,
    ) -> tuple[Float[Array, "heads batch _points _points"], ...]:
        """The kernel matrices of every axis, head and sample (a batch of one for one sample), to look at."""
        space = u.shape[u.ndim - len(coordinates) :]
        return self._kernels(self.norm(u.reshape(len(u), -1, *space)), coordinates, weights)

    def _kernels(self, normed: Array, coordinates: Sequence[Array], weights: Sequence[Array] | None) -> tuple[Array, ...]:
        kernels = []
        for axis, (projection, kernel, x) in enumerate(zip(self.projections, self.axis_kernels, coordinates, strict=True)):
            phi = projection(self.mixing(mean_over_others(normed, axis, weights)))
            kernels.append(kernel(phi, x, None if weights is None else weights[axis]))
        return tuple(kernels)


def mean_over_others(
    u: Float[Array, "channels batch *space"], axis: int, weights: Sequence[Float[Array, " _points"]] | None = None
) -> Float[Array, "channels batch points"]:
    """The mean over all space axes but `axis`; with `weights` of a quadrature on each axis, the mean by quadrature."""
    if weights is None:
        return jnp.mean(u, [a for a in range(2, u.ndim) if a != axis + 2])
    for other in reversed(range(u.ndim - 2)):
        if other != axis:
            share = (weights[other] / jnp.sum(weights[other])).astype(u.dtype)
            u = jnp.moveaxis(u, other + 2, -1) @ share
    return u


def apply_axis_kernels(
    kernels: Sequence[Float[Array, "heads batch _points _points"]],
    v: Float[Array, "heads batch *space_channels_last"],
    *,
    order: Sequence[int] | None = None,
) -> Float[Array, "heads batch *space_channels_last"]:
    r"""$(K_1 \otimes \dots \otimes K_d)\,v$, axis by axis.

    The channels of a head stand before the last space axis, `(heads, batch, n_1, ..., channels, n_d)`: every kernel is then
    applied by a product of plain matrices, and the field is nowhere transposed.

    **Arguments:**

    - `kernels`: one per axis.
    - `order`: of the axes; the result depends on it by round-off only.
    """
    shape, last = v.shape, len(kernels) - 1
    for axis in range(len(kernels)) if order is None else order:
        kernel, points = kernels[axis], kernels[axis].shape[-1]
        if axis == last:
            v = v.reshape(*shape[:2], -1, points) @ jnp.swapaxes(kernel, -1, -2)
        else:
            v = kernel[:, :, None] @ v.reshape(*shape[:2], math.prod(shape[2 : 2 + axis]), points, -1)
    return v.reshape(shape)


def normalize_heads(v: Float[Array, "heads batch *points"]) -> Float[Array, "heads batch *points"]:
    """Mean zero and unbiased variance one of each head and sample, over its channels and the domain."""
    axes = tuple(range(2, v.ndim))
    count = math.prod(v.shape[2:])
    centered = v - jnp.mean(v, axes, keepdims=True)
    variance = jnp.mean(centered**2, axes, keepdims=True) * (count / max(count - 1, 1))
    return centered * jax.lax.rsqrt(variance + _EPSILON)
