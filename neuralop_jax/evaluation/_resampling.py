"""The same functions on other grids: band-limited samples, and values between points."""

from collections.abc import Sequence

import numpy as np

from neuralop_jax.grids import Grid


def band_limited(u: np.ndarray, source: Grid, target: Grid, waves: Sequence[int]) -> np.ndarray:
    """The part of samples with at most `waves[i]` waves along axis i, at the points of another grid over the same box.

    The least squares fit by sines and cosines, or along an axis that includes its ends or has centers of cells by cosines of half
    waves, whose even continuation has no jump. What lies in this space comes back to round-off, on every grid.

    **Arguments:**

    - `u`: `(samples, channels, *space)` on `source`.
    - `waves`: less than half of the points of either grid.
    """
    for axis, count in enumerate(waves):
        fit = np.linalg.pinv(_functions(source, axis, count))
        u = _along(u, axis + 2, _functions(target, axis, count) @ fit)
    return u


def interpolated(u: np.ndarray, source: Grid, target: Grid, *, points: int, wraps: bool) -> np.ndarray:
    """The polynomials through the nearest `points` points of each axis, at the points of another grid over the same box.

    Values at points of both grids are kept to round-off. With `wraps`, polynomials reach around periodic axes; without, no value
    depends on one beyond the edge.
    """
    for axis, (x, y) in enumerate(zip(source.coordinates(), target.coordinates(), strict=True)):
        if source.shape[axis] == target.shape[axis]:
            continue
        u = np.moveaxis(u, axis + 2, -1)
        if wraps and source.boundary[axis] == "periodic":
            width = min(points, len(x))
            length = source.extent[axis][1] - source.extent[axis][0]
            x = np.concatenate([x[-width:] - length, x, x[:width] + length])
            u = np.concatenate([u[..., -width:], u, u[..., :width]], axis=-1)
        places, weights = _lagrange(x, y, min(points, len(x)))
        moved = u[..., places[0]] * weights[0]
        for place, weight in zip(places[1:], weights[1:], strict=True):
            moved = moved + u[..., place] * weight
        u = np.moveaxis(moved, -1, axis + 2)
    return u


def _lagrange(x: np.ndarray, y: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """For every `y` the numbers of the points of the uniform `x` around it and their weights, `(points, len(y))` each."""
    place = (y - x[0]) / (x[1] - x[0]) if len(x) > 1 else np.zeros(len(y))
    first = np.clip(np.floor(place + 1e-9).astype(int) - (points - 1) // 2, 0, len(x) - points)
    offset, numbers = place - first, np.arange(points)
    weights = np.ones((points, len(y)))
    for i in numbers:
        for j in numbers[numbers != i]:
            weights[i] *= (offset - j) / (i - j)
    return first + numbers[:, None], weights


def _functions(grid: Grid, axis: int, waves: int) -> np.ndarray:
    """The functions of at most so many waves at the points of an axis, `(points, 2 * waves + 1)`."""
    (left, right), x = grid.extent[axis], grid.coordinates()[axis][:, None]
    phase, k = 2 * np.pi * (x - left) / (right - left), np.arange(1, waves + 1)
    if grid.endpoint[axis] or grid.centered[axis]:
        return np.cos(phase * np.arange(2 * waves + 1) / 2)
    return np.concatenate([np.ones_like(x), np.cos(phase * k), np.sin(phase * k)], axis=1)


def _along(u: np.ndarray, axis: int, matrix: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.tensordot(u, matrix, (axis, 1)), -1, axis)
