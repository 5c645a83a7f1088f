"""Darcy's equation by conjugate gradients, every one of them differentiated: what the implicit rule replaces."""

import jax
import jax.numpy as jnp

from neuralop_jax._typing import RealField
from neuralop_jax.grids import Grid
from neuralop_jax.solvers import Multigrid, darcy_stencil


def unrolled_darcy(permeability: RealField, source: RealField, grid: Grid, *, num_steps: int) -> RealField:
    r"""The pressure of $-\nabla\cdot(a\nabla u) = f$ with $u = 0$ at the ends of the grid, as `solvers.solve_darcy` finds it.

    It has the same multigrid preconditioner, but its derivatives go through the iterations, and reverse mode keeps them all.

    **Arguments:**

    - `permeability`, `source`: $a$ and $f$ at the points, `(1, *space)`.
    - `grid`: with Dirichlet boundaries.
    - `num_steps`: iterations, such as `num_steps` of `solve_darcy`.

    **Returns:** $u$, `(1, *space)`.
    """
    stencil, nodes = darcy_stencil(permeability[0], grid)
    multigrid = Multigrid(stencil, nodes, dtype=jnp.float32)

    def step(carry, _):
        x, r, z, p = carry
        image = stencil(p)
        length = jnp.vdot(r, z) / jnp.vdot(p, image)
        x, new = x + length * p, r - length * image
        preconditioned = multigrid(new)
        p = preconditioned + jnp.vdot(new, preconditioned) / jnp.vdot(r, z) * p
        return (x, new, preconditioned, p), None

    f = source[(0, *(slice(1, -1),) * grid.num_dims)]
    start = multigrid(f)
    (x, *_), _ = jax.lax.scan(step, (jnp.zeros_like(f), f, start, start), length=num_steps)
    return jnp.pad(x, 1)[None]
