"""Darcy's law as a forward model: the pressure of a permeability, differentiated implicitly."""

import equinox as eqx
import jax.numpy as jnp

from neuralop_jax._typing import RealField
from neuralop_jax.grids import Grid
from neuralop_jax.solvers import solve_darcy


class DarcyPressure(eqx.Module):
    r"""The map $a \mapsto u$ of $-\nabla\cdot(a\nabla u) = f$, with `solvers.solve_darcy`; NaN where it fails.

    What fails inside `invert` is then a step that is too long, and is made shorter. The gradient of any function of $u$ takes one
    more solve with the same operator and stores nothing of the iterations.

    **Arguments:**

    - `source`: $f$ at the points, `(1, *space)`.
    - `grid`, `faces`, `rtol`, `max_steps`: as in `solve_darcy`. The residual bounds the error of the gradient, too.

    **Returns:** when called with a permeability `(1, *space)`, the pressure of this shape.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.inverse import DarcyPressure

        one = jnp.ones((1, 9, 9))
        pressure = DarcyPressure(one, Grid((9, 9), boundary=("dirichlet", "dirichlet")))
        assert jnp.allclose(pressure(2 * one), pressure(one) / 2, atol=1e-6) and jnp.isnan(pressure(-one)).all()
        ```
    """

    source: RealField
    grid: Grid = eqx.field(static=True)
    faces: str = eqx.field(static=True, default="harmonic")
    rtol: float = eqx.field(static=True, default=1e-10)
    max_steps: int = eqx.field(static=True, default=100)

    def __call__(self, permeability: RealField) -> RealField:
        solution = solve_darcy(
            permeability,
            self.source.astype(permeability.dtype),
            self.grid,
            faces=self.faces,
            rtol=self.rtol,
            max_steps=self.max_steps,
            throw=False,
        )
        return jnp.where(solution.successful, solution.value, jnp.nan)
