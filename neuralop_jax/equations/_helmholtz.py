"""The Helmholtz equation."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from neuralop_jax._typing import RealField
from neuralop_jax.equations._steady import AbstractSteady, inner_part, minus_laplacian, sines
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


class Helmholtz(AbstractSteady):
    r"""$-\Delta u - k^2 u = f$ in one to three dimensions: a standing wave of wavenumber $k$ and its source.

    On periodic grids the residual is spectral. On Dirichlet grids that include both end points it is that of second-order
    differences, $2d + 1$ points, at the inner points and 0 on the boundary. Where $k^2$ is an eigenvalue of $-\Delta$, there is
    no single solution. Take ten points a wavelength $2\pi/k$ or more: differences make waves shorter by up to $k^2 h^2/24$.

    **Arguments:**

    - `wavenumber`: $k$, in radians per length.
    - `num_dims`: 1, 2 or 3.

    **Raises:** `SolverError` for other dimensions.

    !!! example

        ```python
        from neuralop_jax.equations import Helmholtz
        from neuralop_jax.grids import Grid

        grid = Grid((32, 32), boundary=("periodic", "periodic"))
        equation = Helmholtz(wavenumber=5.0)
        u, data = equation.manufactured(grid)
        assert abs(equation.residual(u, grid, **data)).max() < 1e-2 * abs(data["source"]).max()
        ```
    """

    wavenumber: float | Array
    num_dims: int = eqx.field(default=2, static=True)
    num_channels: ClassVar[int] = 1

    def __check_init__(self):
        if self.num_dims not in (1, 2, 3):
            raise SolverError(f"Helmholtz.num_dims must be 1, 2 or 3, got {self.num_dims}.")

    def residual(self, u: RealField, grid: Grid, *, source: RealField | float) -> RealField:
        r"""$-\Delta u - k^2 u - f$.

        **Arguments:**

        - `u`: the field, `(1, *space)`, with its boundary values.
        - `grid`: its grid, periodic or Dirichlet with both end points.
        - `source`: $f$, a field like `u` or one number.

        **Returns:** `(1, *space)`, in the unit of the source.

        **Raises:** `SolverError` if a field does not fit the grid or the grid is of another kind.
        """
        self.check(u, grid)
        rest = minus_laplacian(u, grid, "Helmholtz") - self.values(source, u, grid)
        return (rest - self.wavenumber**2 * inner_part(u, grid)).astype(u.dtype)

    def manufactured(self, grid: Grid, modes: tuple[int, ...] | None = None) -> tuple[RealField, dict[str, RealField]]:
        r"""$u = \prod_j \sin(m_j \pi \xi_j)$ on Dirichlet, $\prod_j \sin(2 m_j \pi \xi_j)$ on periodic grids, and its source.

        **Arguments:**

        - `grid`: its grid; $\xi_j \in [0, 1]$ are its unit coordinates.
        - `modes`: the $m_j$; default 1, 2, 3.

        **Returns:** the solution `(1, *space)` and the data `{"source": ...}`.
        """
        u, rate = sines(grid, modes, "Helmholtz")
        return jnp.asarray(u), {"source": (rate - self.wavenumber**2) * jnp.asarray(u)}
