"""The Burgers equation in one and two dimensions, and the transform of Cole and Hopf that solves it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from neuralop_jax._typing import RealField
from neuralop_jax.equations._base import AbstractEvolution, Symmetry, integral
from neuralop_jax.equations._fourier_basis import FourierBasis, multiply, multiply_i
from neuralop_jax.equations._symmetry import galilean, reflection, translation, transposition
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import resample


class Burgers(AbstractEvolution):
    r"""$\partial_t u + (u\cdot\nabla) u = \nu \Delta u$ for a velocity of as many components as space has dimensions.

    In one dimension the conservative form $\partial_t u + \partial_x(u^2/2) = \nu\, \partial_{xx} u$ is computed, so that the
    mean is kept exactly.

    **Arguments:**

    - `viscosity`: $\nu$, in length² per time.
    - `num_dims`: 1 or 2.

    **Raises:** `SolverError` for other dimensions.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import Burgers
        from neuralop_jax.grids import Grid

        grid = Grid((64,), ((0.0, 2 * jnp.pi),), ("periodic",))
        x = jnp.asarray(grid.coordinates()[0])
        slope = Burgers(viscosity=0.1).rhs(jnp.sin(x)[None], grid)
        assert jnp.allclose(slope[0], -0.5 * jnp.sin(2 * x) - 0.1 * jnp.sin(x), atol=1e-5)
        ```
    """

    viscosity: float | Array
    num_dims: int = eqx.field(default=1, static=True)

    def __check_init__(self):
        if self.num_dims not in (1, 2):
            raise SolverError(f"Burgers.num_dims must be 1 or 2, got {self.num_dims}.")

    @property
    def num_channels(self) -> int:
        """One component of the velocity per dimension."""
        return self.num_dims

    def symbol(self, basis: FourierBasis) -> np.ndarray | Array:
        return self.viscosity * basis.laplacian

    def nonlinear(self, c: Complex[Array, "channels *modes"], basis: FourierBasis) -> Complex[Array, "channels *modes"]:
        kept = basis.alias_free
        if self.num_dims == 1:
            u = basis.field(multiply(kept, c))
            return multiply_i(-0.5 * basis.slopes[0] * kept, basis.coefficients(u * u))
        slopes = [multiply_i(k * kept, c) for k in basis.slopes]
        u, u_x, u_y = jnp.split(basis.field(jnp.concatenate([multiply(kept, c), *slopes])), 3)
        return multiply(-kept, basis.coefficients(u[:1] * u_x + u[1:] * u_y))

    def speed(self, u: RealField, grid: Grid) -> Float[Array, " dimensions"]:
        return jnp.abs(u).max(axis=tuple(range(1, u.ndim)))

    def invariants(self, u: RealField, grid: Grid) -> dict[str, Float[Array, ""]]:
        r"""`momentum` $\int u$, in one dimension, and `energy` $\frac12\int |u|^2$, which decays by $\nu\int|\nabla u|^2$."""
        energy = {"energy": integral(0.5 * (u**2).sum(axis=0), grid)}
        return energy | ({"momentum": integral(u[0], grid)} if self.num_dims == 1 else {})

    def dissipation(self, u: RealField, grid: Grid) -> Float[Array, ""]:
        r"""The rate $\nu\int|\nabla u|^2$ at which the energy decays in one dimension."""
        basis = FourierBasis(grid)
        slopes = [basis.field(basis.derivative(basis.coefficients(u), axis)) for axis in range(self.num_dims)]
        return self.viscosity * jnp.stack([integral((slope**2).sum(axis=0), grid) for slope in slopes]).sum()

    def symmetries(self) -> tuple[Symmetry, ...]:
        """Translations, Galilean boosts, reflections, which reverse one component, and the exchange of like axes."""
        axes = range(self.num_dims)
        signs = [tuple(-1 if channel == axis else 1 for channel in axes) for axis in axes]
        return (
            *(translation(axis) for axis in axes),
            *(galilean(axis, axis) for axis in axes),
            *(reflection(axis, signs[axis]) for axis in axes),
            *((transposition(0, 1, channels=(1, 0)),) if self.num_dims == 2 else ()),
        )

    def cole_hopf(self, u0: RealField, t: float, grid: Grid, *, refine: int = 4) -> Float[Array, "1 points"]:
        r"""The exact solution at time $t$ in one dimension.

        With $\phi' = u_0$ and $\theta_0 = e^{-\phi/2\nu}$, $u = -2\nu\,\theta_x/\theta$ where $\theta$ solves the heat equation.
        $\theta$ and $\theta_x$ are integrals of $\theta_0$ against the heat kernel $G$ and its derivative; since
        $G\,\theta_0 > 0$, their quotient keeps its relative accuracy where $\theta$ itself spans many orders of magnitude:

        $$u(x, t) = \frac{\int \frac{x - y}{t}\, G(x - y, t)\,\theta_0(y)\,dy}{\int G(x - y, t)\,\theta_0(y)\,dy}.$$

        **Arguments:**

        - `u0`: the start, `(1, points)`; a mean is taken out and put back by a Galilean boost.
        - `t`: the time, above 0 and large enough for the kernel to be seen by the grid, $\sqrt{\nu t} > h$ / `refine`.
        - `grid`: its grid, periodic.
        - `refine`: how many times finer the integrals are sampled than the grid.

        **Returns:** the solution at the points of the grid, `(1, points)`. Take double precision for reference solutions.

        **Raises:** `SolverError` in two dimensions, or if the kernel is too narrow for the grid.

        **Source:** E. Hopf 1950, Comm. Pure Appl. Math. 3, 201-230; J. D. Cole 1951, Quart. Appl. Math. 9, 225-236.
        """
        self.check(u0, grid)
        if self.num_dims != 1:
            raise SolverError("the Cole-Hopf transform is offered in one dimension only; use num_dims=1.")
        nu, length, points = float(self.viscosity), grid.extent[0][1] - grid.extent[0][0], grid.shape[0]
        if not nu * t > 0 or np.sqrt(nu * t) < length / (points * refine):
            raise SolverError(
                f"Burgers.cole_hopf at t = {t} has a heat kernel of width sqrt(nu t) = {np.sqrt(max(nu * t, 0)):.2e}, "
                f"narrower than the spacing {length / (points * refine):.2e} of its integrals. Raise refine or t."
            )
        mean = u0.mean()
        fine = grid.with_shape((points * refine,))
        places = grid.coordinates()[0][0] + fine.spacing[0] * np.arange(points * refine)
        basis = FourierBasis(fine)
        slope = basis.slopes[0]
        inverse = np.where(slope == 0, 0.0, -1.0 / np.where(slope == 0, 1.0, slope))
        potential = basis.field(multiply_i(inverse, basis.coefficients(resample(u0 - mean, fine.shape))))[0]
        images = int(np.ceil(np.sqrt(4 * nu * t * 750) / length)) + 1
        spread = length * np.arange(-images, images + 1)

        def at(x: Array) -> Array:
            distance = x - jnp.asarray(places)[:, None] - jnp.asarray(spread)[None]
            exponent = -potential[:, None] / (2 * nu) - distance**2 / (4 * nu * t)
            weights = jnp.exp(exponent - exponent.max())
            return (weights * distance).sum() / (t * weights.sum())

        moved = jnp.asarray(grid.coordinates()[0]) - mean * t
        return (mean + jax.lax.map(at, moved)).astype(u0.dtype)[None]
