"""What is measured of a field: values at points, with noise."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.grids import Grid


class Sensors(eqx.Module):
    r"""The values $(Pu)_s = u(x_s)$ of a field on a grid at any points, (bi-, tri-)linear between its points.

    Between the outermost points of an axis and the ends of its interval, as on an axis of cell centers, the interpolant of the
    last two points is continued; a periodic axis wraps. $P$ is linear, and `adjoint` is its transpose exactly, so that
    $\langle Pu, d\rangle = \langle u, P^\top d\rangle$ to round-off.

    **Arguments:**

    - `points`: $x_s$ in the unit of the grid, `(sensors, num_dims)`, within its box.
    - `grid`: the grid of the fields, at least two points per axis.

    **Returns:** when called with `u` of shape `(channels, *space)`, the values `(channels, sensors)`.

    **Raises:** `ConfigError` if points have another number of coordinates, are not finite or lie outside the box;
    `ModelInputError` for a field of another grid.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.inverse import Sensors

        sensors = Sensors(jnp.asarray([[0.25], [0.9]]), Grid((3,)))
        assert jnp.allclose(sensors(jnp.asarray([[0.0, 1.0, 0.0]])), jnp.asarray([[0.5, 0.2]]))
        ```
    """

    points: Float[np.ndarray, "sensors dims"] = eqx.field(converter=lambda x: np.asarray(x, np.float64))
    grid: Grid = eqx.field(static=True)
    corners: Int[np.ndarray, "corners sensors"]
    weights: Float[np.ndarray, "corners sensors"]

    def __init__(self, points: Float[Array | np.ndarray, "sensors dims"], grid: Grid):
        self.points, self.grid = np.asarray(points, np.float64), grid
        _check(self.points, grid)
        lefts, rights = zip(*(_bracket(self.points[:, axis], grid, axis) for axis in range(grid.num_dims)), strict=True)
        corners, weights = [], []
        for choice in itertools.product((0, 1), repeat=grid.num_dims):
            index = [pair[side] for pair, side in zip(lefts, choice, strict=True)]
            corners.append(np.ravel_multi_index(index, grid.shape))
            weights.append(np.prod([share if side else 1 - share for share, side in zip(rights, choice, strict=True)], axis=0))
        self.corners, self.weights = np.stack(corners), np.stack(weights)

    def __call__(self, u: Float[Array, "channels *space"]) -> Float[Array, "channels sensors"]:
        if u.shape[1:] != self.grid.shape:
            raise ModelInputError(
                f"Sensors read fields of shape (channels, {', '.join(map(str, self.grid.shape))}), got {u.shape}. Place "
                "them on the grid of the field."
            )
        values = u.reshape(u.shape[0], -1)[:, self.corners]
        return jnp.sum(values * jnp.asarray(self.weights, u.dtype)[None], axis=1)

    def adjoint(self, values: Float[Array, "channels sensors"]) -> Float[Array, "channels *space"]:
        r"""$P^\top d$: the values, spread over the corners of the cells in which the sensors lie."""
        fields = jax.ShapeDtypeStruct((values.shape[0], *self.grid.shape), values.dtype)
        return jax.linear_transpose(self, fields)(values)[0]


def random_sensors(grid: Grid, count: int, *, key: PRNGKey) -> Sensors:
    """Sensors at independent points, uniform in the box of a grid.

    **Arguments:**

    - `grid`: the grid of the fields.
    - `count`: how many.
    - `key`: which points.

    **Raises:** `ConfigError` if `count` is not positive.

    !!! example

        ```python
        import jax
        from neuralop_jax.grids import Grid
        from neuralop_jax.inverse import random_sensors

        sensors = random_sensors(Grid((8, 8)), 5, key=jax.random.key(0))
        assert sensors(jax.numpy.ones((1, 8, 8))).shape == (1, 5)
        ```
    """
    if count < 1:
        raise ConfigError(f"The number of sensors must be at least 1, got {count}.")
    low, high = np.asarray(grid.extent).T
    unit = np.asarray(jax.random.uniform(key, (count, grid.num_dims)), np.float64)
    return Sensors(low + (high - low) * unit, grid)


def add_noise(
    values: Float[Array, "channels sensors"], level: float, *, key: PRNGKey
) -> tuple[Float[Array, "channels sensors"], Float[Array, ""]]:
    r"""$d + \sigma\xi$ with independent standard normal $\xi$ and $\sigma = $ `level` times the root mean square of $d$.

    **Arguments:**

    - `values`: what sensors without noise would show.
    - `level`: relative standard deviation; 0.05 is 5 % noise.
    - `key`: which noise.

    **Returns:** the noisy values, and $\sigma$.

    **Raises:** `ConfigError` unless `level` is positive.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.inverse import add_noise

        noisy, deviation = add_noise(jnp.full((1, 100), 2.0), 0.05, key=jax.random.key(0))
        assert jnp.isclose(deviation, 0.1) and abs(jnp.std(noisy) - 0.1) < 0.02
        ```
    """
    if not level > 0:
        raise ConfigError(f"The level of noise must be positive, got {level}. It weighs the misfit against the prior.")
    deviation = level * jnp.sqrt(jnp.mean(values**2))
    return values + deviation * jax.random.normal(key, values.shape, values.dtype), deviation


def _check(points: np.ndarray, grid: Grid) -> None:
    if points.ndim != 2 or points.shape[1] != grid.num_dims or len(points) == 0:
        raise ConfigError(f"The points of Sensors must have shape (sensors, {grid.num_dims}), got {points.shape}.")
    if min(grid.shape) < 2:
        raise ConfigError(f"Sensors need a grid of at least two points per axis, got {grid.shape}.")
    low, high = np.asarray(grid.extent).T
    outside = np.flatnonzero(~((points >= low) & (points <= high)).all(axis=1))  # NaN counts
    if len(outside):
        first = ", ".join(f"{x:g}" for x in points[outside[0]])
        raise ConfigError(
            f"{len(outside)} of {len(points)} sensors lie outside the box {grid.extent}, the first at ({first}). Drop them."
        )


def _bracket(x: np.ndarray, grid: Grid, axis: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The points left and right of `x` on an axis, and the weight of the right one."""
    n, periodic = grid.shape[axis], grid.boundary[axis] == "periodic"
    place = (x - grid.coordinates()[axis][0]) / grid.spacing[axis]
    left = np.floor(place).astype(int)
    if periodic:
        return (left % n, (left + 1) % n), place - left
    left = np.clip(left, 0, n - 2)
    return (left, left + 1), place - left
