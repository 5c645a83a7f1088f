"""Solvers and adjoints of Diffrax by name, what a step of each costs, and step control that gives up in time."""

import functools
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit import GCR
from neuralop_jax.layers._implicit_steps import ImplicitSteps
from neuralop_jax.layers._step_cost import Counted

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
"""Methods for stiff fields, in steps of `ImplicitSteps`: no Jacobian is formed, neither by a step nor by its gradient."""

ADJOINTS: dict[str, Callable[[], diffrax.AbstractAdjoint]] = {
    "backsolve": diffrax.BacksolveAdjoint,
    "checkpoint": diffrax.RecursiveCheckpointAdjoint,
    "direct": diffrax.DirectAdjoint,
    "forward": diffrax.ForwardMode,
    "implicit": functools.partial(diffrax.ImplicitAdjoint, linear_solver=GCR()),
}
"""How a solve is differentiated, by name."""


def solver_of(solver: str | diffrax.AbstractSolver, rtol: float, atol: float) -> diffrax.AbstractSolver:
    """The Diffrax solver of a name, or the solver itself. Raises `ConfigError` for an unknown name."""
    if not isinstance(solver, str):
        return solver
    one_of("solver", solver, sorted((*EXPLICIT_SOLVERS, *IMPLICIT_SOLVERS)), ConfigError)
    if solver in EXPLICIT_SOLVERS:
        return EXPLICIT_SOLVERS[solver]()
    return ImplicitSteps(IMPLICIT_SOLVERS[solver](), rtol, atol)


def cost_of(solver: diffrax.AbstractSolver, num_steps: Array, counted: Counted) -> tuple[Array | None, Array | None]:
    """Evaluations of the vector field, and products of its derivative with vectors, in so many steps, rejected ones too; `None`
    where the solver does not tell.

    A method whose last stage is the first of the next step saves one stage per step, but does not yet know it in a repeated
    first step.
    """
    none = jnp.zeros((), int)
    if isinstance(solver, ImplicitSteps):
        return counted.cost.evaluations, counted.cost.products
    if isinstance(solver, diffrax.Euler):
        return num_steps, none
    if isinstance(solver, diffrax.AbstractERK):
        tableau: Any = solver.tableau
        stages = tableau.num_stages
        return (num_steps * (stages - 1) + 1 + counted.first_rejected if tableau.fsal else num_steps * stages), none
    if isinstance(solver, diffrax.ReversibleHeun):
        return num_steps + 1, none
    return None, None


class GivingUp(diffrax.AbstractAdaptiveStepSizeController):
    """Error control that ends a solve at a singularity: the start is not finite, or steps fall below the round-off of time.

    Without, a field that returns NaN has every step rejected until `max_steps`.
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
    ) -> tuple[Array, Any]:
        # Diffrax wraps the term in the direction of time, and does not recognize it then: every first step would be 0.01.
        rate = diffrax.ODETerm(lambda t, y, args: terms.vf_prod(t, y, args, terms.contr(t, t + 1)))
        unwrapped = lambda rate, t, y, args: rate.vf(t, y, args)
        first, state = self._inner().init(rate, t0, t1, y0, dt0, args, unwrapped, error_order)
        return jnp.where(jnp.isfinite(first), first, t0), state

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: PyTree, y1_candidate: PyTree, args: Any, y_error: Any, error_order: Any, controller_state: Any
    ) -> tuple[Any, Any, Any, Any, Any, diffrax.RESULTS]:
        return self._inner().adapt_step_size(t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state)


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
