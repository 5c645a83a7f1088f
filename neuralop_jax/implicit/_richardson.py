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
    - `shape`: `(before, samples, behind)` if the unknowns, in this order, belong to samples that $A$ does not couple: each then
        has an acceleration and a verdict of its own, and all must succeed. `fixed_point` with `axis` sets it.

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
    shape: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(
        self,
        method: AbstractIteration | None = None,
        *,
        rtol: float | int = 1e-6,
        atol: float | int = 1e-12,
        max_steps: int = 256,
        accept: float | int = 0.0,
        shape: tuple[int, ...] | None = None,
    ):
        self.method = Anderson() if method is None else method
        self.rtol, self.atol, self.max_steps, self.accept = float(rtol), float(atol), max_steps, float(accept)
        self.shape = shape

    def over(self, shape: tuple[int, ...]) -> "Richardson":
        """The same for samples of that shape."""
        options = {"rtol": self.rtol, "atol": self.atol, "max_steps": self.max_steps, "accept": self.accept}
        return Richardson(self.method, shape=shape, **options)

    def init(self, operator: lx.AbstractLinearOperator, options: Options) -> lx.AbstractLinearOperator:
        return operator

    def compute(
        self, state: lx.AbstractLinearOperator, vector: PyTree[Array], options: Options
    ) -> tuple[PyTree[Array], lx.RESULTS, Options]:
        b, unravel = ravel_pytree(vector)
        shape, axes = (b.shape, (-1,)) if self.shape is None else (self.shape, (-3, -1))
        restore = lambda x: unravel(x.reshape(-1))  # noqa: E731
        b = b.reshape(shape)
        step = lambda x: x + b - ravel_pytree(state.mv(restore(x)))[0].reshape(shape)  # noqa: E731
        ended = self.method.run(step, b, axes, rtol=self.rtol, atol=self.atol, max_steps=self.max_steps)
        solved = ((ended.result == SUCCESS) | (ended.relative_residual <= self.accept)).all()
        result = lx.RESULTS.where(solved, lx.RESULTS.successful, lx.RESULTS.max_steps_reached)
        stats = {"num_steps": ended.num_steps.max(), "relative_residual": ended.relative_residual.max()}
        return restore(ended.value), result, stats

    def transpose(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return state.transpose(), {}

    def conj(self, state: lx.AbstractLinearOperator, options: Options) -> tuple[lx.AbstractLinearOperator, Options]:
        return lx.conj(state), {}

    def assume_full_rank(self) -> bool:
        return True
