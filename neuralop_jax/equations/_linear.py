"""Linear evolution equations with constant coefficients, which Fourier series solve exactly."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from neuralop_jax._typing import RealField
from neuralop_jax.equations._base import AbstractEvolution, integral
from neuralop_jax.equations._fourier_basis import FourierBasis, multiply_symbol
from neuralop_jax.grids import Grid


class AbstractLinear(AbstractEvolution):
    r"""A linear equation $\partial_t u = \mathcal L u$ of one channel that keeps the mean, $\hat{\mathcal L}(0) = 0$."""

    def nonlinear(self, c: Complex[Array, "channels *modes"], basis: FourierBasis) -> Complex[Array, "channels *modes"]:
        return jnp.zeros_like(c)

    def invariants(self, u: RealField, grid: Grid) -> dict[str, Float[Array, ""]]:
        r"""`mass` $\int u$."""
        return {"mass": integral(u[0], grid)}

    def exact(self, u0: RealField, t: float | Float[Array, ""], grid: Grid) -> RealField:
        r"""The solution $e^{t\mathcal L} u_0$ at time $t$, exact to round-off for starts that the grid resolves.

        **Arguments:**

        - `u0`: the start, `(1, *space)`; what it has at the Nyquist mode of an even size is not moved.
        - `t`: the time; a negative one goes back, where that is possible.
        - `grid`: its grid, periodic.

        **Returns:** the solution at the points of the grid, of the shape of `u0`.

        **Raises:** `SolverError` if `u0` is no field of this equation on `grid`.
        """
        self.check(u0, grid)
        basis = FourierBasis(grid)
        exponent = t * self.symbol(basis)
        factor = jnp.exp(exponent) if isinstance(exponent, jax.Array) else np.exp(exponent)
        return basis.field(multiply_symbol(factor, basis.coefficients(u0))).astype(u0.dtype)
