"""Darcy's equation by conjugate gradients, every one of them differentiated: what the implicit rule replaces."""

import jax
import jax.numpy as jnp

from neuralop_jax._typing import RealField
from neuralop_jax.grids import Grid
from neuralop_jax.solvers import Multigrid, darcy_stencil


def unrolled_darcy(permeability: RealField, source: RealField, grid: Grid, *, num_steps: int) -> RealField:
    r"""The pressure of $-\nabla\cdot(a\nabla u) = f$ with $u = 0$ at the ends of the grid, as `solvers.solve_darcy` finds it.

    It has the same multigrid preconditioner, but its derivatives go through the iterations, and reverse mode keeps them all. Once
    the residual has fallen to rounding errors of the source, further iterations change nothing, and have no derivative.

    **Arguments:**

    - `permeability`, `source`: $a$ and $f$ at the points, `(1, *space)`.
    - `grid`: with Dirichlet boundaries.
    - `num_steps`: iterations, such as `num_steps` of `solve_darcy`.

    **Returns:** $u$, `(1, *space)`.
    """
    stencil, nodes = darcy_stencil(permeability[0], grid)
    multigrid = Multigrid(stencil, nodes, dtype=jnp.float32)

    f = source[(0, *(slice(1, -1),) * grid.num_dims)]
    start = multigrid(f)
    least = jnp.finfo(f.dtype).eps ** 2 * jax.lax.stop_gradient(jnp.vdot(f, start))

    def step(carry, _):
        x, r, z, p = carry
        image = stencil(p)
        energy = jnp.vdot(r, z)
        going = energy > least
        quotient = lambda a, b: jnp.where(going, a / jnp.where(going, b, 1), 0)  # of which neither value nor slope is NaN
        length = quotient(energy, jnp.vdot(p, image))
        x, new = x + length * p, r - length * image
        preconditioned = multigrid(new)
        p = preconditioned + quotient(jnp.vdot(new, preconditioned), energy) * p
        return (x, new, preconditioned, p), None

    (x, *_), _ = jax.lax.scan(step, (jnp.zeros_like(f), f, start, start), length=num_steps)
    return jnp.pad(x, 1)[None]
