"""What the rows of `benchmark data` have in common: the problem, the check of the sides, and the form of a row."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.data import GaussianRandomField
from neuralop_jax.errors import NeuralOpError
from neuralop_jax.evaluation import Timing
from neuralop_jax.grids import Grid

_AGREEMENT = 1e-3
"""Largest relative difference of the fields after the timed steps, in float32."""


def square_grid(points: int) -> Grid:
    """The unit square of the benchmark."""
    return Grid((points, points), boundary=("dirichlet", "dirichlet"))


def two_phase(grid: Grid) -> Float[Array, "1 *space"]:
    """A permeability of the benchmark: 12 where a random field is positive, else 3."""
    g = GaussianRandomField(3.0, 3.0, 2.0, boundary="neumann").sample(grid, key=jax.random.key(0))
    return jnp.where(g >= 0, 12.0, 3.0)


def same_fields(found: np.ndarray, wanted: np.ndarray, where: str) -> None:
    """Raises `NeuralOpError` unless both sides computed the same."""
    difference = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    if not difference < _AGREEMENT:
        raise NeuralOpError(f"{where}: the fields differ by {difference:.1e} relative, wanted below {_AGREEMENT:.0e}.")


def timed_row(case: str, unit: str, scale: float, taken: dict[str, Timing]) -> dict[str, Any]:
    """The timings of a case in its unit, `scale` times the seconds: medians and spread of each side, their `ratio` to ours."""
    sides = {
        name: {"median": scale * timing.median} | {end: scale * value for end, value in timing.spread().items()}
        for name, timing in taken.items()
    }
    ratio = {name: side["median"] / sides["ours"]["median"] for name, side in sides.items() if name != "ours"}
    return {"case": case, "unit": unit, "sides": sides, "ratio": ratio, "repeats": len(taken["ours"].seconds)}


def bytes_row(case: str, sizes: dict[str, int]) -> dict[str, Any]:
    """Sizes of memory, which do not vary, in megabytes."""
    return timed_row(case, "MB", 1e-6, {side: Timing((float(size),)) for side, size in sizes.items()})
