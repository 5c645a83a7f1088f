"""What layers with a differential equation inside return: the states, and whether to believe them."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from neuralop_jax._result import MAX_STEPS, NONFINITE, SINGULAR, SUCCESS, UNSORTED, believed


class Measured(eqx.Module):
    r"""Sums over the accepted steps $n$ of one solve, $|h_n|$ long, and the state at one random time.

    - `error`: $\sum_n E_n |h_n|$ with $E_n$ the root mean square of the local error estimate in units of the tolerance.
    - `stiffness`: $\sum_n S_n |h_n|$ with $S_n$ an estimate of the largest rate; `None` for solvers whose last two stages do not
      stand at the end of the step.
    - `num_accepted`: accepted steps.
    - `time`, `state`: a random time of the solve and the state there, without gradient; `None` if none was asked for.
    """

    error: Float[Array, ""] | None
    stiffness: Float[Array, ""] | None
    num_accepted: Int[Array, ""]
    time: Float[Array, ""] | None
    state: PyTree[Float[Array, "..."]] | None


class ODESolution(eqx.Module):
    """States of an initial-value problem. All of `values` and `times` is NaN if the solve failed.

    - `values`: the states at `times`, with a leading axis of times unless only the end was asked for.
    - `times`: `(times,)`, those asked for, NaN behind an event or a steady state, as are the values there; or where only the end
      was asked for, one number: the time of the event, of the steady state, or the last time.
    - `result`: 0 success; 1 too many steps, or no steady state until the last time; 2 not finite, or a singularity; 7 singular
      linear system in an implicit step; 9 unsorted times.
    - `num_steps`: steps taken, rejected ones among them.
    - `num_evaluations`: evaluations of the vector field, those for the first step and the test of a steady state among them;
        not those of an event or a `controller` of one's own.
    - `num_products`: products of its derivative with vectors, from which implicit steps are found, each as expensive as one or
        two evaluations; none in explicit ones. Both are `None` for implicit solver objects of Diffrax, which do not tell.
    - `measured`: what the solve told about itself, if asked.
    """

    values: PyTree[Float[Array, "..."]]
    times: Float[Array, "..."]
    result: Int[Array, ""]
    num_steps: Int[Array, ""]
    num_evaluations: Int[Array, ""] | None = None
    num_products: Int[Array, ""] | None = None
    measured: Measured | None = None

    @property
    def successful(self) -> Bool[Array, "..."]:
        """Whether the result code is 0."""
        return self.result == SUCCESS

    def or_raise(self) -> "ODESolution":
        """This solution if it succeeded; a `SolverError` with the remedy if not, inside compiled code as a run-time error."""
        leaves, structure = jax.tree.flatten(self.values)
        checked = [believed(leaves[0], self.result), *leaves[1:]]
        return eqx.tree_at(lambda s: s.values, self, jax.tree.unflatten(structure, checked))


def result_code(found: diffrax.Solution, finite: Bool[Array, ""], *, sorted_times: Bool[Array, ""], steady: bool) -> Array:
    """The code of `_result` for what Diffrax found."""
    known = diffrax.RESULTS
    ended = found.result == known.event_occurred
    code = jnp.where(ended, SUCCESS, NONFINITE)
    for theirs, ours in (
        (known.successful, MAX_STEPS if steady else SUCCESS),
        (known.max_steps_reached, MAX_STEPS),
        (known.nonlinear_max_steps_reached, MAX_STEPS),
        (known.singular, SINGULAR),
    ):
        code = jnp.where(found.result == theirs, ours, code)
    code = jnp.where((code == SUCCESS) & ~finite, NONFINITE, code)
    return jnp.where(sorted_times, code, UNSORTED).astype(jnp.int32)


def all_finite(tree: PyTree[Array]) -> Bool[Array, ""]:
    """Whether no number in any leaf is NaN or infinite."""
    return jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), tree))
