"""The Poisson equation."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from neuralop_jax._typing import RealField
from neuralop_jax.equations._steady import AbstractSteady, minus_laplacian, sines, spectral
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


class Poisson(AbstractSteady):
    r"""$-\Delta u = f$ in one to three dimensions.

    On periodic grids the residual is spectral, and solutions need a source without mean. On Dirichlet grids that include both end
    points it is that of second-order differences, $2d + 1$ points, at the inner points and 0 on the boundary.

    **Arguments:**

    - `num_dims`: 1, 2 or 3.

    **Raises:** `SolverError` for other dimensions.

    !!! example

        ```python
        from neuralop_jax.equations import Poisson
        from neuralop_jax.grids import Grid

        grid = Grid((33, 33), boundary=("dirichlet", "dirichlet"))
        u = Poisson().unit_source(grid)
        assert abs(float(u.max()) - 0.0736714) < 1e-6
        assert abs(Poisson().residual(u, grid, source=1.0)[:, 4:-4, 4:-4]).max() < 0.02  # of second order in the spacing
        ```
    """

    num_dims: int = eqx.field(default=2, static=True)
    num_channels: ClassVar[int] = 1

    def __check_init__(self):
        if self.num_dims not in (1, 2, 3):
            raise SolverError(f"Poisson.num_dims must be 1, 2 or 3, got {self.num_dims}.")

    def residual(self, u: RealField, grid: Grid, *, source: RealField | float = 1.0) -> RealField:
        r"""$-\Delta u - f$.

        **Arguments:**

        - `u`: the field, `(1, *space)`, with its boundary values.
        - `grid`: its grid, periodic or Dirichlet with both end points.
        - `source`: $f$, a field like `u` or one number.

        **Returns:** `(1, *space)`, in the unit of the source.

        **Raises:** `SolverError` if a field does not fit the grid or the grid is of another kind.
        """
        self.check(u, grid)
        return minus_laplacian(u, grid, "Poisson") - self.values(source, u, grid)

    def manufactured(self, grid: Grid, modes: tuple[int, ...] | None = None) -> tuple[RealField, dict[str, RealField]]:
        r"""$u = \prod_j \sin(m_j \pi \xi_j)$ on Dirichlet, $\prod_j \sin(2 m_j \pi \xi_j)$ on periodic grids, and its source.

        **Arguments:**

        - `grid`: its grid; $\xi_j \in [0, 1]$ are its unit coordinates.
        - `modes`: the $m_j$; default 1, 2, 3.

        **Returns:** the solution `(1, *space)` and the data `{"source": ...}`.
        """
        u, rate = sines(grid, modes, "Poisson")
        return jnp.asarray(u), {"source": jnp.asarray(rate * u)}

    def unit_source(self, grid: Grid) -> RealField:
        r"""The solution of $-\Delta u = 1$ that vanishes on the boundary of a rectangle, to round-off.

        With $a$ and $b$ its sides, $u = \frac{x(a - x)}2 - \frac{4a^2}{\pi^3} \sum_{m\text{ odd}} \frac{\sin(m\pi x/a)}{m^3}
        \frac{\cosh(m\pi (y - b/2)/a)}{\cosh(m\pi b/2a)}$. On the unit square its maximum is 0.0736714 and its mean 0.0351443.

        **Returns:** the solution at the points of `grid`, `(1, *space)`.

        **Raises:** `SolverError` unless the grid is Dirichlet in two dimensions, with both end points.
        """
        if self.num_dims != 2 or grid.num_dims != 2 or spectral(grid, "Poisson.unit_source"):
            raise SolverError(
                "Poisson.unit_source is known on Dirichlet grids in two dimensions. Use num_dims=2 and such a grid."
            )
        (left, right), (low, high) = grid.extent
        a, b = right - left, high - low
        x, y = grid.coordinates()
        x, y = (x - left)[:, None, None], (y - low)[None, :, None]
        terms = int(np.ceil(6 * a / grid.spacing[1])) + 8  # the terms decay as exp(-m pi y / a), at the first row by exp(-38)
        m = (2 * np.arange(terms) + 1)[None, None, :]
        ratio = (np.exp(-m * np.pi * y / a) + np.exp(-m * np.pi * (b - y) / a)) / (1 + np.exp(-m * np.pi * b / a))
        series = (np.sin(m * np.pi * x / a) / m**3 * ratio).sum(axis=-1)
        u = x[..., 0] * (a - x[..., 0]) / 2 - 4 * a**2 / np.pi**3 * series
        return jnp.asarray(np.pad(u[1:-1, 1:-1], 1)[None])
