"""What a time integration returns: the frames, their times, and whether to believe them."""

from typing import Final

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from neuralop_jax._typing import Trajectory
from neuralop_jax.errors import SolverError

SUCCESS: Final = 0
UNSTABLE_STEP: Final = 1
NONFINITE: Final = 2
MAX_STEPS: Final = 3
_MEANING = {
    UNSTABLE_STEP: "the step was too long for the fastest signal at the start or at a frame",
    NONFINITE: "the solution stopped being finite",
    MAX_STEPS: "the adaptive solver used up its steps",
}


class Solution(eqx.Module):
    """Frames of a trajectory and a result code, one per sample under `jax.vmap`.

    - `values`: `(frames, channels, *space)`.
    - `times`: `(frames,)`.
    - `result`: 0 success; 1 unstable step, which breaks the CFL condition at the start or at a frame; 2 not finite; 3 too many
        steps.
    - `num_steps`: time steps taken.
    """

    values: Trajectory
    times: Float[Array, " frames"]
    result: Int[Array, ""]
    num_steps: Int[Array, ""]

    @property
    def successful(self) -> Array:
        """Whether the result code is 0."""
        return self.result == SUCCESS

    def or_raise(self, remedy: str) -> "Solution":
        """This solution if it succeeded; `SolverError` with the `remedy` if not, inside compiled code as a run-time error."""
        if not isinstance(self.result, Tracer):
            code = int(jnp.max(self.result))  # of all samples, the worst
            if code != SUCCESS:
                raise SolverError(f"{_MEANING[code][0].upper()}{_MEANING[code][1:]} (result {code}). {remedy}")
            return self
        failed = eqx.error_if(self.values, self.result != SUCCESS, f"a time integration failed. {remedy}")
        return eqx.tree_at(lambda s: s.values, self, failed)


def check_finite(u0: Array) -> None:
    """Raises `SolverError` if a start that is known by value holds NaN or infinity."""
    if not isinstance(u0, Tracer) and not bool(jnp.isfinite(u0).all()):
        raise SolverError("the start holds NaN or infinity: nothing can be computed from it. Check the initial field.")
