"""Finite volumes on grids: the operator of Darcy's law as a stencil, on one grid or rediscretized on coarser ones."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.kernels._grid_transfer import AxisNodes, restrict
from neuralop_jax.kernels._stencil import Stencil, along, diffusion_stencil, widened
from neuralop_jax.solvers._levels import to_coarsen


def darcy_stencil(
    permeability: Float[Array, "*space"], grid: Grid, *, reaction: Float[Array, "*space"] | None = None, faces: str = "harmonic"
) -> tuple[Stencil, tuple[AxisNodes, ...]]:
    r"""The finite-volume operator $-\nabla\cdot(a\nabla\,\cdot) + c$ on the unknowns of a grid, and their axes, for `Multigrid`.

    **Arguments:** as in `solve_darcy`, without channels. **Returns:** the stencil on the interior nodes of Dirichlet axes and all
    points of the others; one `AxisNodes` per axis.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.solvers import darcy_stencil

        stencil, nodes = darcy_stencil(jnp.ones(9), Grid((9,), boundary=("dirichlet",)))
        slopes = stencil(jnp.ones(7))  # a field that falls to zero at both ends
        assert slopes.tolist() == [64, 0, 0, 0, 0, 0, 64] and len(nodes) == 1
        ```
    """
    inner = None if reaction is None else interior(reaction, grid)
    stencil = diffusion_stencil(
        conductances(permeability, grid, faces), inner, periodic=[kind == "periodic" for kind in grid.boundary]
    )
    axes = zip(grid.shape, grid.boundary, grid.spacing, strict=True)
    return stencil, tuple(AxisNodes(n - 2 * (kind == "dirichlet"), kind, h) for n, kind, h in axes)


def rediscretized(
    permeability: Float[Array, "*space"], grid: Grid, *, weighting: str = "full", faces: str = "harmonic", coarsest: int = 100
) -> list[Stencil]:
    r"""The coarse stencils of `Multigrid` by discretizing anew on every coarser grid, for Dirichlet grids of $2^k m + 1$ points.

    Half the work of the Galerkin products, but where $a$ jumps by more than 10 the iteration becomes slow, and with injected
    coefficients it may diverge; then keep to conjugate gradients, or to Galerkin products.

    **Arguments:**

    - `permeability`, `grid`, `faces`: as in `solve_darcy`, without channels.
    - `weighting`: `"full"` averages the coefficient as `restrict` does, `"injected"` takes its values at the points kept.
    - `coarsest`: as in `Multigrid`.

    **Returns:** one stencil per coarser grid.

    **Raises:** `ConfigError` if an axis cannot be halved evenly or is not Dirichlet.

    **Source:** Alcouffe, Brandt, Dendy, Painter, SIAM J. Sci. Stat. Comput. 2 (1981), on jumping coefficients.

    !!! example

        ```python
        import equinox as eqx, jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.solvers import rediscretized

        grid = Grid((17, 17), boundary=("dirichlet", "dirichlet"))
        coarser = eqx.filter_eval_shape(rediscretized, jnp.ones((17, 17)), grid, coarsest=10)
        assert len(coarser) == 2  # of 7 x 7 and 3 x 3 unknowns
        ```
    """
    one_of("weighting", weighting, ("full", "injected"), ConfigError)
    if set(grid.boundary) != {"dirichlet"}:
        raise ConfigError(
            f"Only Dirichlet grids can be rediscretized, got {grid.boundary}. Take the Galerkin products of Multigrid."
        )
    stencils, nodes = [], darcy_stencil(permeability, grid, faces=faces)[1]
    while (chosen := to_coarsen(nodes, coarsest)) is not None:
        if any(line is not None and line.size % 2 == 0 for line in chosen):
            raise ConfigError(f"A grid of {grid.shape} points cannot be halved evenly. Take the Galerkin products of Multigrid.")
        coarse = permeability[tuple(slice(None, None, 1 if line is None else 2) for line in chosen)]
        if weighting == "full":
            inner = (slice(1, -1),) * permeability.ndim
            coarse = coarse.at[inner].set(restrict(permeability[inner], chosen))
        permeability, grid = coarse, grid.with_shape(coarse.shape)
        stencil, nodes = darcy_stencil(permeability, grid, faces=faces)
        stencils.append(stencil)
    return stencils


def conductances(permeability: Array, grid: Grid, faces: str) -> list[Array]:
    """Per axis $a/h^2$ of all faces between unknowns, and of those at both ends."""
    found = []
    for axis, (kind, h) in enumerate(zip(grid.boundary, grid.spacing, strict=True)):
        a = interior(permeability, grid, but=axis)
        if kind == "periodic":
            a = widened(a, axis, 1, 1, wraps=True)
        left, right = along(a, axis, slice(0, -1)), along(a, axis, slice(1, None))
        mean = 0.5 * (left + right) if faces == "arithmetic" else 2 * left * (right / (left + right))
        found.append((widened(mean, axis, 1, 1) if kind == "neumann" else mean) / h**2)
    return found


def interior(field: Array, grid: Grid, *, but: int | None = None) -> Array:
    """The field without the ends of the Dirichlet axes, except those of the axis `but`."""
    return field[tuple(slice(1, -1) if kind == "dirichlet" and k != but else slice(None) for k, kind in enumerate(grid.boundary))]


def lifted(boundary: Array, faces: Sequence[Array], grid: Grid) -> Array:
    """What the boundary values contribute to the right-hand side."""
    total = jnp.zeros_like(interior(boundary, grid))
    for axis, (kind, conductance) in enumerate(zip(grid.boundary, faces, strict=True)):
        if kind == "dirichlet":
            g = interior(boundary, grid, but=axis)
            for neighbors, side in ((slice(0, -2), slice(0, -1)), (slice(2, None), slice(1, None))):
                total = total + along(conductance, axis, side) * along(g, axis, neighbors)
    return total
