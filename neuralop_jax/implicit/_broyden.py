"""Broyden's method for fixed points, with limited memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from neuralop_jax.implicit._iteration import AbstractIteration, check_history, combine, dot


class Broyden(AbstractIteration):
    r"""Broyden's good method for $g(z) = T(z) - z = 0$: $z_{k+1} = z_k - B_k\, g(z_k)$, with $B_0 = -I$ and

    $$B_{k+1} = B_k + \frac{(\Delta z - B_k \Delta g)\,\Delta z^T B_k}{\Delta z^T B_k \Delta g}.$$

    $B$ is kept as $-I$ and the last `history` updates; an update that drops out does so before the new one is made, so that
    $B_{k+1}\Delta g = \Delta z$ holds all the same. Convergence is superlinear as long as nothing has dropped out.

    **Arguments:**

    - `history`: number of updates kept. *Good values*: 10 to 30; memory is two states for each.

    **Source:** Broyden, Math. Comp. 19 (1965), doi:10.1090/S0025-5718-1965-0198670-6; limited memory as in Bai, Kolter, Koltun
    2019, arXiv:1909.01377. Differs: no line search.
    """

    history: int = eqx.field(static=True)

    def __init__(self, history: int = 20):
        check_history("Broyden", history)
        self.history = history

    def begin(self, z: Array, axes: tuple[int, ...]) -> PyTree[Array]:
        """The last point and residual, and the left and right vectors of the updates."""
        history = jnp.zeros((self.history, *z.shape), z.dtype)
        return z, z, history, history

    def move(
        self, memory: PyTree[Array], z: Array, residual: Array, count: Int[Array, ""], axes: tuple[int, ...]
    ) -> tuple[Array, PyTree[Array]]:
        """The quasi-Newton step."""
        last_z, last_residual, left, right = memory
        slot = jnp.maximum(count - 1, 0) % self.history
        write = lambda a, row: jax.lax.dynamic_update_index_in_dim(a, row, slot, 0)  # noqa: E731
        along = lambda a, b: dot(a, b, axes).astype(z.dtype)  # noqa: E731
        left, right = write(left, jnp.zeros_like(z)), write(right, jnp.zeros_like(z))
        moved, changed = z - last_z, residual - last_residual
        row = combine(along(left, moved), right) - moved
        image = combine(along(right, changed), left) - changed
        scale = along(row, changed)
        usable = (count > 0) & (scale != 0)
        column = jnp.where(usable, (moved - image) / jnp.where(usable, scale, 1), 0)
        left, right = write(left, column), write(right, jnp.where(usable, row, 0))
        return z + residual - combine(along(right, residual), left), (z, residual, left, right)
