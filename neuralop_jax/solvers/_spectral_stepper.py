"""What exponential and implicit-explicit steppers share: fields in, fields out, the step itself in Fourier space."""

import abc
import functools
import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Complex, Float

from neuralop_jax._typing import RealField
from neuralop_jax.equations import AbstractEvolution, FourierBasis
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


class AbstractSpectralStepper(eqx.Module):
    """A time step of fixed length of an evolution equation on a periodic grid, `u -> u_next`.

    It can stand wherever a step does: `jax.vmap(step)`, `rollout(step, u0, 100)`. Many steps of one field are faster through
    `integrate`, which stays in Fourier space between them and checks stability and finiteness.
    """

    equation: eqx.AbstractVar[AbstractEvolution]
    grid: eqx.AbstractVar[Grid]
    dt: eqx.AbstractVar[float]
    order: eqx.AbstractVar[int]

    @abc.abstractmethod
    def advance(self, c: Complex[Array, "channels *modes"]) -> Complex[Array, "channels *modes"]:
        """One step on Fourier coefficients."""

    @property
    @abc.abstractmethod
    def courant_limit(self) -> float:
        """The largest Courant number at which the explicit part is taken to be stable."""

    @property
    def basis(self) -> FourierBasis:
        """The Fourier basis of the grid."""
        return FourierBasis(self.grid)

    def __call__(self, u: RealField) -> RealField:
        """The field one step later.

        **Arguments:**

        - `u`: one field of the equation on the grid, `(channels, *space)`.

        **Returns:** the next field, of the same shape and type.

        **Raises:** `SolverError` if `u` is no field of the equation on the grid.
        """
        self.equation.check(u, self.grid)
        return self.basis.field(self.advance(self.basis.coefficients(u))).astype(u.dtype)

    def courant_number(self, u: RealField) -> Float[Array, ""]:
        r"""$\max_k \Delta t \sum_j a_j |k_j|$ with the largest speed $a_j$ along axis $j$, over the modes that can be unstable.

        These are the de-aliased modes that the linear part damps more slowly than the rest carries them,
        $-\mathrm{Re}\,\hat{\mathcal L}(k) < \sum_j a_j |k_j|$.
        """
        speed, basis = self.equation.speed(u, self.grid), self.basis
        axes = [a * jnp.asarray(np.abs(k), u.dtype) for a, k in zip(speed, basis.slopes, strict=True)]
        carried = functools.reduce(jnp.add, axes) * jnp.asarray(basis.alias_free, u.dtype)
        growth = jnp.asarray(self.equation.symbol(basis)).real.reshape(-1, *basis.shape).max(axis=0)
        return jnp.where(-growth.astype(u.dtype) < carried, carried, 0.0).max() * self.dt

    def check(self, u: RealField) -> None:
        """Checks one field, known by value, against the CFL condition.

        **Raises:** `SolverError` naming the longest step that is allowed.
        """
        self.equation.check(u, self.grid)
        if isinstance(u, Tracer):
            return
        number = float(self.courant_number(u))
        if number > self.courant_limit:
            name, here = type(self.equation).__name__, type(self).__name__
            raise SolverError(
                f"{name}: dt = {self.dt:g} breaks the CFL condition: its Courant number is {number:.3g}, {here} of order "
                f"{self.order} is stable up to {self.courant_limit:g}. Use dt <= {self.dt * self.courant_limit / number:.3g}."
            )


def check_step(equation: AbstractEvolution, grid: Grid, dt: float, order: int, orders: range) -> None:
    """Raises `SolverError` unless the equation can be stepped on `grid` with this `dt` and `order`."""
    if equation.num_dims != grid.num_dims:
        raise SolverError(
            f"{type(equation).__name__} has {equation.num_dims} space dimensions, got a grid of shape {grid.shape}. "
            "Choose a grid with as many axes."
        )
    if not isinstance(dt, Tracer) and not 0 < dt < math.inf:
        raise SolverError(f"a time step must be finite and above 0, got dt = {dt}.")
    if order not in orders:
        raise SolverError(f"order must be one of {', '.join(map(str, orders))}, got {order}.")
