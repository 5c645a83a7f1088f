"""What the generators of trajectories share: a solver's grid finer than the stored one, frames at equal intervals."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from neuralop_jax._typing import RealField
from neuralop_jax.equations import AbstractEvolution
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.solvers import ETDRK, integrate

_MOST_STEPS = 10**9


def refined(grid: Grid, minimum: int) -> Grid:
    """The coarsest grid of at least `minimum` points per axis that holds every point of a periodic `grid`."""
    factor = max(math.ceil(minimum / points) for points in grid.shape)
    return grid.with_shape(tuple(points * factor for points in grid.shape))


def frame_times(final_time: float, num_frames: int) -> tuple[float, ...]:
    """`num_frames` times at equal intervals, from 0 to `final_time`."""
    return tuple(np.linspace(0.0, final_time, num_frames).tolist())


def trajectory(
    equation: AbstractEvolution,
    u0: RealField,
    solver_grid: Grid,
    stored_grid: Grid,
    *,
    interval: float,
    num_frames: int,
    max_step: float,
    burn_in: float = 0.0,
) -> tuple[Float[Array, "frames channels *stored_space"], Int[Array, ""]]:
    """Frames at equal intervals by fourth-order exponential steps, sampled at the points of the stored grid.

    **Arguments:**

    - `equation`, `u0`, `solver_grid`: the problem, with its start on the grid of the solver.
    - `stored_grid`: a grid whose points are every $r$-th of the solver's.
    - `interval`: the time between two frames.
    - `num_frames`: number of frames, the start (after the burn-in) included.
    - `max_step`: the longest time step; the interval is divided into equal ones.
    - `burn_in`: time that passes before the first frame.

    **Returns:** `(frames, channels, *space)` and the result code of the integration.
    """
    stride = solver_grid.shape[0] // stored_grid.shape[0]
    start, code = u0, 0
    if burn_in > 0:
        steps = _count(burn_in, max_step)
        warm = integrate(
            ETDRK(equation, solver_grid, burn_in / steps), u0, steps, save_every=steps, include_init=False, throw=False
        )
        start, code = warm.values[-1], warm.result
    substeps = _count(interval, max_step)
    step = ETDRK(equation, solver_grid, interval / substeps)
    solution = integrate(step, start, substeps * (num_frames - 1), save_every=substeps, throw=False)
    strided = (slice(None), slice(None), *(slice(None, None, stride),) * stored_grid.num_dims)
    return solution.values[strided], jnp.where(code != 0, code, solution.result).astype("int32")


def _count(time: float, max_step: float) -> int:
    """The number of equal steps of at most `max_step`."""
    count = math.ceil(time / max_step)
    if count > _MOST_STEPS:
        raise ConfigError(
            f"max_step = {max_step:g} makes {count:.1e} steps of a time of {time:g}; more than {_MOST_STEPS:.0e} never end."
        )
    return count
