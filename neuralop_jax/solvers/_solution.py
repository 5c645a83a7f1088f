"""What solvers return: the solution, and whether to believe it, one verdict per sample under `jax.vmap`."""

import equinox as eqx
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from neuralop_jax._result import SUCCESS, believed
from neuralop_jax._typing import Trajectory
from neuralop_jax.errors import SolverError


class Solution(eqx.Module):
    """Frames of a trajectory.

    - `values`: `(frames, channels, *space)`.
    - `times`: `(frames,)`.
    - `result`: 0 success; 1 too many steps; 2 not finite; 6 unstable step, which breaks the CFL condition at the start or at a
        frame.
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

    def or_raise(self) -> "Solution":
        """This solution if it succeeded; a `SolverError` with the remedy if not, inside compiled code as a run-time error."""
        return eqx.tree_at(lambda s: s.values, self, believed(self.values, self.result))


class LinearSolution(eqx.Module):
    """The solution of a linear system.

    - `value`: the solution; where the solve failed, the last finite iterate.
    - `result`: 0 success; 1 too many steps; 2 not finite; 3 diverged; 4 not positive definite; 5 no solution exists.
    - `num_steps`: iterations taken.
    - `relative_residual`: the 2-norm of the true residual over that of the right-hand side.
    """

    value: Float[Array, "*space"]
    result: Int[Array, ""]
    num_steps: Int[Array, ""]
    relative_residual: Float[Array, ""]

    @property
    def successful(self) -> Array:
        """Whether the result code is 0."""
        return self.result == SUCCESS

    def or_raise(self) -> "LinearSolution":
        """This solution if it succeeded; a `SolverError` with the remedy if not, inside compiled code as a run-time error."""
        found = ""
        if not isinstance(self.result, Tracer):
            found = f" Steps {int(jnp.max(self.num_steps))}, residual {float(jnp.max(self.relative_residual)):.1e}."
        return eqx.tree_at(lambda s: s.value, self, believed(self.value, self.result, found=found))


def check_finite(u0: Array) -> None:
    """Raises `SolverError` if a start that is known by value holds NaN or infinity."""
    if not isinstance(u0, Tracer) and not bool(jnp.isfinite(u0).all()):
        raise SolverError("the start holds NaN or infinity: nothing can be computed from it. Check the initial field.")
