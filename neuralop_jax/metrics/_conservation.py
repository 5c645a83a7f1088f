"""What a prediction gains or loses of quantities that an equation conserves."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._typing import RealField, Trajectory
from neuralop_jax.grids import Grid
from neuralop_jax.metrics._spectrum import require_whole


def integral(u: RealField, grid: Grid | None = None) -> Float[Array, " channels"]:
    r"""$\int u\,dx$ of each channel over the box, in the unit of the field times that of volume.

    The sum of the points by the spacing; along an axis that includes both ends these count half (the trapezoidal rule). On
    periodic axes it is exact for what the grid resolves, on centered ones the midpoint rule.

    **Arguments:**

    - `u`: `(channels, *space)`.
    - `grid`: its spacing; without one the unit box, with spacing $1/N$.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import integral

        x = jnp.linspace(0, 2, 5)
        assert jnp.allclose(integral(x[None], Grid((5,), ((0.0, 2.0),))), 2.0)
        ```
    """
    require_whole("an integral")
    grid = grid or Grid(u.shape[1:], endpoint=(False,) * (u.ndim - 1))
    for axis in reversed(range(grid.num_dims)):
        weights = np.full(grid.shape[axis], grid.spacing[axis])
        if grid.endpoint[axis] and len(weights) > 1:
            weights[[0, -1]] /= 2
        u = u @ jnp.asarray(weights, u.dtype)
    return u


def mass_error(prediction: RealField, target: RealField, grid: Grid | None = None) -> Float[Array, " channels"]:
    r"""$\bigl|\int (\tilde u - u)\,dx\bigr| / \int |u|\,dx$ of each channel: what was made or lost of mass or momentum.

    Divided by the integral of the magnitude, it has a meaning also where the mass itself is zero. A channel that vanishes has no
    such scale: there it is the difference of the integrals.

    **Arguments:** as in `relative_l2`, with the quadrature of `integral`.
    """
    lost, whole = jnp.abs(integral(prediction - target, grid)), integral(jnp.abs(target), grid)
    return lost / jnp.where(whole > 0, whole, 1)


def energy_error(prediction: RealField, target: RealField, grid: Grid | None = None) -> Float[Array, " channels"]:
    r"""$\bigl|\int (\tilde u^2 - u^2)\,dx\bigr| / \int u^2\,dx$ of each channel: what was made or lost of its energy.

    Small errors in space can leave it large, and large ones zero: a shifted field has the same energy. Of a channel that
    vanishes it is the difference of the integrals.

    **Arguments:** as in `mass_error`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import energy_error, mass_error

        target = jnp.sin(2 * jnp.pi * jnp.arange(16) / 16)[None]
        assert jnp.allclose(energy_error(1.1 * target, target), 0.21, atol=1e-5) and mass_error(1.1 * target, target) < 1e-6
        ```
    """
    whole = integral(target**2, grid)
    return jnp.abs(integral(prediction**2, grid) - whole) / jnp.where(whole > 0, whole, 1)


def invariant_drift(
    trajectory: Trajectory, grid: Grid, invariants: Callable[[RealField, Grid], dict[str, Float[Array, ""]]]
) -> dict[str, Float[Array, " time"]]:
    r"""$I(u(t)) - I(u(0))$ of every invariant $I$ along a trajectory, in the unit of the invariant.

    Not relative, since many an invariant is zero, such as the circulation of a flow on a periodic box.

    **Arguments:**

    - `trajectory`: `(time, channels, *space)`, the start first.
    - `grid`: its grid.
    - `invariants`: from a state and its grid to numbers by name, such as `equations.NavierStokes(...).invariants`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import Advection
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import invariant_drift

        grid = Grid((8,), boundary=("periodic",))
        growing = jnp.ones((3, 1, 8)) * jnp.asarray([1.0, 1.5, 2.0])[:, None, None]
        drift = invariant_drift(growing, grid, Advection((1.0,)).invariants)
        assert drift["mass"].tolist() == [0.0, 0.5, 1.0]
        ```
    """
    values: dict[str, Array] = jax.vmap(lambda u: invariants(u, grid))(trajectory)
    return {name: value - value[0] for name, value in values.items()}
