"""What steady equations share: their grids, differences of fluxes, symmetries, and a direct solution to compare with."""

import abc
from collections.abc import Sequence
from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

from neuralop_jax._typing import RealField
from neuralop_jax.equations._base import AbstractEquation, Symmetry
from neuralop_jax.equations._fourier_basis import FourierBasis, multiply
from neuralop_jax.equations._symmetry import reflection, transposition
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


class AbstractSteady(AbstractEquation):
    r"""A linear steady equation $\mathcal A u = f$; what it is given beside the grid are its data, such as the source $f$.

    On Dirichlet grids, whose points include both ends, the boundary values are those of `u`.
    """

    @abc.abstractmethod
    def residual(self, u: RealField, grid: Grid, **data: RealField | float) -> RealField:
        r"""What is left of the discrete equation, $\mathcal A u - f$; 0 on the boundary of a Dirichlet grid."""

    @abc.abstractmethod
    def manufactured(self, grid: Grid) -> tuple[RealField, dict[str, RealField]]:
        """An exact solution of the continuous equation at the points of `grid`, and its data as `residual` takes them."""

    def values(self, source: RealField | float, u: RealField, grid: Grid) -> RealField:
        """The source where the equation holds: at the points of a periodic grid, at the inner ones of a Dirichlet grid."""
        field = jnp.full(u.shape, source, u.dtype) if jnp.ndim(source) == 0 else jnp.asarray(source, u.dtype)
        self.check(field, grid)
        return inner_part(field, grid)

    def symmetries(self) -> tuple[Symmetry, ...]:
        """Reflections, and exchanges of like axes; they map a solution and all its data alike, as a trajectory of one frame."""
        axes = range(self.num_dims)
        return (
            *(reflection(axis, (1,)) for axis in axes),
            *(transposition(first, second) for first, second in combinations(axes, 2)),
        )

    def reference(self, grid: Grid, **data: RealField | float) -> RealField:
        r"""The solution of the discrete equation with $u = 0$ on the boundary, by a sparse factorization on the host.

        The matrix is read off the residual with $3^d$ probes, so that it is that of `residual` by construction. For comparison,
        not for speed or large grids.

        **Arguments:**

        - `grid`: a Dirichlet grid that includes both end points of every axis.
        - `data`: as in `residual`.

        **Returns:** `(1, *space)`. The matrix is computed in double precision if `jax_enable_x64` is set.

        **Raises:** `SolverError` if the grid is of another kind or the matrix is singular.
        """
        if spectral(grid, type(self).__name__):
            raise SolverError("the sparse factorization is for Dirichlet grids, got a periodic one. Choose a Dirichlet grid.")
        zero, residual = jnp.zeros((1, *grid.shape)), lambda u: self.residual(u, grid, **data)
        at_zero = jax.jit(residual)(zero)
        linear = jax.jit(lambda probe: jax.jvp(residual, (zero,), (probe,))[1])
        inner = tuple(n - 2 for n in grid.shape)
        rows = np.indices(inner)
        number = np.arange(rows[0].size).reshape(inner)
        entries, row_numbers, column_numbers = [], [], []
        for color in product(range(3), repeat=grid.num_dims):
            shaped = np.asarray(color).reshape(-1, *(1,) * grid.num_dims)
            probe = np.pad((rows % 3 == shaped).all(axis=0), 1)
            response = np.asarray(linear(jnp.asarray(probe[None], at_zero.dtype)))[0][(slice(1, -1),) * grid.num_dims]
            columns = rows + (shaped - rows + 1) % 3 - 1  # the only probed neighbor of each row
            found = (response != 0) & (columns >= 0).all(axis=0) & (columns < np.reshape(inner, shaped.shape)).all(axis=0)
            entries.append(response[found])
            row_numbers.append(number[found])
            column_numbers.append(number[tuple(columns[:, found])])
        places = np.concatenate(row_numbers), np.concatenate(column_numbers)
        matrix = csc_matrix((np.concatenate(entries).astype(np.float64), places), shape=(number.size,) * 2)
        right = -np.asarray(at_zero, np.float64)[0][(slice(1, -1),) * grid.num_dims].ravel()
        try:
            solution = splu(matrix).solve(right)
        except RuntimeError as error:
            raise SolverError(
                f"{type(self).__name__} has no single solution on this grid: {error}. Change its parameters."
            ) from error
        return jnp.asarray(np.pad(solution.reshape(inner), 1)[None], at_zero.dtype)


def spectral(grid: Grid, name: str) -> bool:
    """Whether the equation `name` is computed by Fourier series on `grid`; by differences if not."""
    if set(grid.boundary) == {"periodic"}:
        return True
    if set(grid.boundary) == {"dirichlet"} and all(grid.endpoint) and min(grid.shape) >= 3:
        return False
    raise SolverError(
        f"{name} needs a grid that is periodic on every axis, or Dirichlet with both end points and at least 3 points on every "
        f"axis, got boundary {grid.boundary}, endpoint {grid.endpoint}, shape {grid.shape}."
    )


def minus_divergence(u: RealField, grid: Grid, conductances: Sequence[float | Array]) -> RealField:
    r"""$-\sum_j \delta_j (a\, \delta_j u)$ at the inner points, 0 elsewhere, with $a$ given between neighbors along each axis."""
    inner = (slice(None), *(slice(1, -1),) * grid.num_dims)
    total = 0.0
    for axis, (spacing, conductance) in enumerate(zip(grid.spacing, conductances, strict=True), start=1):
        along = inner[:axis] + (slice(None),) + inner[axis + 1 :]
        flux = jnp.diff(u, axis=axis) * conductance
        total = total - jnp.diff(flux[along], axis=axis) / spacing**2
    return jnp.pad(jnp.asarray(total, u.dtype), ((0, 0), *((1, 1),) * grid.num_dims))


def inner_part(u: RealField, grid: Grid) -> RealField:
    """The field with zeros on the boundary of a Dirichlet grid; on a periodic grid, which has none, the field."""
    if "periodic" in grid.boundary:
        return u
    return jnp.pad(u[(slice(None), *(slice(1, -1),) * grid.num_dims)], ((0, 0), *((1, 1),) * grid.num_dims))


def minus_laplacian(u: RealField, grid: Grid, name: str) -> RealField:
    r"""$-\Delta u$ for the equation `name`: spectral on periodic grids, by differences at the inner points of Dirichlet ones."""
    if spectral(grid, name):
        basis = FourierBasis(grid)
        return basis.field(multiply(-basis.laplacian, basis.coefficients(u))).astype(u.dtype)
    return minus_divergence(u, grid, (1.0,) * grid.num_dims)


def sines(grid: Grid, modes: tuple[int, ...] | None, name: str) -> tuple[np.ndarray, float]:
    r"""The product of sines of so many half-waves (on periodic grids, waves) per axis, `(1, *space)`, and its $-\Delta u/u$."""
    modes = tuple(range(1, grid.num_dims + 1)) if modes is None else modes
    if len(modes) != grid.num_dims:
        raise SolverError(f"modes must hold one number for each of the {grid.num_dims} axes, got {modes}.")
    half = 2 if spectral(grid, name) else 1
    numbers = [half * np.pi * m / (right - left) for m, (left, right) in zip(modes, grid.extent, strict=True)]
    axes = zip(numbers, grid.coordinates(), grid.extent, strict=True)
    waves = np.meshgrid(*(np.sin(k * (x - left)) for k, x, (left, _) in axes), indexing="ij")
    return np.prod(waves, axis=0)[None], sum(k**2 for k in numbers)
