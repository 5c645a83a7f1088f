"""The heat equation."""

from itertools import combinations
from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array

from neuralop_jax.equations._base import Symmetry
from neuralop_jax.equations._fourier_basis import FourierBasis
from neuralop_jax.equations._linear import AbstractLinear
from neuralop_jax.equations._symmetry import offset, reflection, scaling, translation, transposition
from neuralop_jax.errors import SolverError


class Heat(AbstractLinear):
    r"""$\partial_t u = \kappa \Delta u$ in one to three dimensions; mode $k$ decays as $e^{-\kappa |k|^2 t}$.

    **Arguments:**

    - `diffusivity`: $\kappa$, in length² per time.
    - `num_dims`: 1, 2 or 3.

    **Raises:** `SolverError` for other dimensions.

    **Source:** J. Fourier 1822, Théorie analytique de la chaleur.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import Heat
        from neuralop_jax.grids import Grid

        grid = Grid((32,), ((0.0, 2 * jnp.pi),), ("periodic",))
        u0 = jnp.sin(3 * jnp.asarray(grid.coordinates()[0]))[None]
        assert jnp.allclose(Heat(diffusivity=0.1).exact(u0, 2.0, grid), jnp.exp(-0.1 * 9 * 2.0) * u0, atol=1e-5)
        ```
    """

    diffusivity: float | Array
    num_dims: int = eqx.field(default=1, static=True)
    num_channels: ClassVar[int] = 1

    def __check_init__(self):
        if self.num_dims not in (1, 2, 3):
            raise SolverError(f"Heat.num_dims must be 1, 2 or 3, got {self.num_dims}.")

    def symbol(self, basis: FourierBasis) -> np.ndarray | Array:
        return self.diffusivity * basis.laplacian

    def symmetries(self) -> tuple[Symmetry, ...]:
        """Translations, reflections, exchanges of like axes, offsets and scalings."""
        axes = range(self.num_dims)
        return (
            *(translation(axis) for axis in axes),
            *(reflection(axis, (1,)) for axis in axes),
            *(transposition(first, second) for first, second in combinations(axes, 2)),
            offset(),
            scaling(),
        )
