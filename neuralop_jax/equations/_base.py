"""What an equation says of itself: its right-hand side, its split, its residual, its invariants and its symmetries."""

import abc
import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from neuralop_jax._typing import RealField
from neuralop_jax.equations._fourier_basis import FourierBasis, multiply_symbol
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid

Amount = float | int | Float[Array, ""]
"""The parameter of a symmetry; traced, for instance where it is drawn at random."""


class Symmetry(NamedTuple):
    r"""A map $u \mapsto \tilde u$ of solutions to solutions with a continuous or discrete parameter $s$.

    - `name`: for instance `"translation along x"`.
    - `act`: `act(trajectory, times, grid, amount)` gives the transformed trajectory `(time, channels, *space)` on the same grid
      and times; exact to round-off on band-limited fields.
    - `discrete`: whether only `amount = 1` has a meaning, as for a reflection.
    """

    name: str
    act: Callable[
        [Float[Array, "time channels *space"], Float[Array, " time"], Grid, Amount], Float[Array, "time channels *space"]
    ]
    discrete: bool = False


class AbstractEquation(eqx.Module):
    """A partial differential equation with its parameters; fields are `(channels, *space)`, the grid is given beside them."""

    num_dims: eqx.AbstractVar[int]

    @property
    @abc.abstractmethod
    def num_channels(self) -> int:
        """The number of fields that the equation describes."""

    def check(self, u: Array, grid: Grid) -> None:
        """Raises `SolverError` unless `u` is one field of this equation on `grid`."""
        wanted = (self.num_channels, *grid.shape)
        if not jnp.issubdtype(u.dtype, jnp.floating):
            raise SolverError(
                f"{type(self).__name__} expects a field of real floats, got {u.dtype}. Convert it with u.astype(float)."
            )
        if grid.num_dims != self.num_dims:
            raise SolverError(
                f"{type(self).__name__} has {self.num_dims} space dimensions, got a grid of shape {grid.shape}. "
                "Choose a grid with as many axes."
            )
        if u.shape != wanted:
            raise SolverError(
                f"{type(self).__name__} expects one field of shape {wanted} (channels, *space), got {tuple(u.shape)}. "
                "Map over samples with jax.vmap."
            )


class AbstractEvolution(AbstractEquation):
    r"""An evolution equation $\partial_t u = \mathcal L u + \mathcal N(u)$ with a linear part that is diagonal in Fourier space.

    The split is what exponential and implicit-explicit time steppers work on: $\mathcal L$ is treated exactly or implicitly,
    $\mathcal N$ explicitly. Products in $\mathcal N$ are de-aliased by the 2/3 rule.
    """

    @abc.abstractmethod
    def symbol(self, basis: FourierBasis) -> np.ndarray | Array:
        r"""The factor $\hat{\mathcal L}(k)$ on Fourier coefficients, `(*modes)` or `(channels, *modes)`, real or complex."""

    @abc.abstractmethod
    def nonlinear(self, c: Complex[Array, "channels *modes"], basis: FourierBasis) -> Complex[Array, "channels *modes"]:
        r"""The Fourier coefficients of $\mathcal N(u)$, forcing included, from those of $u$."""

    def speed(self, u: RealField, grid: Grid) -> Float[Array, " dimensions"]:
        r"""The largest speed at which $\mathcal N$ carries signals along each axis, for the CFL condition; 0 if none."""
        return jnp.zeros(self.num_dims, u.dtype)

    def invariants(self, u: RealField, grid: Grid) -> dict[str, Float[Array, ""]]:
        """Integrals that the equation conserves, at least for vanishing dissipation and forcing, by name."""
        return {}

    def symmetries(self) -> tuple[Symmetry, ...]:
        """Maps of solutions to solutions."""
        return ()

    def rhs(self, u: RealField, grid: Grid) -> RealField:
        r"""The right-hand side $\mathcal L u + \mathcal N(u)$ on the points of a periodic grid.

        **Arguments:**

        - `u`: a field, `(channels, *space)`.
        - `grid`: its grid.

        **Returns:** the time derivative, of the same shape.

        **Raises:** `SolverError` if `u` is no field of this equation on `grid`.
        """
        self.check(u, grid)
        basis = FourierBasis(grid)
        c = basis.coefficients(u)
        return basis.field(multiply_symbol(self.symbol(basis), c) + self.nonlinear(c, basis)).astype(u.dtype)

    def residual(self, u: RealField, u_t: RealField, grid: Grid) -> RealField:
        r"""What is left of the equation, $\partial_t u - \mathcal L u - \mathcal N(u)$, for a field and its time derivative."""
        return u_t - self.rhs(u, grid)


def integral(density: Float[Array, "*space"], grid: Grid) -> Float[Array, ""]:
    """The integral over a periodic grid by the trapezoidal rule, which is exact for the modes that the grid resolves."""
    return density.mean() * math.prod(right - left for left, right in grid.extent)
