"""Spectral convolutions between scattered points and a uniform grid."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ModelInputError
from neuralop_jax.kernels import (
    contract_dense,
    forward_transform,
    inverse_transform,
    kept_modes,
    modes_to_points,
    points_to_modes,
)

Pair = tuple[Float[Array, "*modes in out"], Float[Array, "*modes in out"]]


class PointsToGrid(eqx.Module):
    r"""$v(y) = \sum_k R_k\, \hat u_k\, e^{2\pi i k \cdot y}$ on a grid, with $\hat u_k$ the mean of $u\, e^{-2\pi i k \cdot x}$.

    **Arguments:**

    - `in_channels`, `out_channels`: sizes.
    - `n_modes`: wavenumbers kept per axis, as in `SpectralConv`; the grid has at least as many points.
    - `key`: draws $R$ as complex normal with variance $2/(c_\text{in} + c_\text{out})$, half in each part.

    !!! example

        ```python
        import equinox as eqx, jax, jax.numpy as jnp
        from neuralop_jax.layers import GridToPoints, PointsToGrid, grid_points

        keys = jax.random.split(jax.random.key(0))
        onto, back = (kind(1, 1, (4, 4), key=key) for kind, key in zip((PointsToGrid, GridToPoints), keys))
        u, x = jnp.ones((1, 50)), jax.random.uniform(jax.random.key(1), (2, 50))
        field = eqx.filter_jit(onto)(u, x, (8, 8))
        assert field.shape == (1, 8, 8) and eqx.filter_jit(back)(field, x).shape == (1, 50)
        ```
    """

    weight: Pair
    n_modes: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, in_channels: int, out_channels: int, n_modes: Sequence[int], *, key: PRNGKey):
        self.weight, self.n_modes = _weight(in_channels, out_channels, n_modes, key), tuple(n_modes)

    def __call__(
        self, u: Float[Array, "channels *batch_points"], x: Float[Array, "dims *batch_or_points"], shape: Sequence[int]
    ) -> Float[Array, "out *batch_space"]:
        """The field on the grid of `shape` on the unit box, the right ends left out, for values `u` at the points `x`.

        **Raises:** `ModelInputError` for a grid with fewer points than `n_modes` on an axis.
        """
        _check_grid(self, shape)
        c = points_to_modes(u, x, kept_modes(self.n_modes, self.n_modes, real=True))
        return inverse_transform(_mapped(c, self.weight), shape, real=True).astype(u.dtype)


class GridToPoints(eqx.Module):
    r"""$v(x) = \sum_k R_k\, \hat u_k\, e^{2\pi i k \cdot x}$ at points, with $\hat u$ the coefficients of a field on a grid.

    **Arguments:** as for `PointsToGrid`.
    """

    weight: Pair
    n_modes: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, in_channels: int, out_channels: int, n_modes: Sequence[int], *, key: PRNGKey):
        self.weight, self.n_modes = _weight(in_channels, out_channels, n_modes, key), tuple(n_modes)

    def __call__(
        self, u: Float[Array, "channels *batch_space"], x: Float[Array, "dims *batch_or_points"]
    ) -> Float[Array, "out *batch_points"]:
        """The values at the points `x`, in units of the box, `(dims, points)` for all samples or `(dims, batch, points)`.

        **Raises:** `ModelInputError` for a field on a grid with fewer points than `n_modes` on an axis.
        """
        return modes_to_points(self.coefficients(u), x).astype(u.dtype)

    def coefficients(self, u: Float[Array, "channels *batch_space"]) -> Float[Array, "2 *modes_batch out"]:
        """$R_k\\, \\hat u_k$, as `kernels.modes_to_points` takes them."""
        _check_grid(self, u.shape[-len(self.n_modes) :])
        return _mapped(forward_transform(u, kept_modes(self.n_modes, self.n_modes, real=True)), self.weight)


def _weight(in_channels: int, out_channels: int, n_modes: Sequence[int], key: PRNGKey) -> Pair:
    deviation = (in_channels + out_channels) ** -0.5
    kept = kept_modes(n_modes, n_modes, real=True)
    real, imaginary = deviation * jax.random.normal(key, (2, *kept, in_channels, out_channels))
    return real, imaginary


def _check_grid(layer: "PointsToGrid | GridToPoints", shape: Sequence[int]) -> None:
    if len(shape) != len(layer.n_modes) or any(n < m for n, m in zip(shape, layer.n_modes, strict=True)):
        raise ModelInputError(
            f"{type(layer).__name__} keeps n_modes={layer.n_modes} and needs a grid of at least as many points on each axis, got "
            f"{tuple(shape)}. Use a finer grid, or lower n_modes."
        )


def _mapped(c: Array, weight: Pair) -> Array:
    real, imaginary = weight
    return contract_dense(c, (real.astype(c.dtype), imaginary.astype(c.dtype)))
