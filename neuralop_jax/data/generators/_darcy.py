"""Steady flow through random porous media."""

import math
from typing import Annotated, ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Int

from neuralop_jax._config_values import Bounds
from neuralop_jax._typing import PRNGKey
from neuralop_jax.data._random_fields import GaussianRandomField
from neuralop_jax.data.generators._base import AbstractGenerator
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo
from neuralop_jax.solvers import solve_darcy

_POSITIVE = Bounds(above=0.0)


class Darcy(AbstractGenerator):
    r"""Solutions of $-\nabla\cdot(a\nabla p) = 1$ on the unit square, $p = 0$ on its boundary, for random permeabilities $a$.

    $a = \psi(g)$ with $g \sim \mathcal N(0, 9(-\Delta + 9)^{-2})$ of vanishing normal derivative at the boundary (the 9 is that
    of the released code) and $\psi = 12$ where $g \ge 0$, 3 elsewhere, or $a = e^g$ for `medium="smooth"`.

    Points lie at $j/(N - 1)$, both ends included. Finite volumes around them with harmonic means on the faces are solved to a
    relative residual of $10^{-8}$ on the grid of the solver, of which the stored grid takes every $r$-th point: of 421 points
    $r = 5$ leaves 85.

    **Source:** Li et al. 2021, arXiv 2010.08895, section 5.2 and appendix A.3.2. Differs in the discretization: the released
    solver moves permeability and solution between cell centers and nodes by splines, which overshoot at the jumps, and takes
    arithmetic means on the faces.

    !!! example

        ```python
        import jax
        from neuralop_jax.data.generators import Darcy

        fields, code = Darcy(solver_resolution=33).simulate(17, key=jax.random.key(0))
        assert fields["pressure"].shape == (1, 17, 17) and code == 0
        ```
    """

    medium: Literal["piecewise", "smooth"] = "piecewise"
    """Two permeabilities, or the exponential of the random field."""
    high: Annotated[float, _POSITIVE] = 12.0
    """The permeability where the random field is not negative."""
    low: Annotated[float, _POSITIVE] = 3.0
    """The permeability where the random field is negative."""
    faces: Literal["harmonic", "arithmetic"] = "harmonic"
    """The mean of two neighboring permeabilities on the face between them."""
    solver_resolution: Annotated[int, Bounds(at_least=3.0)] = 421
    """The solver runs on the coarsest grid of at least so many points per axis that holds the stored one."""

    title: ClassVar[str] = "Darcy flow through random media on the unit square"
    citation: ClassVar[str] = "Z. Li et al., Fourier Neural Operator for Parametric PDEs, ICLR 2021, arXiv:2010.08895"
    default_resolution: ClassVar[int] = 85

    @property
    def fields(self) -> tuple[FieldInfo, ...]:
        return (
            FieldInfo("permeability", description="permeability a(x, y) at the points"),
            FieldInfo("pressure", description="pressure p(x, y), zero on the boundary"),
        )

    @property
    def parameters(self) -> dict[str, float]:
        return {"source": 1.0} | ({"high": self.high, "low": self.low} if self.medium == "piecewise" else {})

    def grid(self, resolution: int) -> Grid:
        if resolution < 3:
            raise ConfigError(f"resolution must be at least 3 for a Darcy problem with unknowns, got {resolution}.")
        return Grid((resolution, resolution), boundary=("dirichlet", "dirichlet"))

    def simulate(self, resolution: int, *, key: PRNGKey) -> tuple[dict[str, Array], Int[Array, ""]]:
        stride = max(1, math.ceil((self.solver_resolution - 1) / (resolution - 1)))
        grid = self.grid(stride * (resolution - 1) + 1)
        g = GaussianRandomField(3.0, 3.0, 2.0, boundary="neumann").sample(grid, key=key)
        a = jnp.exp(g) if self.medium == "smooth" else jnp.where(g >= 0, self.high, self.low).astype(g.dtype)
        solution = solve_darcy(a, jnp.ones_like(a), grid, faces=self.faces, throw=False)
        fields = {"permeability": a[:, ::stride, ::stride], "pressure": solution.value[:, ::stride, ::stride]}
        return fields, solution.result.astype(jnp.int32)

    def batch_size(self, resolution: int) -> int:
        """One solve at a time: the iterations of a batch would wait for its slowest sample."""
        return 1
