"""The grid of every r-th point, and a grid whose boundary or extent the user states."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from neuralop_jax.errors import DataError, NeuralOpError
from neuralop_jax.grids import Grid


def strided_grid(grid: Grid, strides: Sequence[int]) -> tuple[Grid, list[str]]:
    """The grid of the points 0, r, 2r, ... of each axis, every one where it was, and what that loses.

    A stride that divides the number of intervals keeps the box. Otherwise the points stop before the right end: the box then ends
    at the last of them, and nothing is known of the boundary there.

    **Raises:** `DataError` if a stride does not divide the points of a periodic axis, whose points would no longer be uniform on
    the circle, or leaves fewer than two points.
    """
    axes, notes = [], []
    for axis, (stride, n) in enumerate(zip(strides, grid.shape, strict=True)):
        name, (a, b), h = grid.names[axis], grid.extent[axis], grid.spacing[axis]
        kind, closed, centered = grid.boundary[axis], grid.endpoint[axis], grid.centered[axis]
        kept = -(-n // stride) if stride > 0 else 0
        if stride == 1:
            axes.append((n, (a, b), kind, closed, name, centered))
            continue
        if kept < 2:
            raise DataError(f"a stride of {stride} does not fit the {n} points of axis {name}. Choose one from 1 to {n - 1}.")
        first = a + h / 2 if centered else a
        if kind == "periodic":
            if n % stride:
                raise DataError(
                    f"a stride of {stride} does not divide the {n} points of the periodic axis {name}: "
                    "the points that remain would not be uniform. Choose a divisor."
                )
            axes.append((kept, (first, first + b - a), kind, False, name, False))
        elif closed and (n - 1) % stride == 0:
            axes.append((kept, (a, b), kind, True, name, False))
        elif not closed and not centered and n % stride == 0:
            axes.append((kept, (a, b), kind, False, name, False))
        else:
            last = first + (kept - 1) * stride * h
            axes.append((kept, (first, last), "open", True, name, False))
            notes.append(f"with a stride of {stride} axis {name} ends at its last point {last:g}, its boundary recorded as open")
    shape, extent, boundary, endpoint, names, centered = zip(*axes, strict=True)
    return Grid(shape, extent, boundary, endpoint, names, grid.unit, centered), notes


def stated_grid(grid: Grid, boundary: Sequence[str], extent: Sequence[tuple[float, float]]) -> Grid:
    """`grid` with another boundary condition on each axis, another box, or both; one value holds for all axes.

    **Raises:** `DataError` for another number of values, or if an axis becomes periodic whose box includes its right end and no
    box is stated.
    """
    dims = grid.num_dims
    boundary = tuple(boundary) * (dims if len(boundary) == 1 else 1)
    box = tuple(extent) * (dims if len(extent) == 1 else 1)
    for name, values in (("boundary", boundary), ("extent", box)):
        if values and len(values) != dims:
            raise DataError(f"{name} has {len(values)} entries for {dims} space axes. Give one for each, or one for all.")
    changes: dict[str, Any] = {}
    for axis, kind in enumerate(boundary if not box else ()):
        if kind == "periodic" and grid.endpoint[axis]:
            raise DataError(
                f"axis {grid.names[axis]} cannot become periodic as it is: its box {grid.extent[axis]} includes its right end. "
                "State the extent too, the period of the axis."
            )
    if boundary:
        changes["boundary"] = boundary
    if box:
        changes |= {"extent": box, "endpoint": ()}
    try:
        return dataclasses.replace(grid, **changes)
    except NeuralOpError as error:
        raise DataError(str(error)) from error
