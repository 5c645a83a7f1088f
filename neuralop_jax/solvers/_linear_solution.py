"""What a linear solve returns: the solution, the true residual, and whether to believe it."""

from typing import Final

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from neuralop_jax.errors import SolverError

RUNNING: Final = -1
CONVERGED: Final = 0
MAX_STEPS: Final = 1
DIVERGED: Final = 2
NOT_POSITIVE: Final = 3
NONFINITE: Final = 4
INCOMPATIBLE: Final = 5
_MEANING = {
    MAX_STEPS: "the linear solve used up its steps. Allow more by max_steps, or a larger rtol",
    DIVERGED: "the iteration diverged. Use it as the preconditioner of conjugate gradients, or Galerkin coarse operators",
    NOT_POSITIVE: "the operator is not positive definite. Permeabilities must be positive and finite, a reaction must not be "
    "negative (an indefinite Helmholtz operator needs another method), and without Dirichlet boundary it must not vanish",
    NONFINITE: "the right-hand side or the operator holds NaN or infinity. Check the input",
    INCOMPATIBLE: "the source has a mean, and without Dirichlet boundary or reaction there is no solution. Subtract the mean",
}


class LinearSolution(eqx.Module):
    """The solution of a linear system and a result code, one per sample under `jax.vmap`.

    - `value`: the solution; where the solve failed, the last finite iterate.
    - `result`: 0 converged; 1 too many steps; 2 diverged; 3 not positive definite; 4 not finite; 5 no solution exists.
    - `num_steps`: iterations taken.
    - `relative_residual`: the 2-norm of the true residual over that of the right-hand side.
    """

    value: Float[Array, "*space"]
    result: Int[Array, ""]
    num_steps: Int[Array, ""]
    relative_residual: Float[Array, ""]

    @property
    def converged(self) -> Array:
        """Whether the result code is 0."""
        return self.result == CONVERGED

    def or_raise(self) -> "LinearSolution":
        """This solution if it converged; a `SolverError` with the remedy if not, inside compiled code as a run-time error."""
        if isinstance(self.result, Tracer):
            value = self.value
            for code, meaning in _MEANING.items():
                value = eqx.error_if(value, self.result == code, _sentence(meaning, code))
            return eqx.tree_at(lambda s: s.value, self, value)
        for code in jnp.unique(self.result).tolist():
            if code != CONVERGED:
                worst = float(jnp.max(self.relative_residual))
                raise SolverError(
                    f"{_sentence(_MEANING[code], code)} Steps {int(jnp.max(self.num_steps))}, residual {worst:.1e}."
                )
        return self


def _sentence(meaning: str, code: int) -> str:
    return f"{meaning[0].upper()}{meaning[1:]} (result {code})."
