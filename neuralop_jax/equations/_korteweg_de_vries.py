"""The Korteweg-de Vries equation and its solitons."""

from itertools import combinations, product
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Complex, Float

from neuralop_jax._typing import RealField
from neuralop_jax.equations._base import AbstractEvolution, Symmetry, integral
from neuralop_jax.equations._fourier_basis import FourierBasis, multiply, multiply_i
from neuralop_jax.equations._symmetry import galilean, reversal, translation
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


class KortewegDeVries(AbstractEvolution):
    r"""$\partial_t u + \alpha\, u\,\partial_x u + \delta\, \partial_{xxx} u = 0$.

    **Arguments:**

    - `nonlinearity`: $\alpha$; 6 in the form of the inverse scattering method, 1 in that of Zabusky and Kruskal.
    - `dispersion`: $\delta$, in length³ per time; $0.022^2$ on a box of length 2 with $\alpha = 1$ makes the solitons of Zabusky
        and Kruskal from $\cos \pi x$.

    **Source:** Zabusky and Kruskal 1965, Phys. Rev. Lett. 15, 240-243.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import KortewegDeVries
        from neuralop_jax.grids import Grid

        grid = Grid((128,), ((-20.0, 20.0),), ("periodic",))
        wave = KortewegDeVries().solitons(grid, 0.0, speeds=(1.0,), positions=(0.0,))
        assert jnp.allclose(wave[0], 0.5 / jnp.cosh(0.5 * jnp.asarray(grid.coordinates()[0])) ** 2, atol=1e-6)
        ```
    """

    nonlinearity: float | Array = 6.0
    dispersion: float | Array = 1.0
    num_channels: ClassVar[int] = 1
    num_dims: ClassVar[int] = 1

    def symbol(self, basis: FourierBasis) -> np.ndarray | Array:
        return 1j * self.dispersion * basis.slopes[0] ** 3

    def nonlinear(self, c: Complex[Array, "1 modes"], basis: FourierBasis) -> Complex[Array, "1 modes"]:
        kept = basis.alias_free
        squares = basis.coefficients(basis.field(multiply(kept, c)) ** 2)
        return multiply_i(-0.5 * self.nonlinearity * basis.slopes[0] * kept, squares)

    def speed(self, u: RealField, grid: Grid) -> Float[Array, " 1"]:
        return jnp.abs(self.nonlinearity * u).max(axis=1).astype(u.dtype)

    def invariants(self, u: RealField, grid: Grid) -> dict[str, Float[Array, ""]]:
        r"""`mass` $\int u$, `momentum` $\frac12\int u^2$, `energy` $\int \frac\delta2 (\partial_x u)^2 - \frac\alpha6 u^3$.

        The energy is kept by fields of the modes of the 2/3 rule.
        """
        basis = FourierBasis(grid)
        slope = basis.field(basis.derivative(basis.coefficients(u), 0)).astype(u.dtype)
        return {
            "mass": integral(u[0], grid),
            "momentum": integral(0.5 * u[0] ** 2, grid),
            "energy": integral(0.5 * self.dispersion * slope[0] ** 2 - self.nonlinearity / 6 * u[0] ** 3, grid),
        }

    def symmetries(self) -> tuple[Symmetry, ...]:
        """Translations, Galilean boosts, and the reversal of space and time together."""
        return (translation(0), galilean(0, factor=self.nonlinearity), reversal(0))

    def solitons(
        self, grid: Grid, t: float | Float[Array, ""], *, speeds: tuple[float, ...], positions: tuple[float, ...]
    ) -> Float[Array, "1 points"]:
        r"""The exact solution with any number of solitons on the line, collisions included, at the points of `grid`.

        With $\kappa_i = \sqrt{c_i/\delta}$, $\theta_i = \kappa_i (x - c_i t - x_i)$,

        $$u = \frac{12\,\delta}{\alpha}\, \partial_{xx} \log \sum_{\mu \in \{0, 1\}^n} \exp\Big(\sum_i \mu_i \theta_i
        + \sum_{i<j} 2 \mu_i \mu_j \log\Big|\frac{\kappa_i - \kappa_j}{\kappa_i + \kappa_j}\Big|\Big),$$

        where the second derivative is computed as the variance of $\sum_i \mu_i \kappa_i$ under the weights that are summed. One
        soliton is $u = \frac{3c}{\alpha}\, \mathrm{sech}^2\big(\tfrac12 \kappa (x - c t - x_0)\big)$.

        **Arguments:**

        - `grid`: its grid. In a periodic box this is a solution up to the tails at its ends, $e^{-\kappa\cdot\text{distance}}$.
        - `t`: the time.
        - `speeds`: the $c_i$, positive for $\delta > 0$ and all different, in length per time.
        - `positions`: the $x_i$, where solitons far from each other would be at $t = 0$ but for the shifts of their collisions.

        **Returns:** the solution, `(1, points)`.

        **Raises:** `SolverError` if the speeds are not positive and different, or not as many as positions.

        **Source:** R. Hirota 1971, Phys. Rev. Lett. 27, 1192-1194.
        """
        if not speeds or len(set(speeds)) != len(speeds) or min(speeds) <= 0 or len(positions) != len(speeds):
            raise SolverError(
                f"KortewegDeVries.solitons needs positive, different speeds and a position for each, got speeds {speeds} and "
                f"positions {positions}."
            )
        if not isinstance(self.dispersion, Tracer) and not self.dispersion > 0:
            raise SolverError(f"KortewegDeVries.solitons needs a positive dispersion, got {self.dispersion}. Reflect the axis.")
        subsets = np.asarray(list(product((0.0, 1.0), repeat=len(speeds))))
        overlap = np.zeros(len(subsets))
        roots = np.sqrt(speeds)
        for i, j in combinations(range(len(speeds)), 2):
            overlap += 2 * subsets[:, i] * subsets[:, j] * np.log(np.abs((roots[i] - roots[j]) / (roots[i] + roots[j])))
        kappa = jnp.asarray(roots) / jnp.sqrt(self.dispersion)
        x = jnp.asarray(grid.coordinates()[0])
        theta = kappa[:, None] * (x[None] - (jnp.asarray(speeds) * t + jnp.asarray(positions))[:, None])
        weights = jax.nn.softmax((subsets[:, :, None] * theta[None]).sum(axis=1) + overlap[:, None], axis=0)
        slopes = (subsets * kappa[None]).sum(axis=1)[:, None]
        mean = (weights * slopes).sum(axis=0)
        return (12 * self.dispersion / self.nonlinearity * (weights * (slopes - mean[None]) ** 2).sum(axis=0))[None]
