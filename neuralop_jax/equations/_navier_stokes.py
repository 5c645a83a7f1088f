"""The two-dimensional Navier-Stokes equations for the vorticity on a torus."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from neuralop_jax._typing import RealField
from neuralop_jax.equations._base import AbstractEvolution, Symmetry, integral
from neuralop_jax.equations._fourier_basis import FourierBasis, multiply, multiply_i
from neuralop_jax.equations._symmetry import reflection, translation, transposition
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


class DiagonalForcing(eqx.Module):
    r"""$f = A\,\big(\sin 2\pi(\xi + \eta) + \cos 2\pi(\xi + \eta)\big)$ in the coordinates $\xi, \eta \in [0, 1)$ of the box.

    **Source:** Li et al. 2021, arXiv:2010.08895, section 5.3, with $A = 0.1$.
    """

    amplitude: float | Array = 0.1

    def __call__(self, grid: Grid) -> np.ndarray | Array:
        """The source of vorticity on the points of `grid`."""
        xi, eta = _unit_coordinates(grid)
        return self.amplitude * (np.sin(2 * np.pi * (xi + eta)) + np.cos(2 * np.pi * (xi + eta)))


class KolmogorovForcing(eqx.Module):
    r"""$f = -A \cos(2\pi n\,\eta)$ with the coordinate $\eta \in [0, 1)$ of the second axis.

    It is the curl of a force proportional to $\sin(2\pi n \eta)$ along the first axis.

    **Source:** Li et al. 2021, arXiv:2111.03794, section 4.2: $A = n = 4$ on $(0, 2\pi)^2$.

    !!! example

        ```python
        from neuralop_jax.equations import KolmogorovForcing
        from neuralop_jax.grids import Grid

        f = KolmogorovForcing(amplitude=4.0, mode=4)(Grid((16, 16), boundary=("periodic", "periodic")))
        assert f[0, 0] == -4 and (f == f[:1]).all()
        ```
    """

    mode: int = eqx.field(default=4, static=True)
    amplitude: float | Array = 4.0

    def __call__(self, grid: Grid) -> np.ndarray | Array:
        """The source of vorticity on the points of `grid`.

        **Raises:** `SolverError` for a grid that does not show the mode.
        """
        if 2 * self.mode >= grid.shape[1]:
            raise SolverError(
                f"KolmogorovForcing of mode {self.mode} is not seen by {grid.shape[1]} points. Take more than {2 * self.mode}."
            )
        xi, eta = _unit_coordinates(grid)
        return -self.amplitude * np.cos(2 * np.pi * self.mode * eta) + 0 * xi


class NavierStokes(AbstractEvolution):
    r"""$\partial_t w + u\cdot\nabla w = \nu \Delta w - \mu w + f$ with $u = (\partial_y, -\partial_x)\psi$, $-\Delta\psi = w$.

    The advection term is computed from two products of velocities,
    $u\cdot\nabla w = (\partial_{xx} - \partial_{yy})(u_1 u_2) + \partial_{xy}(u_2^2 - u_1^2)$, that is, with four transforms
    where velocity times gradient takes five. De-aliased, both forms are equal.

    **Arguments:**

    - `viscosity`: $\nu$, in length² per time.
    - `drag`: the linear friction $\mu$, per time.
    - `forcing`: a function of the grid that gives $f$, such as `DiagonalForcing` or `KolmogorovForcing`; none if `None`.

    **Source:** the two products are those of Basdevant 1983, J. Comput. Phys. 50, 209-214.

    !!! example

        ```python
        import jax
        from neuralop_jax.equations import NavierStokes
        from neuralop_jax.grids import Grid

        grid = Grid((32, 32), boundary=("periodic", "periodic"))
        equation = NavierStokes(viscosity=1e-3)
        vortices = NavierStokes.taylor_green(grid, amplitude=1.0)
        slope = equation.rhs(vortices, grid)  # decays at the rate 8 pi^2 nu
        assert abs(slope + 8 * jax.numpy.pi**2 * 1e-3 * vortices).max() < 1e-4
        ```
    """

    viscosity: float | Array
    drag: float | Array = 0.0
    forcing: DiagonalForcing | KolmogorovForcing | None = None
    num_channels: ClassVar[int] = 1
    num_dims: ClassVar[int] = 2

    def symbol(self, basis: FourierBasis) -> np.ndarray | Array:
        return self.viscosity * basis.laplacian - self.drag

    def nonlinear(self, c: Complex[Array, "1 *modes"], basis: FourierBasis) -> Complex[Array, "1 *modes"]:
        kx, ky = basis.wavenumbers
        u, v = basis.field(_velocity_coefficients(c, basis))
        uv, difference = basis.coefficients(jnp.stack([u * v, v * v - u * u]))
        advection = multiply((ky**2 - kx**2) * basis.alias_free, uv) - multiply(kx * ky * basis.alias_free, difference)
        if self.forcing is None:
            return -advection[None]
        force = self.forcing(basis.grid)
        source = np.fft.rfftn(force) if isinstance(force, np.ndarray) else jnp.fft.rfftn(force)
        return (jnp.asarray(source, c.dtype) - advection)[None]

    def speed(self, u: RealField, grid: Grid) -> Float[Array, " 2"]:
        return jnp.abs(self.velocity(u, grid)).max(axis=(1, 2))

    def velocity(self, w: RealField, grid: Grid) -> Float[Array, "2 *space"]:
        r"""The velocity $u = (\partial_y\psi, -\partial_x\psi)$ of a vorticity field, without mean, free of divergence."""
        self.check(w, grid)
        basis = FourierBasis(grid)
        return basis.field(_velocity_coefficients(basis.coefficients(w), basis, kept=1.0)).astype(w.dtype)

    def invariants(self, u: RealField, grid: Grid) -> dict[str, Float[Array, ""]]:
        r"""`energy` $\frac12\int |u|^2$ and `enstrophy` $\frac12\int w^2$, if $\nu = \mu = f = 0$, and `circulation` $\int w$."""
        velocity = self.velocity(u, grid)
        return {
            "energy": integral(0.5 * (velocity**2).sum(axis=0), grid),
            "enstrophy": integral(0.5 * u[0] ** 2, grid),
            "circulation": integral(u[0], grid),
        }

    def symmetries(self) -> tuple[Symmetry, ...]:
        """Translations; reflections and the exchange of like axes, which reverse the vorticity; with forcing, what it allows."""
        if isinstance(self.forcing, KolmogorovForcing):
            return (translation(0),)
        if self.forcing is not None:
            return ()
        return (translation(0), translation(1), reflection(0, (-1,)), reflection(1, (-1,)), transposition(0, 1, -1))

    @staticmethod
    def taylor_green(
        grid: Grid, *, amplitude: float = 1.0, t: float | Float[Array, ""] = 0.0, viscosity: float = 0.0
    ) -> Float[Array, "1 *space"]:
        r"""The exact solution $w = A\, e^{-\nu |k|^2 t} \cos(k_1 x)\cos(k_2 y)$ of the lowest modes, $k_j = 2\pi/L_j$.

        Its advection term vanishes; it tests the viscous part alone.
        """
        xi, eta = _unit_coordinates(grid)
        rate = sum((2 * np.pi / (right - left)) ** 2 for left, right in grid.extent)
        return amplitude * jnp.exp(-viscosity * rate * t) * jnp.asarray(np.cos(2 * np.pi * xi) * np.cos(2 * np.pi * eta))[None]


def _velocity_coefficients(c: Array, basis: FourierBasis, kept: np.ndarray | float | None = None) -> Array:
    """The coefficients of both components of the velocity, de-aliased unless `kept` says otherwise."""
    kx, ky = basis.slopes
    laplacian = basis.laplacian
    inverse = np.where(laplacian == 0, 0.0, -1.0 / np.where(laplacian == 0, 1.0, laplacian))
    inverse = inverse * (basis.alias_free if kept is None else kept)
    return jnp.concatenate([multiply_i(ky * inverse, c), multiply_i(-kx * inverse, c)])


def _unit_coordinates(grid: Grid) -> tuple[np.ndarray, ...]:
    pairs = zip(grid.coordinates(), grid.extent, strict=True)
    return np.meshgrid(*((x - left) / (right - left) for x, (left, right) in pairs), indexing="ij")
