"""How a computation ended: one list of result codes for all solvers, and what to do about each."""

from typing import Final

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Inexact, Int

from neuralop_jax.errors import SolverError

RUNNING: Final = -1
SUCCESS: Final = 0
MAX_STEPS: Final = 1
NONFINITE: Final = 2
DIVERGED: Final = 3
NOT_POSITIVE: Final = 4
INCOMPATIBLE: Final = 5
UNSTABLE_STEP: Final = 6
SINGULAR: Final = 7
EXPANDING: Final = 8
UNSORTED: Final = 9
STALLED: Final = 10
_MEANING = {
    MAX_STEPS: "The solver used up its steps. Allow more by max_steps, or a larger rtol",
    NONFINITE: "The computation met NaN or infinity. Check the input; where it is finite, take a shorter dt or a higher order",
    DIVERGED: "The iteration diverged. Use it as the preconditioner of conjugate gradients, or Galerkin coarse operators",
    NOT_POSITIVE: "The operator is not positive definite. Permeabilities must be positive and finite, a reaction must not be "
    "negative (an indefinite Helmholtz operator needs another method), and without Dirichlet boundary it must not vanish",
    INCOMPATIBLE: "The source has a mean, and without Dirichlet boundary or reaction there is no solution. Subtract the mean",
    SINGULAR: "The linear system was not solved: it is singular, or its solver used up its products. Check that the solution is "
    "isolated, or regularize; where it is, take another linear_solver: lineax.Normal(lineax.CG(1e-6, 1e-6)), a GCR with a larger "
    "truncation, or lineax.LU() for few unknowns",
    EXPANDING: "The fixed-point iteration diverged: the map is no contraction. Damp it, or take Anderson or Broyden steps",
    UNSORTED: "The times neither increase nor decrease. Sort them, and drop repeated ones",
    STALLED: "The line search found no smaller objective, though the gradient promises one. Compute in float64, or solve the "
    "forward problem to a smaller rtol",
    UNSTABLE_STEP: "The time step breaks the CFL condition, at the start or at a frame. Take a shorter dt, or a higher order",
}


def meaning(code: int) -> str:
    """What a result code means and what to do about it, in one sentence."""
    return f"{_MEANING[code]} (result {code})."


def believed(value: Inexact[Array, "..."], result: Int[Array, "..."], *, found: str = "") -> Inexact[Array, "..."]:
    """`value`, if every result code is 0; otherwise `SolverError` for the first that is not, in compiled code a run-time error.

    **Arguments:**

    - `value`: what was computed.
    - `result`: its result codes, one per sample.
    - `found`: figures to add to the message.
    """
    if isinstance(result, Tracer):
        for code in _MEANING:
            value = eqx.error_if(value, result == code, meaning(code))
        return value
    failed = [code for code in jnp.ravel(result).tolist() if code != SUCCESS]
    if failed:
        number = f" {len(failed)} of {result.size} samples failed." if result.size > 1 else ""
        raise SolverError(f"{meaning(failed[0])}{number}{found}")
    return value
