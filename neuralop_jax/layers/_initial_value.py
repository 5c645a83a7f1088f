"""One solve by Diffrax, with its failures in the result, and its cost."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from neuralop_jax._result import SUCCESS
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ModelInputError
from neuralop_jax.implicit import implicit_root
from neuralop_jax.implicit._arguments import stopped
from neuralop_jax.layers._guard import captured, guarded
from neuralop_jax.layers._horizon import Held, Range, covers, range_of
from neuralop_jax.layers._measured_solver import MeasuredSolver
from neuralop_jax.layers._ode_solution import ODESolution, all_finite, result_code
from neuralop_jax.layers._solver_choice import EqualSteps, GivingUp, cost_of, shortest_step
from neuralop_jax.layers._step_cost import Counting


class Problem(NamedTuple):
    """What is known of a solve before its data; the fields are the arguments of `NeuralODE`, in terms of Diffrax.

    With `stop`, constant steps end at every output time, as paths need that are not smooth between the ends of steps.
    """

    solver: diffrax.AbstractSolver
    rtol: float
    atol: float
    step: float | None
    controller: diffrax.AbstractStepSizeController | None
    adjoint: diffrax.AbstractAdjoint
    norm: Callable[[PyTree], Array]
    steady: float | None
    event: diffrax.Event | None
    only_end: bool
    max_steps: int
    measure: bool
    visit: str | None
    stop: bool = False


@eqx.filter_jit
def solve_problem(
    problem: Problem,
    terms: Callable[[Any], diffrax.AbstractTerm],
    field: Any,
    z0: PyTree[Array],
    ts: Array,
    args: Any,
    *,
    key: PRNGKey | None = None,
) -> ODESolution:
    """The states at `ts` of the equation `terms(field)` from `z0`; `terms` is static, everything else may be traced."""
    known = range_of((field, args))
    given = jax.tree.map(lambda leaf: leaf.dtype, z0)
    z0 = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.promote_types(leaf.dtype, jnp.float32)), z0)
    ts = ts.astype(jnp.result_type(*jax.tree.leaves(z0)))

    def closed(part: Any) -> Any:
        if not callable(part):
            return part
        part = part if known is None else Held(part)
        check_rates(eqx.filter_eval_shape(part, ts[0], z0, args), z0)
        return _closed(part, problem, ts[0], z0, args)

    field = tuple(closed(part) for part in field) if isinstance(field, tuple) else closed(field)
    inputs = (field, z0, ts, args, key, known)
    solve = lambda inputs: _solve(problem, terms, given, *inputs)
    if isinstance(problem.adjoint, diffrax.DirectAdjoint | diffrax.ForwardMode):
        return solve(inputs)
    return guarded(inputs, solve)


def _solve(
    problem: Problem,
    terms: Callable[[Any], diffrax.AbstractTerm],
    given: PyTree,
    field: Any,
    z0: PyTree[Array],
    ts: Array,
    args: Any,
    key: PRNGKey | None,
    known: Range | None,
) -> ODESolution:
    ts, in_order = in_some_order(ts)
    t0, t1 = ts[0], ts[-1]
    direction = jnp.where(t1 > t0, 1, -1)
    solver, adjoint, moving = problem.solver, problem.adjoint, (field, args)
    if isinstance(adjoint, diffrax.ImplicitAdjoint):  # which has a derivative of its own, behind the solve
        field, z0, ts, args, known = stopped((field, z0, ts, args, known))
        adjoint = diffrax.ForwardMode()
    keeps = problem.measure or problem.visit is not None
    if keeps:
        drawn = None
        if problem.visit == "uniform":
            assert key is not None
            drawn = direction * jax.random.uniform(key, (), ts.dtype, jnp.minimum(t0, t1), jnp.maximum(t0, t1))
        walker = key if problem.visit == "accepted" else None
        solver = MeasuredSolver(solver, problem.rtol, problem.atol, problem.measure, jax.lax.stop_gradient(drawn), walker)
        if isinstance(adjoint, diffrax.BacksolveAdjoint):
            adjoint = diffrax.BacksolveAdjoint(**{"solver": problem.solver, **adjoint.kwargs})
    controller = _controller(problem, ts)
    if isinstance(adjoint, diffrax.BacksolveAdjoint):
        flat = lambda part: _Flat(part) if callable(part) else part  # the noise of a stochastic equation is a path
        field = tuple(flat(part) for part in field) if isinstance(field, tuple) else flat(field)
        # The state of the adjoint holds parameters too, over which a norm over samples makes no sense.
        plain = diffrax.PIDController(rtol=problem.rtol, atol=problem.atol) if isinstance(controller, GivingUp) else controller
        backward = adjoint.kwargs.get("stepsize_controller", plain)
        adjoint = diffrax.BacksolveAdjoint(**{**adjoint.kwargs, "stepsize_controller": _counting(backward, problem)})
    found = diffrax.diffeqsolve(
        terms(field),
        solver,
        t0,
        t1,
        None if problem.step is None or problem.stop else problem.step * direction,
        z0,
        args,
        saveat=diffrax.SaveAt(
            t1=problem.only_end, ts=None if problem.only_end else ts, solver_state=keeps, controller_state=True
        ),
        stepsize_controller=_counting(controller, problem),
        adjoint=adjoint,
        event=_event(problem),
        max_steps=problem.max_steps,
        throw=False,
    )
    values: PyTree[Array] = found.ys
    times = jnp.asarray(found.ts)
    if problem.only_end:
        values, times = jax.tree.map(lambda leaf: leaf[0], values), times[0]
    ends = problem.steady is not None or problem.event is not None
    reached = jnp.isfinite(times) if ends else jnp.ones(times.shape, bool)
    spread = lambda mask, leaf: mask.reshape(mask.shape + (1,) * (leaf.ndim - mask.ndim))
    finite = all_finite(jax.tree.map(lambda leaf: jnp.where(spread(reached, leaf), leaf, 0), values))
    if known is not None:
        finite = finite & covers(known, jnp.append(jnp.where(reached, times, t0), t0))
    result = result_code(found, finite & all_finite(z0), sorted_times=in_order, steady=problem.steady is not None)
    good = reached & (result == SUCCESS)
    if isinstance(problem.adjoint, diffrax.ImplicitAdjoint):
        known_state = jax.tree.map(lambda z, start: jnp.where(good, z, start), values, z0)
        values = _steady(problem.adjoint, *moving, times, known_state, good)
    values = jax.tree.map(lambda leaf, dtype: jnp.where(spread(good, leaf), leaf, jnp.nan).astype(dtype), values, given)
    num_steps = jnp.asarray(found.stats["num_steps"], jnp.int32)
    counted: Any = found.controller_state
    cost, products = cost_of(problem.solver, num_steps, counted[1])
    if cost is not None:
        cost = cost + 2 * isinstance(controller, GivingUp) + (num_steps + 1) * (problem.steady is not None)
    measured = solver.measured(found.solver_state, direction) if isinstance(solver, MeasuredSolver) else None
    if measured is not None:
        measured = jax.tree.map(lambda x: jnp.where(result == SUCCESS, x, jnp.nan) if eqx.is_inexact_array(x) else x, measured)
    return ODESolution(values, jnp.where(good, times, jnp.nan), result, num_steps, cost, products, measured)


def in_some_order(ts: Array) -> tuple[Array, Array]:
    """The times and whether they are in order; where not, others that are, as Diffrax would stop the whole batch."""
    gaps = jnp.diff(ts)
    in_order = (gaps > 0).all() | (gaps < 0).all()
    return jnp.where(in_order, ts, jnp.arange(ts.size, dtype=ts.dtype)), in_order


def check_rates(rates: PyTree, z: PyTree[Array]) -> None:
    """Raises `ModelInputError` unless what a field returned has the structure and shapes of the state; Diffrax broadcasts."""
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    found, wanted = shapes(rates), shapes(z)
    if jax.tree.structure(rates) != jax.tree.structure(z) or found != wanted:
        raise ModelInputError(f"a field must return the shape of the state, {wanted}, got {found}. Reshape what it returns.")


def _closed(field: Callable, problem: Problem, t: Array, z: PyTree[Array], args: Any) -> Callable:
    """The field with all traced arrays that it reads among its leaves, where the gradient can find them."""
    if not captured(field, t, z, args):
        return field
    if isinstance(problem.adjoint, diffrax.BacksolveAdjoint):
        raise ModelInputError(
            "adjoint='backsolve' has no gradient for arrays that the field takes from around it. Pass them in args, or make the "
            "field an eqx.Module that holds them."
        )
    return eqx.filter_closure_convert(field, t, z, args)


def _controller(problem: Problem, ts: Array) -> diffrax.AbstractStepSizeController:
    if problem.controller is not None:
        return problem.controller
    if problem.step is not None and problem.stop:
        return EqualSteps(jax.lax.stop_gradient(ts), problem.step)
    if problem.step is not None:
        return diffrax.ConstantStepSize()
    shortest = jax.lax.stop_gradient(shortest_step(ts[0], ts[-1]))
    return GivingUp(problem.rtol, problem.atol, problem.norm, shortest)


def _counting(controller: diffrax.AbstractStepSizeController, problem: Problem) -> Counting:
    given: Any = {name: getattr(controller, name, getattr(problem, name)) for name in ("rtol", "atol", "norm")}
    return Counting(controller=controller, **given)


def _steady(
    adjoint: diffrax.ImplicitAdjoint, field: Callable, args: Any, t: Array, z: PyTree[Array], good: Array
) -> PyTree[Array]:
    """The steady state `z` with its derivatives by the implicit function theorem; where there is none, it has none."""

    def rates(z: PyTree[Array], field: Callable, args: Any) -> PyTree[Array]:
        return jax.tree.map(lambda rate, z: jnp.where(good, rate, z), field(t, z, args), z)

    options: Any = {"linear_solver": adjoint.linear_solver, "tags": adjoint.tags}
    return implicit_root(rates, z, field, args, throw=False, **options)


def _event(problem: Problem) -> diffrax.Event | None:
    if problem.steady is None:
        return problem.event
    return diffrax.Event(diffrax.steady_state_event(rtol=problem.steady, atol=problem.steady, norm=problem.norm))


class _Flat(eqx.Module):
    """A vector field as a list of its arrays: the backward solve of Diffrax cannot hold the empty tuples of a module."""

    arrays: list[Array]
    rest: Any = eqx.field(static=True)

    def __init__(self, field: Any):
        leaves, structure = jax.tree.flatten(field)
        is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
        self.arrays = [jnp.asarray(leaf) for leaf, found in zip(leaves, is_array, strict=True) if found]
        self.rest = structure, tuple(None if found else leaf for leaf, found in zip(leaves, is_array, strict=True))

    def __call__(self, t: Any, z: Any, args: Any) -> Any:
        structure, leaves = self.rest
        arrays = iter(self.arrays)
        return jax.tree.unflatten(structure, [next(arrays) if leaf is None else leaf for leaf in leaves])(t, z, args)
