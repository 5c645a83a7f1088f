"""Errors of a predicted field against its target, channel by channel."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax.grids import Grid
from neuralop_jax.kernels import derivative


def relative_l2(
    prediction: Float[Array, "channels *space"], target: Float[Array, "channels *space"], grid: Grid | None = None
) -> Float[Array, " channels"]:
    r"""$\lVert e_c\rVert_2/\lVert y_c\rVert_2$ of each channel; the grid does not matter."""
    return jnp.sqrt(_sum(prediction - target) / _sum(target))


def relative_h1(
    prediction: Float[Array, "channels *space"], target: Float[Array, "channels *space"], grid: Grid | None = None
) -> Float[Array, " channels"]:
    r"""$\sqrt{(\lVert e\rVert^2 + \lVert\nabla e\rVert^2)/(\lVert y\rVert^2 + \lVert\nabla y\rVert^2)}$ of each channel.

    Spectral derivatives on periodic axes; elsewhere central differences with one-sided ones of second order at the ends.

    **Arguments:**

    - `prediction`, `target`: `(channels, *space)`.
    - `grid`: extent and boundary; without one the unit box, not periodic, without its right ends.
    """
    grid = grid or Grid(prediction.shape[1:], endpoint=(False,) * (prediction.ndim - 1))
    square = lambda u: _sum(u) + sum(_sum(_slope(u, axis, grid)) for axis in range(grid.num_dims))
    return jnp.sqrt(square(prediction - target) / square(target))


def max_error(
    prediction: Float[Array, "channels *space"], target: Float[Array, "channels *space"], grid: Grid | None = None
) -> Float[Array, " channels"]:
    r"""$\max_x \lvert e_c(x)\rvert$ of each channel, in the unit of the field."""
    return jnp.max(jnp.abs(prediction - target), axis=tuple(range(1, target.ndim)))


def normalized_rmse(
    prediction: Float[Array, "channels *space"], target: Float[Array, "channels *space"], grid: Grid | None = None
) -> Float[Array, " channels"]:
    r"""Root mean square error over the standard deviation of the target in space, of each channel."""
    centered = target - jnp.mean(target, axis=tuple(range(1, target.ndim)), keepdims=True)
    return jnp.sqrt(_sum(prediction - target) / _sum(centered))


def _sum(u: Array) -> Array:
    return jnp.sum(u**2, axis=tuple(range(1, u.ndim)))


def _slope(u: Array, axis: int, grid: Grid) -> Array:
    if grid.boundary[axis] == "periodic":
        left, right = grid.extent[axis]
        return derivative(u, axis, extent=right - left)
    u = jnp.moveaxis(u, axis + 1, -1)
    first = -1.5 * u[..., :1] + 2 * u[..., 1:2] - 0.5 * u[..., 2:3]
    last = 1.5 * u[..., -1:] - 2 * u[..., -2:-1] + 0.5 * u[..., -3:-2]
    inner = (u[..., 2:] - u[..., :-2]) / 2
    return jnp.moveaxis(jnp.concatenate([first, inner, last], -1), -1, axis + 1) / grid.spacing[axis]
