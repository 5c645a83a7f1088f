"""Flow through a porous medium by the law of Darcy."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from neuralop_jax._checks import one_of
from neuralop_jax._typing import RealField
from neuralop_jax.equations._steady import AbstractSteady, minus_divergence, spectral
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


class Darcy(AbstractSteady):
    r"""$-\nabla\cdot(a\,\nabla u) = f$: the pressure $u$ in a medium of permeability $a > 0$, in one to three dimensions.

    On Dirichlet grids that include both end points, the flows through the faces half-way to the neighbors of each inner point
    are added up, $\sum_j \frac1{h_j^2}\big(a_{i-\frac12}(u_i - u_{i-1}) - a_{i+\frac12}(u_{i+1} - u_i)\big) - f_i$, with $a$
    given at the points. The harmonic mean $2 a_i a_{i+1}/(a_i + a_{i+1})$ is the conductance of two half-cells in series, exact
    where $a$ jumps at the face. This compact stencil sees every grid mode; centered differences taken twice miss checkerboards.

    **Arguments:**

    - `faces`: `"harmonic"` or `"arithmetic"`, the mean that gives the permeability of a face.
    - `num_dims`: 1, 2 or 3.

    **Raises:** `SolverError` for another mean or other dimensions.

    **Source:** the benchmark with $f = 1$ and $a \in \{3, 12\}$ is that of Li et al. 2021, arXiv:2010.08895, section 5.2; its
    data were made with the arithmetic mean.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import Darcy
        from neuralop_jax.grids import Grid

        grid = Grid((9, 9), boundary=("dirichlet", "dirichlet"))
        permeability = 3.0 + 9.0 * (jnp.asarray(grid.coordinates()[0]) > 0.5)[None, :, None] * jnp.ones((1, 9, 9))
        u = Darcy().reference(grid, permeability=permeability, source=1.0)
        assert abs(Darcy().residual(u, grid, permeability=permeability, source=1.0)).max() < 1e-4
        ```
    """

    faces: Literal["harmonic", "arithmetic"] = eqx.field(default="harmonic", static=True)
    num_dims: int = eqx.field(default=2, static=True)
    num_channels: ClassVar[int] = 1

    def __check_init__(self):
        one_of("Darcy.faces", self.faces, ("harmonic", "arithmetic"), SolverError)
        if self.num_dims not in (1, 2, 3):
            raise SolverError(f"Darcy.num_dims must be 1, 2 or 3, got {self.num_dims}.")

    def residual(self, u: RealField, grid: Grid, *, permeability: RealField, source: RealField | float = 1.0) -> RealField:
        r"""$-\nabla\cdot(a\,\nabla u) - f$.

        **Arguments:**

        - `u`: the pressure, `(1, *space)`, with its boundary values.
        - `grid`: its grid, Dirichlet with both end points.
        - `permeability`: $a$ at the same points, positive.
        - `source`: $f$, a field like `u` or one number; default that of the benchmark.

        **Returns:** `(1, *space)`, in the unit of the source; 0 on the boundary.

        **Raises:** `SolverError` if a field does not fit the grid or the grid is of another kind.
        """
        self._check_grid(grid)
        self.check(u, grid)
        self.check(permeability, grid)
        faces = [self._mean(permeability, axis) for axis in range(1, u.ndim)]
        return minus_divergence(u, grid, faces) - self.values(source, u, grid)

    def manufactured(self, grid: Grid) -> tuple[RealField, dict[str, RealField]]:
        r"""$u = \prod_j \sin(\pi \xi_j)$ with $a = e^{\sum_j \xi_j}$ and its source, in the unit coordinates $\xi_j$ of the box.

        **Returns:** the solution `(1, *space)` and the data `{"permeability": ..., "source": ...}`.
        """
        self._check_grid(grid)
        lengths = [right - left for left, right in grid.extent]
        points = zip(grid.coordinates(), grid.extent, lengths, strict=True)
        xi = np.meshgrid(*((x - left) / length for x, (left, _), length in points), indexing="ij")
        u, a = np.prod(np.sin(np.pi * np.asarray(xi)), axis=0), np.exp(sum(xi))
        source = sum((np.pi / length) ** 2 for length in lengths) * a * u
        for axis, length in enumerate(lengths):
            others = np.prod([np.sin(np.pi * x) for j, x in enumerate(xi) if j != axis], axis=0)
            source = source - a * np.pi / length**2 * np.cos(np.pi * xi[axis]) * others
        data = {"permeability": jnp.asarray(a[None]), "source": jnp.asarray(source[None])}
        return jnp.asarray(u[None]), data

    def layered(
        self,
        grid: Grid,
        permeabilities: Sequence[float],
        interfaces: Sequence[float],
        *,
        source: float = 0.0,
        ends: tuple[float, float] = (0.0, 1.0),
    ) -> tuple[RealField, dict[str, RealField]]:
        r"""Layers across the first axis: $u = u_0 + C \int \frac{dx}a - f \int \frac{x\,dx}a$.

        Without a source and with every interface half-way between two points, it solves the difference equations with harmonic
        faces to round-off.

        **Arguments:**

        - `grid`: its grid.
        - `permeabilities`: that of each layer; a point on an interface takes that of the layer to its left.
        - `interfaces`: where one layer ends and the next begins, ascending, one less than layers.
        - `source`: the constant $f$.
        - `ends`: the pressure at both ends of the first axis.

        **Returns:** the solution, constant along the other axes, `(1, *space)`, and the data
        `{"permeability": ..., "source": ...}`.

        **Raises:** `SolverError` if the interfaces are not as many as that, or not ascending within the grid.
        """
        self._check_grid(grid)
        (left, right), layers = grid.extent[0], np.asarray(permeabilities, np.float64)
        edges = np.asarray([left, *interfaces, right]) - left
        if len(edges) != len(layers) + 1 or np.any(np.diff(edges) <= 0):
            raise SolverError(
                f"Darcy.layered needs {len(layers) - 1} ascending interfaces between {left} and {right}, one less than "
                f"layers, got {tuple(interfaces)}."
            )
        x = grid.coordinates()[0] - left
        inside = np.clip(x[:, None], edges[None, :-1], edges[None, 1:])
        resistance = ((inside - edges[None, :-1]) / layers[None]).sum(axis=1)
        moment = ((inside**2 - edges[None, :-1] ** 2) / (2 * layers[None])).sum(axis=1)
        constant = (ends[1] - ends[0] + source * moment[-1]) / resistance[-1]
        profile = ends[0] + constant * resistance - source * moment
        a = layers[np.clip(np.searchsorted(edges, x) - 1, 0, len(layers) - 1)]
        u, a = (np.broadcast_to(v.reshape(1, -1, *(1,) * (grid.num_dims - 1)), (1, *grid.shape)) for v in (profile, a))
        return jnp.asarray(u), {"permeability": jnp.asarray(a), "source": jnp.full((1, *grid.shape), source)}

    def _mean(self, a: Array, axis: int) -> Array:
        """The permeability of the faces between neighbors along an axis of the array."""
        left, right = (jnp.take(a, np.arange(a.shape[axis] - 1) + i, axis=axis) for i in (0, 1))
        return 2 * left * right / (left + right) if self.faces == "harmonic" else 0.5 * (left + right)

    def _check_grid(self, grid: Grid) -> None:
        if spectral(grid, "Darcy"):
            raise SolverError("Darcy needs a Dirichlet grid that includes both end points of every axis, got a periodic one.")
