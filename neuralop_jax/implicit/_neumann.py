"""The inverse of a matrix as a truncated series."""

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


class Neumann(lx.AbstractLinearSolver[lx.AbstractLinearOperator]):
    r"""The truncated Neumann series of $Ax = b$,

    $$x = \alpha\sum_{j=0}^{K}(I - \alpha A)^j\,b,$$

    with $K + 1$ = `num_terms`.

    It is not exact by design and claims success, unless its last term is larger than its first, or than both before it: then the
    series diverges, and the result is `breakdown`.

    If $A$ is symmetric with eigenvalues between $\mu$ and $1/\alpha$, the error is at most
    $(1 - \alpha\mu)^{K+1}$ of the solution. In memory it takes three vectors. One term with $\alpha = 1$ is the rule that takes
    $A$ for the identity.

    **Arguments:**

    - `num_terms`: at least 1; one product with $A$ less. *Good values*: 5 to 20; where many more are needed, conjugate
        gradients get by with about their square root.
    - `scale`: $\alpha$. *Good values*: 1 for $A = I - \partial T$ of a contraction $T$; one over the largest eigenvalue of a
        Hessian.

    **Raises:** `ConfigError` for less than one term, a scale that is not positive, and options of `lineax.linear_solve`.

    **Source:** Lorraine, Vicol, Duvenaud 2020, arXiv:1911.02590, section 4.

    !!! example

        ```python
        import jax.numpy as jnp
        import lineax as lx
        from neuralop_jax.implicit import Neumann

        operator = lx.DiagonalLinearOperator(jnp.asarray([1.0, 0.5]))
        x = lx.linear_solve(operator, jnp.ones(2), Neumann(num_terms=3)).value
        assert x.tolist() == [1, 1.75]  # 1 + 1/2 + 1/4 for 2
        ```
    """

    num_terms: int | Array
    scale: float | int | Array = 1.0

    def __check_init__(self):
        if is_known(self.num_terms) and not (float(self.num_terms) >= 1 and float(self.num_terms).is_integer()):
            raise ConfigError(f"Neumann.num_terms must be an integer of at least 1, got {self.num_terms}.")
        if is_known(self.scale) and not 0 < float(self.scale) < float("inf"):
            raise ConfigError(f"Neumann.scale must be positive and finite, got {self.scale}.")

    def init(self, operator: lx.AbstractLinearOperator, options: Options) -> lx.AbstractLinearOperator:
        if options:
            raise ConfigError(f"Neumann takes no options, got {', '.join(options)}. Leave them out.")
        if operator.in_structure() != operator.out_structure():
            raise ConfigError("Neumann needs a square operator. Take lineax.LSMR for others.")
        return lx.linearise(operator)

    def compute(
        self, state: lx.AbstractLinearOperator, vector: PyTree[Array], options: Options
    ) -> tuple[PyTree[Array], lx.RESULTS, Options]:
        b, unravel = ravel_pytree(vector)
        scale = jnp.asarray(self.scale, b.dtype)

        def step(_: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
            total, term, last, before, _ = carry
            term = term - scale * ravel_pytree(state.mv(unravel(term)))[0]
            return total + term, term, norm(term), last, before

        first = norm(b)
        total, _, last, *before = jax.lax.fori_loop(1, self.num_terms, step, (b, b, first, first, first))
        most = jnp.minimum(first, jnp.maximum(*before))  # of two, for terms may swing while they fall
        grown = ~(last <= (1 + 100 * jnp.finfo(first.dtype).eps) * most)
        result = lx.RESULTS.where(grown, lx.RESULTS.breakdown, lx.RESULTS.successful)
        return unravel(scale * total), result, {"num_steps": self.num_terms - 1}

    def transpose(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return state.transpose(), options

    def conj(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return state, options

    def assume_full_rank(self) -> bool:
        return True
