"""Fields on a grid as sums of the eigenfunctions of the Laplacian: cosines, or on a periodic axis sines and cosines."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.grids import Grid


def amplitudes(m: Float[Array, "channels *space"], grid: Grid) -> Float[Array, "channels *space"]:
    r"""The coefficients $c$ of $m = \sum_k c_k\varphi_k$, where the $\varphi_k$ have mean square one on the grid.

    On an axis that includes both ends means are those of the trapezoidal rule, elsewhere those over the points.
    """
    return _on_axes([basis.T * weights for basis, weights, _ in _axes(grid)], m)


def from_amplitudes(c: Float[Array, "channels *space"], grid: Grid) -> Float[Array, "channels *space"]:
    r"""The field $\sum_k c_k\varphi_k$, the inverse of `amplitudes`."""
    return _on_axes([basis for basis, _, _ in _axes(grid)], c)


def eigenvalues(grid: Grid) -> Float[np.ndarray, "*space"]:
    r"""Those of $-\Delta$: the squares $|\kappa_k|^2$ of the wavenumbers, at the places of the coefficients."""
    total = np.zeros(grid.shape)
    for axis, (_, _, wavenumbers) in enumerate(_axes(grid)):
        total += (wavenumbers**2).reshape([-1 if k == axis else 1 for k in range(grid.num_dims)])
    return total


def volume(grid: Grid) -> float:
    """The volume of the box."""
    return float(np.prod([right - left for left, right in grid.extent]))


def _axes(grid: Grid) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per axis the values `(points, modes)` of the functions, the weights of the mean, and the wavenumbers."""
    axes = zip(grid.shape, grid.boundary, grid.endpoint, grid.extent, strict=True)
    return [_axis(n, kind == "periodic", closed, right - left) for n, kind, closed, (left, right) in axes]


def _axis(n: int, periodic: bool, closed: bool, length: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if n == 1:
        return np.ones((1, 1)), np.ones(1), np.zeros(1)
    modes, points = np.arange(n), np.arange(n)[:, None]
    weights = np.full(n, 1 / n)
    if periodic:
        number = (modes + 1) // 2
        angle = 2 * np.pi * number * points / n
        basis, wavenumbers = np.where(modes % 2 == 1, np.cos(angle), np.sin(angle)), 2 * np.pi * number / length
    elif closed:
        basis, wavenumbers = np.cos(np.pi * modes * points / (n - 1)), np.pi * modes / length
        weights = np.full(n, 1 / (n - 1))
        weights[[0, -1]] /= 2
    else:
        basis, wavenumbers = np.cos(np.pi * modes * (points + 0.5) / n), np.pi * modes / length
    basis[:, 0] = 1
    return basis / np.sqrt(weights @ basis**2), weights, wavenumbers


def _on_axes(matrices: Sequence[np.ndarray], field: Array) -> Array:
    """The field with every space axis multiplied by its matrix: contracted axes come back as the last, in order."""
    for matrix in matrices:
        field = jnp.tensordot(field, jnp.asarray(matrix, field.dtype), ((1,), (1,)))
    return field
