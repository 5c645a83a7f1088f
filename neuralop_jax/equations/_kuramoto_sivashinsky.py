"""The Kuramoto-Sivashinsky equation in its derivative and its integral form."""

from typing import ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import RealField
from neuralop_jax.equations._base import AbstractEvolution, Symmetry, integral
from neuralop_jax.equations._fourier_basis import FourierBasis, multiply, multiply_i
from neuralop_jax.equations._symmetry import galilean, offset, reflection, translation
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


class KuramotoSivashinsky(AbstractEvolution):
    r"""$\partial_t u + u\,\partial_x u + \partial_{xx} u + \nu\,\partial_{xxxx} u = 0$, or its integral form.

    The integral form $\partial_t h + \tfrac12 (\partial_x h)^2 + \partial_{xx} h + \nu\,\partial_{xxxx} h = 0$ is that of a front
    $h$; $u = \partial_x h$ solves the derivative form. Long waves grow, short ones decay, the nonlinear term carries energy from
    one to the other; in boxes longer than about 60 the motion is chaotic.

    **Arguments:**

    - `viscosity`: $\nu$, the coefficient of the fourth derivative; 1 in the usual units.
    - `form`: `"derivative"` or `"integral"`.

    **Raises:** `SolverError` for another form.

    **Source:** Kuramoto and Tsuzuki 1976, Prog. Theor. Phys. 55, 356-369; G. I. Sivashinsky 1977, Acta Astronaut. 4, 1177-1206.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import KuramotoSivashinsky
        from neuralop_jax.grids import Grid

        grid = Grid((64,), ((0.0, 32 * jnp.pi),), ("periodic",))
        equation, q = KuramotoSivashinsky(), 0.5
        ripple = 1e-4 * jnp.cos(q * jnp.asarray(grid.coordinates()[0]))[None]
        assert jnp.allclose(equation.rhs(ripple, grid), equation.growth_rate(q) * ripple, atol=1e-8)
        ```
    """

    viscosity: float | Array = 1.0
    form: Literal["derivative", "integral"] = eqx.field(default="derivative", static=True)
    num_channels: ClassVar[int] = 1
    num_dims: ClassVar[int] = 1

    def __check_init__(self):
        one_of("KuramotoSivashinsky.form", self.form, ("derivative", "integral"), SolverError)

    def symbol(self, basis: FourierBasis) -> np.ndarray | Array:
        return -basis.laplacian - self.viscosity * basis.laplacian**2

    def nonlinear(self, c: Complex[Array, "1 modes"], basis: FourierBasis) -> Complex[Array, "1 modes"]:
        kept, slope = basis.alias_free, basis.slopes[0]
        if self.form == "derivative":
            return multiply_i(-0.5 * slope * kept, basis.coefficients(basis.field(multiply(kept, c)) ** 2))
        return multiply(-0.5 * kept, basis.coefficients(basis.field(multiply_i(slope * kept, c)) ** 2))

    def growth_rate(self, wavenumber: float | Float[Array, "..."]) -> float | Float[Array, "..."]:
        r"""The rate $q^2 - \nu q^4$ at which a small wave of wavenumber $q$, in radians per length, grows."""
        return wavenumber**2 - self.viscosity * wavenumber**4

    def speed(self, u: RealField, grid: Grid) -> Float[Array, " 1"]:
        if self.form == "derivative":
            return jnp.abs(u).max(axis=1)
        basis = FourierBasis(grid)
        return jnp.abs(basis.field(basis.derivative(basis.coefficients(u), 0))).max(axis=1).astype(u.dtype)

    def invariants(self, u: RealField, grid: Grid) -> dict[str, Float[Array, ""]]:
        r"""`momentum` $\int u$ in the derivative form; nothing in the integral form, whose front moves."""
        return {"momentum": integral(u[0], grid)} if self.form == "derivative" else {}

    def symmetries(self) -> tuple[Symmetry, ...]:
        """Translations, reflections, and Galilean boosts of the derivative or offsets of the integral form."""
        if self.form == "derivative":
            return (translation(0), galilean(0), reflection(0, (-1,)))
        return (translation(0), offset(), reflection(0, (1,)))
