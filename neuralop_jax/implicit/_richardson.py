"""Linear systems near the identity, by accelerated fixed-point iteration."""

from typing import Any

import equinox as eqx
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from neuralop_jax._result import SUCCESS
from neuralop_jax.implicit._anderson import Anderson
from neuralop_jax.implicit._iteration import AbstractIteration

Options = dict[str, Any]


class Richardson(lx.AbstractLinearSolver[lx.AbstractLinearOperator]):
    r"""Solves $Ax = b$ by the iteration $x \mapsto x + b - Ax$, accelerated: a Lineax solver for $A = I - J$.

    For the derivatives of fixed points: where $T$ contracts, so does this, for $J$ and for its transpose. With Anderson steps it
    is GMRES in other words, but it compiles to one product with $A$ and a few sums.

    **Arguments:**

    - `method`: `Picard` (the Neumann series), `Anderson` or `Broyden`; `Anderson()` if `None`.
    - `rtol`, `atol`, `max_steps`: as in `fixed_point`.
    - `accept`: the largest relative residual with which a solve that ran out of steps still counts.

    !!! example

        ```python
        import jax.numpy as jnp
        import lineax as lx
        from neuralop_jax.implicit import Richardson

        operator = lx.MatrixLinearOperator(jnp.asarray([[1.0, 0.2], [-0.3, 0.9]]))
        x = lx.linear_solve(operator, jnp.ones(2), Richardson(rtol=1e-5)).value
        assert jnp.allclose(operator.mv(x), 1, atol=1e-4)
        ```
    """

    method: AbstractIteration
    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    accept: float = eqx.field(static=True)

    def __init__(
        self,
        method: AbstractIteration | None = None,
        *,
        rtol: float | int = 1e-6,
        atol: float | int = 1e-12,
        max_steps: int = 256,
        accept: float | int = 0.0,
    ):
        self.method = Anderson() if method is None else method
        self.rtol, self.atol, self.max_steps, self.accept = float(rtol), float(atol), max_steps, float(accept)

    def init(self, operator: lx.AbstractLinearOperator, options: Options) -> lx.AbstractLinearOperator:
        return operator

    def compute(
        self, state: lx.AbstractLinearOperator, vector: PyTree[Array], options: Options
    ) -> tuple[PyTree[Array], lx.RESULTS, Options]:
        b, unravel = ravel_pytree(vector)
        step = lambda x: x + b - ravel_pytree(state.mv(unravel(x)))[0]  # noqa: E731
        ended = self.method.run(step, b, (-1,), rtol=self.rtol, atol=self.atol, max_steps=self.max_steps)
        relative = ended.relative_residual[0]
        solved = (ended.result[0] == SUCCESS) | (relative <= self.accept)
        result = lx.RESULTS.where(solved, lx.RESULTS.successful, lx.RESULTS.max_steps_reached)
        return unravel(ended.value), result, {"num_steps": ended.num_steps[0], "relative_residual": relative}

    def transpose(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return state.transpose(), {}

    def conj(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return lx.conj(state), {}

    def assume_full_rank(self) -> bool:
        return True
