"""Anderson acceleration of fixed-point iterations."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit._iteration import AbstractIteration, check_history, check_range, combine, dot


class Anderson(AbstractIteration):
    r"""Anderson acceleration: with $r = T(z) - z$ and the last $m$ differences of $z$ and $r$ as columns of $Z$ and $R$,

    $$z_{k+1} = z_k + \beta r_k - (Z + \beta R)\,\gamma, \qquad \gamma = \arg\min \|r_k - R\gamma\|_2.$$

    On an affine map this is GMRES: with $m \ge n$ it solves $n$ equations in $n + 1$ steps. It also converges for many maps that
    do not contract.

    **Arguments:**

    - `history`: $m$. *Good values*: 5; 10 for slow maps.
    - `mixing`: $\beta$. 1 as a rule; less where the first steps overshoot.
    - `regularization`: added to the unit diagonal of the normal equations for $\gamma$; ten rounding errors at least.

    **Raises:** `ConfigError` for values beyond these.

    **Source:** Walker, Ni, SIAM J. Numer. Anal. 49 (2011), doi:10.1137/10078356X, eq. 2.1 and section 2. Differs: normal
    equations with columns of unit length, of which one row is new in every step, not a QR factorization.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import Anderson, Broyden, Picard, fixed_point

        solutions = [fixed_point(jnp.cos, jnp.asarray(0.5), method=method) for method in (Picard(), Anderson(), Broyden())]
        assert all(jnp.allclose(solution.value, 0.739085, atol=1e-4) for solution in solutions)
        assert solutions[0].num_steps > 2 * solutions[1].num_steps
        ```
    """

    history: int = eqx.field(static=True)
    mixing: float = eqx.field(static=True)
    regularization: float = eqx.field(static=True)

    def __init__(self, history: int = 5, mixing: float | int = 1.0, regularization: float | int = 1e-12):
        check_history("Anderson", history)
        check_range("Anderson.mixing", mixing, 0, 1)
        if not 0 <= regularization <= 1:
            raise ConfigError(f"Anderson.regularization must be from 0 to 1, got {regularization!r}.")
        self.history, self.mixing, self.regularization = history, float(mixing), float(regularization)

    def begin(self, z: Array, axes: tuple[int, ...]) -> PyTree[Array]:
        """The last point and residual, both histories, and the inner products of the residuals' differences."""
        history = jnp.zeros((self.history, *z.shape), z.dtype)
        products = dot(history, history, axes)
        return z, z, history, history, jnp.zeros((self.history, *products.shape), products.dtype)

    def move(
        self, memory: PyTree[Array], z: Array, residual: Array, count: Int[Array, ""], axes: tuple[int, ...]
    ) -> tuple[Array, PyTree[Array]]:
        """The accelerated step."""
        last_z, last_residual, moves, changes, gram = memory
        slot = jnp.maximum(count - 1, 0) % self.history
        write = lambda a, row, axis=0: jax.lax.dynamic_update_index_in_dim(a, row, slot, axis)  # noqa: E731
        begun = count > 0
        moves = write(moves, jnp.where(begun, z - last_z, 0))
        change = jnp.where(begun, residual - last_residual, 0)
        changes = write(changes, change)
        row = dot(changes, change, axes)
        gram = write(write(gram, row), row, 1)
        weights = self._weights(gram, dot(changes, residual, axes)).astype(z.dtype)
        correction = combine(weights, moves + self.mixing * changes)
        return z + self.mixing * residual - correction, (z, residual, moves, changes, gram)

    def _weights(self, gram: Array, right: Array) -> Array:
        """$\\gamma$ from $R^T R$ and $R^T r$, one system per sample."""
        number = self.history
        diagonal = jnp.diagonal(gram)  # the samples first, then the rows
        lengths = jnp.sqrt(diagonal)
        lengths = jnp.where(lengths > 0, lengths, 1)
        matrix = jnp.moveaxis(gram, (0, 1), (-2, -1)) / (lengths[..., :, None] * lengths[..., None, :])
        ridge = jnp.maximum(self.regularization, 10 * jnp.finfo(gram.dtype).eps)
        extra = jnp.where(diagonal > 0, ridge, 1).astype(gram.dtype)  # a row not yet filled is that of the identity
        matrix = matrix + extra[..., None] * jnp.eye(number, dtype=gram.dtype).reshape((1,) * (right.ndim - 1) + (number, number))
        solution = jnp.linalg.solve(matrix, (jnp.moveaxis(right, 0, -1) / lengths)[..., None])[..., 0]
        return jnp.moveaxis(solution / lengths, -1, 0)
