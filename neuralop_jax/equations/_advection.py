"""The advection equation with a constant velocity."""

from typing import ClassVar

import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.equations._base import Symmetry
from neuralop_jax.equations._fourier_basis import FourierBasis
from neuralop_jax.equations._linear import AbstractLinear
from neuralop_jax.equations._symmetry import offset, scaling, translation
from neuralop_jax.errors import SolverError


class Advection(AbstractLinear):
    r"""$\partial_t u + \beta\cdot\nabla u = 0$, solved by $u(t, x) = u_0(x - \beta t)$, in one to three dimensions.

    `exact` moves the trigonometric interpolant of the start.

    **Arguments:**

    - `velocity`: $\beta$, in length per time, one number for each dimension.

    **Raises:** `SolverError` for other than one to three velocities.

    Good values: $\beta \in \{0.1, 0.2, 0.4, 0.7, 1, 2, 4, 7\}$ on $(0, 1)$ up to $t = 2$ are those of PDEBench.

    **Source:** Takamoto et al. 2022, arXiv:2210.07182, appendix D.1.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import Advection
        from neuralop_jax.grids import Grid

        grid = Grid((32,), boundary=("periodic",))
        x = jnp.asarray(grid.coordinates()[0])
        moved = Advection(velocity=(0.4,)).exact(jnp.sin(2 * jnp.pi * x)[None], 0.5, grid)
        assert jnp.allclose(moved[0], jnp.sin(2 * jnp.pi * (x - 0.2)), atol=1e-5)
        ```
    """

    velocity: tuple[float | Array, ...] | Float[Array, " dimensions"]
    num_channels: ClassVar[int] = 1

    def __check_init__(self):
        if not isinstance(self.velocity, tuple) and np.ndim(self.velocity) != 1 or not 1 <= len(self.velocity) <= 3:
            raise SolverError(f"Advection.velocity must hold one to three numbers, one for each axis, got {self.velocity}.")

    @property
    def num_dims(self) -> int:
        """One velocity for each dimension."""
        return len(self.velocity)

    def symbol(self, basis: FourierBasis) -> np.ndarray | Array:
        symbol = np.zeros(basis.shape, complex)
        for beta, slope in zip(self.velocity, basis.slopes, strict=True):
            symbol = symbol - 1j * beta * slope
        return symbol

    def symmetries(self) -> tuple[Symmetry, ...]:
        """Translations, offsets and scalings."""
        return (*(translation(axis) for axis in range(self.num_dims)), offset(), scaling())
