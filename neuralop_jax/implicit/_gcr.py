"""Generalized conjugate residuals: the iterates of GMRES by one short loop."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit._arguments import is_known
from neuralop_jax.implicit._iteration import norm

Options = dict[str, Any]


class GCR(lx.AbstractLinearSolver[lx.AbstractLinearOperator]):
    r"""Generalized conjugate residuals for $Ax = b$, $A$ square and real: GMRES whose basis is truncated instead of restarted.

    Directions $p_k$ with orthonormal images $q_k = Ap_k$ are kept, and each step takes from the residual its part along the
    newest image, so that it never grows. The next direction is made of the residual, or of $q_k$ where that has fallen by less
    than 1%. Until more than `truncation` directions are needed these are the iterates of GMRES, and they do not break down while
    $A$ is regular. It ends by the true residual: a solution that seems converged is multiplied by $A$ once more. One loop with
    one product, it compiles faster than `lineax.GMRES`.

    The solve fails with `stagnation` if it cannot lower the true residual, or with `max_steps_reached`; what it returns is the
    best solution that it checked. In `stats` stand `num_steps`, the products, and `relative_residual`, the true one.

    **Arguments:**

    - `rtol`, `atol`: converged if $\|b - Ax\|_2 \le \max(\text{rtol}\,\|b\|_2, \text{atol})$.
    - `truncation`: number of directions to be kept, two arrays of the size of $b$ each.
    - `max_steps`: products at most, one more to check.

    **Raises:** `ConfigError` for a truncation or steps below one, negative tolerances, operators that are not square or not real,
    and options of `lineax.linear_solve`, of which there are none.

    **Source:** Eisenstat, Elman, Schultz, SIAM J. Numer. Anal. 20 (1983), doi:10.1137/0720023; the choice of directions from
    Jiránek, Rozložník, Numer. Algorithms 53 (2010), doi:10.1007/s11075-009-9311-2.

    !!! example

        ```python
        import jax.numpy as jnp
        import lineax as lx
        from neuralop_jax.implicit import GCR

        operator = lx.MatrixLinearOperator(jnp.asarray([[0.0, 1.0], [-2.0, 1.0]]))
        x = lx.linear_solve(operator, jnp.asarray([1.0, 2.0]), GCR(rtol=1e-6)).value
        assert jnp.allclose(x, jnp.asarray([-0.5, 1.0]), atol=1e-5)
        ```
    """

    rtol: float | int | Array = 1e-8
    atol: float | int | Array = 0.0
    truncation: int = 16
    max_steps: int | Array = 5000

    def __check_init__(self):
        counts = [self.truncation, *([self.max_steps] if is_known(self.max_steps) else [])]
        if not all(float(count) >= 1 and float(count).is_integer() for count in counts):
            raise ConfigError(
                f"GCR needs integers truncation and max_steps of at least 1, got {self.truncation} and {self.max_steps}."
            )
        if not all(float(tolerance) >= 0 for tolerance in (self.rtol, self.atol) if is_known(tolerance)):
            raise ConfigError(f"GCR needs rtol and atol of at least 0, got {self.rtol} and {self.atol}.")

    def init(self, operator: lx.AbstractLinearOperator, options: Options) -> lx.AbstractLinearOperator:
        if options:
            raise ConfigError(f"GCR takes no options, got {', '.join(options)}. Take lineax.GMRES for them.")
        if operator.in_structure() != operator.out_structure():
            raise ConfigError("GCR needs a square operator. Take lineax.LSMR for others.")
        kinds = {leaf.dtype for leaf in jax.tree.leaves(operator.in_structure())}
        if not all(jnp.issubdtype(kind, jnp.floating) for kind in kinds):
            raise ConfigError(
                f"GCR needs an operator on real floating arrays, got {', '.join(sorted(map(str, kinds)))}. "
                "Split complex unknowns into real and imaginary parts."
            )
        return lx.linearise(operator)

    def compute(
        self, state: lx.AbstractLinearOperator, vector: PyTree[Array], options: Options
    ) -> tuple[PyTree[Array], lx.RESULTS, Options]:
        b, unravel = ravel_pytree(vector)
        size, scale, tiny = min(self.truncation, b.size), norm(b), 10 * jnp.finfo(b.dtype).eps
        unit = jnp.where((scale > 0) & jnp.isfinite(scale), scale, 1).astype(b.dtype)  # x is found for b of norm one
        b, target = b / unit, jnp.maximum(self.rtol, self.atol / unit)

        def step(carry: tuple) -> tuple:
            """A step along a new direction, or, when `checking`, the true residual of `x`."""
            x, best, r, z, left, known, checking, stuck, directions, images, count = carry
            p = jnp.where(checking, x, z)
            image = ravel_pytree(state.mv(unravel(p)))[0]
            q = image
            for _ in range(2):  # once loses orthogonality
                along = images @ q
                p, q = p - along @ directions, q - along @ images
            length = norm(q).astype(q.dtype)
            new = ~checking & (length > tiny * norm(image))
            p, q = (jnp.where(new, part / jnp.where(new, length, 1), 0) for part in (p, q))
            along = q @ r
            x, r = x + along * p, jnp.where(checking, b - image, r - along * q)
            left, before = norm(r).astype(r.dtype), left
            z = jnp.where(new & (left > 0.99 * before), q, r / jnp.where(left > 0, left, 1))
            better = checking & (left < known)
            best, known = jnp.where(better, x, best), jnp.where(better, left, known)
            check = ~checking & ((left <= target) | ~new | (count + 1 >= self.max_steps))
            directions, images = (kept.at[count % size].set(new) for kept, new in ((directions, p), (images, q)))
            return x, best, r, z, left, known, check, checking & ~better, directions, images, count + 1

        def going(carry: tuple) -> Array:
            known, checking, stuck, count = *carry[5:8], carry[-1]
            return (known > target) & ~stuck & (checking | (count < self.max_steps))

        zero, no, none = jnp.zeros_like(b), jnp.zeros((), bool), jnp.zeros((size, b.size), b.dtype)
        first = (scale / unit).astype(b.dtype)
        carry = (zero, zero, b, b, first, first, no, no, none, none, jnp.zeros((), int))
        _, x, _, _, _, known, _, stuck, _, _, count = jax.lax.while_loop(going, step, carry)
        late = count > self.max_steps
        result = lx.RESULTS.where(stuck & ~late, lx.RESULTS.stagnation, lx.RESULTS.max_steps_reached)
        result = lx.RESULTS.where(known <= target, lx.RESULTS.successful, result)
        result = lx.RESULTS.where(jnp.isfinite(scale), result, lx.RESULTS.nonfinite_input)
        return unravel(x * unit), result, {"num_steps": count, "relative_residual": known}

    def transpose(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return state.transpose(), options

    def conj(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return state, options

    def assume_full_rank(self) -> bool:
        return True
