"""Stored coordinates and times to a `Grid` and to the times of frames."""

from collections.abc import Sequence

import numpy as np

from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid


def grid_of(
    points: Sequence[np.ndarray], boundary: Sequence[str], *, centered: bool | None = None, names: Sequence[str] = ()
) -> tuple[Grid, list[str]]:
    """The grid with these coordinates, and what had to be inferred.

    **Arguments:**

    - `points`: the coordinates of each axis.
    - `boundary`: the boundary condition of each axis.
    - `centered`: whether the points are centers of cells; if `None`, they are where the first lies half a spacing above zero.
    - `names`: the names of the axes.
    """
    shape = tuple(len(values) for values in points)
    names = tuple(names) or ("x", "y", "z")[: len(shape)]
    extent, endpoint, centers, notes = [], [], [], []
    for name, values, kind in zip(names, points, boundary, strict=True):
        spacing = uniform_spacing(values)
        if spacing is None:
            notes.append(f"the coordinates of {name} are not uniform and increasing: its points are numbered from 0 instead")
            values, spacing = np.arange(len(values), dtype=np.float64), 1.0
        first, last = float(values[0]), float(values[-1])
        between = abs(first - spacing / 2) < 1e-3 * spacing if centered is None else centered
        if between:
            ends = (first - spacing / 2, last + spacing / 2)
        else:
            ends = (first, last + spacing if kind == "periodic" or len(values) == 1 else last)
        extent.append(tuple(_tidy(end, values) for end in ends))
        endpoint.append(not between and kind != "periodic" and len(values) > 1)
        centers.append(between)
    grid = Grid(shape, tuple(extent), tuple(boundary), tuple(endpoint), names, centered=tuple(centers))
    return grid, notes


def uniform_spacing(values: np.ndarray) -> float | None:
    """The distance of neighboring points, `None` unless they increase by equal steps up to the rounding of their type."""
    if values.ndim != 1 or not np.isfinite(values).all():
        return None
    if len(values) == 1:
        return 1.0
    exact = values.astype(np.float64)
    spacing = (exact[-1] - exact[0]) / (len(values) - 1)
    rounding = 8 * _rounding(values)
    if spacing <= 0 or np.abs(np.diff(exact) - spacing).max() > 1e-4 * spacing + rounding:
        return None
    return float(spacing)


def times_of(values: np.ndarray, frames: int, where: str) -> tuple[tuple[float, ...], list[str]]:
    """The times of `frames` frames from the stored ones, of which there may be one too many at the end.

    **Raises:** `DataError` for any other number, or times that do not increase.
    """
    values = np.ravel(np.asarray(values, np.float64))
    if len(values) not in (frames, frames + 1):
        raise DataError(f"{where} has {len(values)} entries for {frames} frames. Make them agree.")
    notes = [f"{where} has {len(values)} entries for {frames} frames; the last was left out"] * (len(values) - frames)
    values = values[:frames]
    if not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise DataError(f"{where} does not increase. Write the times of the frames in order.")
    return tuple(values.tolist()), notes


def _rounding(values: np.ndarray) -> float:
    kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    return float(np.finfo(kind).eps) * float(np.abs(values).max())


def _tidy(end: float, values: np.ndarray) -> float:
    """`end` without the rounding of the coordinates from which it was computed: 1.0 for 0.99999994."""
    near = round(end, 6)
    return near if abs(near - end) <= 8 * _rounding(values) else end
