"""Solvers and adjoints of Diffrax by name, what a step of each costs, and step control that gives up in time."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, PyTree

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError

EXPLICIT_SOLVERS: dict[str, type[diffrax.AbstractSolver]] = {
    "bosh3": diffrax.Bosh3,
    "dopri5": diffrax.Dopri5,
    "dopri8": diffrax.Dopri8,
    "euler": diffrax.Euler,
    "heun": diffrax.Heun,
    "midpoint": diffrax.Midpoint,
    "ralston": diffrax.Ralston,
    "tsit5": diffrax.Tsit5,
}
"""Explicit methods; all but `"euler"` estimate their error."""

IMPLICIT_SOLVERS: dict[str, type[diffrax.AbstractSolver]] = {
    "implicit_euler": diffrax.ImplicitEuler,
    "kvaerno3": diffrax.Kvaerno3,
    "kvaerno5": diffrax.Kvaerno5,
}
"""Methods for stiff fields, each stage found by Newton's method with GMRES: no Jacobian is formed."""

ADJOINTS: dict[str, type[diffrax.AbstractAdjoint]] = {
    "backsolve": diffrax.BacksolveAdjoint,
    "checkpoint": diffrax.RecursiveCheckpointAdjoint,
    "direct": diffrax.DirectAdjoint,
    "forward": diffrax.ForwardMode,
    "implicit": diffrax.ImplicitAdjoint,
}
"""How a solve is differentiated, by name."""


def solver_of(solver: str | diffrax.AbstractSolver, rtol: float, atol: float) -> diffrax.AbstractSolver:
    """The Diffrax solver of a name, or the solver itself. Raises `ConfigError` for an unknown name."""
    if not isinstance(solver, str):
        return solver
    one_of("solver", solver, sorted((*EXPLICIT_SOLVERS, *IMPLICIT_SOLVERS)), ConfigError)
    if solver in EXPLICIT_SOLVERS:
        return EXPLICIT_SOLVERS[solver]()
    newton = optx.Newton(rtol=rtol, atol=atol, linear_solver=lx.GMRES(rtol=rtol, atol=atol))
    return IMPLICIT_SOLVERS[solver](root_finder=newton)  # pyright: ignore[reportCallIssue]


def evaluations(solver: diffrax.AbstractSolver, num_steps: Array, first_rejected: Array | int) -> Array | None:
    """Evaluations of the vector field in so many steps, rejected ones too; `None` where the solver does not tell.

    A method whose last stage is the first of the next step saves one stage per step, but does not yet know it in a repeated
    first step.
    """
    if isinstance(solver, diffrax.Euler):
        return num_steps
    if isinstance(solver, diffrax.AbstractERK):
        tableau: Any = solver.tableau
        stages = tableau.num_stages
        return num_steps * (stages - 1) + 1 + first_rejected if tableau.fsal else num_steps * stages
    if isinstance(solver, diffrax.ReversibleHeun):
        return num_steps + 1
    return None


class GivingUp(diffrax.AbstractAdaptiveStepSizeController):
    """Error control that ends a solve at a singularity: the start is not finite, or steps fall below the round-off of time.

    Without, a field that returns NaN has every step rejected until `max_steps`. The state counts the rejected first steps.
    """

    rtol: float
    atol: float
    norm: Callable[[PyTree], Array]
    shortest: Array

    def _inner(self) -> diffrax.PIDController:
        return diffrax.PIDController(self.rtol, self.atol, norm=self.norm, dtmin=self.shortest, force_dtmin=False)

    def wrap(self, direction: Any) -> "GivingUp":
        return self

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: PyTree, dt0: Any, args: Any, func: Any, error_order: Any
    ) -> tuple[Array, tuple[Any, Array, Array]]:
        # Diffrax wraps the term in the direction of time, and does not recognize it then: every first step would be 0.01.
        rate = diffrax.ODETerm(lambda t, y, args: terms.vf_prod(t, y, args, terms.contr(t, t + 1)))
        unwrapped = lambda rate, t, y, args: rate.vf(t, y, args)
        first, state = self._inner().init(rate, t0, t1, y0, dt0, args, unwrapped, error_order)
        return jnp.where(jnp.isfinite(first), first, t0), (state, jnp.asarray(True), jnp.zeros((), jnp.int32))

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: PyTree, y1_candidate: PyTree, args: Any, y_error: Any, error_order: Any, controller_state: Any
    ) -> tuple[Any, Any, Any, Any, Any, diffrax.RESULTS]:
        state, first, rejected = controller_state
        keep, t0, t1, made_jump, state, result = self._inner().adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, state
        )
        first = first & ~jnp.asarray(keep)
        return keep, t0, t1, made_jump, (state, first, rejected + first), result


class EqualSteps(diffrax.AbstractStepSizeController):
    """Steps that end at every output time, equal between two of them, and as few as are no longer than `step`."""

    times: Array
    step: float

    def wrap(self, direction: Any) -> "EqualSteps":
        return EqualSteps(self.times * direction, self.step)

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: PyTree, dt0: Any, args: Any, func: Any, error_order: Any
    ) -> tuple[Array, None]:
        return self._end(t0), None

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: PyTree, y1_candidate: PyTree, args: Any, y_error: Any, error_order: Any, controller_state: Any
    ) -> tuple[Any, Any, Any, Any, Any, diffrax.RESULTS]:
        return True, t1, self._end(t1), False, None, diffrax.RESULTS.successful

    def _end(self, t: Array) -> Array:
        """Where the step from `t` ends."""
        goal = jnp.min(jnp.where(self.times > t, self.times, jnp.inf))
        number = equal_steps(goal - t, self.step)
        return jnp.where(number > 1, t + (goal - t) / number, goal)


def equal_steps(length: Array, step: float) -> Array:
    """How many equal steps no longer than `step`, but for round-off, cover a length."""
    return jnp.maximum(jnp.ceil(length / step * (1 - 64 * jnp.finfo(length.dtype).eps) - 1e-5), 1)


def shortest_step(t0: Array, t1: Array) -> Array:
    """Ten units of round-off of the interval, or of one unit of time if it has no end."""
    length = jnp.where(jnp.isfinite(t1), jnp.maximum(jnp.abs(t1), jnp.abs(t0)), 1.0)
    return 10 * jnp.finfo(length.dtype).eps * length


def root_mean_square(tree: PyTree[Array]) -> Array:
    """Over all numbers of all leaves; its gradient at zero is zero."""
    leaves = jax.tree.leaves(tree)
    square = sum(jnp.sum(leaf**2) for leaf in leaves) / sum(leaf.size for leaf in leaves)
    return jnp.sqrt(jnp.where(square > 0, square, 1)) * (square > 0)


class LargestOf(eqx.Module):
    """The largest of the samples' root mean squares: no sample hides behind the others when they share their steps."""

    axis: int = eqx.field(static=True)

    def __call__(self, tree: PyTree[Array]) -> Array:
        leaves = [jnp.moveaxis(leaf, self.axis, 0) for leaf in jax.tree.leaves(tree)]
        squares = sum(jnp.sum(leaf**2, axis=tuple(range(1, leaf.ndim))) for leaf in leaves)
        largest = jnp.max(squares) / sum(leaf[0].size for leaf in leaves)
        return jnp.sqrt(jnp.where(largest > 0, largest, 1)) * (largest > 0)
