"""Velocity fields: divergence, vorticity, and how energy and enstrophy are distributed over wavenumbers."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import RealField
from neuralop_jax.errors import ModelInputError
from neuralop_jax.grids import Grid
from neuralop_jax.metrics._field import slope
from neuralop_jax.metrics._spectrum import energy_spectrum, require_whole


def divergence(velocity: RealField, grid: Grid) -> Float[Array, "1 *space"]:
    r"""$\nabla\cdot u = \sum_i \partial_i u_i$ at the points of the grid.

    Derivatives are spectral along periodic axes. Along any other they are differences of second order: the divergence of a field
    that has none is then of the order of the squared spacing, not of round-off.

    **Arguments:**

    - `velocity`: `(dimensions, *space)`, component $i$ along axis $i$.
    - `grid`: its spacing and boundaries.

    **Returns:** `(1, *space)`, in the unit of the velocity over that of length.

    **Raises:** `ModelInputError` unless there is one component per axis.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import divergence

        grid, x = Grid((16,), boundary=("periodic",)), 2 * jnp.pi * jnp.arange(16) / 16
        assert jnp.allclose(divergence(jnp.sin(x)[None], grid), 2 * jnp.pi * jnp.cos(x), atol=1e-4)
        ```
    """
    _check(velocity, grid, "divergence")
    stretching = [slope(velocity[axis : axis + 1], axis, grid) for axis in range(grid.num_dims)]
    return jnp.sum(jnp.concatenate(stretching), axis=0, keepdims=True)


def relative_divergence(velocity: RealField, grid: Grid) -> Float[Array, ""]:
    r"""$\lVert\nabla\cdot u\rVert_2/\lVert\nabla u\rVert_2$: the part of all slopes that changes volumes, without a unit.

    Zero for an incompressible flow, up to the error of the derivatives (see `divergence`), and at most the square root of the
    number of dimensions. A uniform flow has no slopes: there it is zero.

    **Arguments:** and what is raised as in `divergence`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import relative_divergence

        grid, x = Grid((16, 16), boundary=("periodic", "periodic")), 2 * jnp.pi * jnp.arange(16) / 16
        wave = jnp.broadcast_to(jnp.sin(x)[:, None], (16, 16))
        assert abs(relative_divergence(jnp.stack([wave, 0 * wave]), grid) - 1) < 1e-5  # along its slope
        assert relative_divergence(jnp.stack([0 * wave, wave]), grid) < 1e-5  # across it
        ```
    """
    _check(velocity, grid, "relative_divergence")
    require_whole("a norm of the divergence")
    slopes = jnp.stack([slope(velocity, axis, grid) for axis in range(grid.num_dims)])
    square, whole = jnp.sum(jnp.trace(slopes) ** 2), jnp.sum(slopes**2)
    return jnp.where(whole > 0, jnp.sqrt(square / jnp.where(whole > 0, whole, 1)), 0)


def vorticity(velocity: RealField, grid: Grid) -> Float[Array, "components *space"]:
    r"""$\nabla\times u$: of two components $\partial_x u_y - \partial_y u_x$, of three all three.

    Derivatives and arguments are those of `divergence`.

    **Returns:** `(1, *space)` in two dimensions, `(3, *space)` in three.

    **Raises:** `ModelInputError` for other dimensions, or unless there is one component per axis.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import vorticity

        grid = Grid((8, 8), endpoint=(True, True))
        x, y = jnp.meshgrid(*map(jnp.asarray, grid.coordinates()), indexing="ij")
        assert jnp.allclose(vorticity(jnp.stack([-y, x]), grid), 2, atol=1e-4)  # rigid rotation
        ```
    """
    _check(velocity, grid, "vorticity")
    if grid.num_dims not in (2, 3):
        raise ModelInputError(f"vorticity needs a velocity in two or three dimensions, got {grid.num_dims}. Select such axes.")
    across = lambda i, j: slope(velocity[j : j + 1], i, grid) - slope(velocity[i : i + 1], j, grid)
    planes = ((0, 1),) if grid.num_dims == 2 else ((1, 2), (2, 0), (0, 1))
    return jnp.concatenate([across(i, j) for i, j in planes])


def kinetic_energy_spectrum(velocity: RealField, grid: Grid) -> Float[Array, " bins"]:
    r"""$E_k = \tfrac12\sum_{k - 1/2 \le |\kappa| < k + 1/2} |\hat u_\kappa|^2$, which adds up to the mean of $\tfrac12|u|^2$.

    **Arguments:** as in `divergence`; transforms and bins are those of `energy_spectrum`.

    **Returns:** `(bins,)` in the square of the unit of the velocity.

    **Raises:** `ModelInputError` unless there is one component per axis.
    """
    _check(velocity, grid, "kinetic_energy_spectrum")
    return 0.5 * jnp.sum(energy_spectrum(velocity, grid), axis=0)


def enstrophy_spectrum(velocity: RealField, grid: Grid) -> Float[Array, " bins"]:
    r"""$Z_k = \tfrac12\sum_{k - 1/2 \le |\kappa| < k + 1/2} |\hat w_\kappa|^2$ of the vorticity $w$, with the mean of
    $\tfrac12|w|^2$ as its sum.

    Where the vorticity itself is at hand, it is half of its `energy_spectrum`.

    **Arguments:** and what is raised as in `vorticity`.

    **Returns:** `(bins,)` in the square of the unit of the velocity over that of length.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import enstrophy_spectrum, kinetic_energy_spectrum

        grid, x = Grid((16, 16), boundary=("periodic", "periodic")), 2 * jnp.pi * jnp.arange(16) / 16
        vortices = jnp.stack([jnp.outer(jnp.sin(x), jnp.cos(x)), -jnp.outer(jnp.cos(x), jnp.sin(x))])  # Taylor-Green
        square = 2 * (2 * jnp.pi) ** 2  # of its only wavenumber
        assert jnp.allclose(enstrophy_spectrum(vortices, grid)[1], square * kinetic_energy_spectrum(vortices, grid)[1], rtol=1e-4)
        ```
    """
    return 0.5 * jnp.sum(energy_spectrum(vorticity(velocity, grid), grid), axis=0)


def _check(velocity: RealField, grid: Grid, name: str) -> None:
    if len(velocity) != grid.num_dims or velocity.ndim != grid.num_dims + 1:
        raise ModelInputError(
            f"{name} needs a velocity with one component per axis, ({grid.num_dims}, *space), got {tuple(velocity.shape)}. "
            "Select the channels of the velocity."
        )
