"""A solver that sums what its accepted steps tell about the solve, and keeps the state at one random time."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from neuralop_jax._typing import PRNGKey
from neuralop_jax.layers._ode_solution import Measured
from neuralop_jax.layers._solver_choice import root_mean_square
from neuralop_jax.layers._step_cost import plain


class MeasuredSolver(diffrax.AbstractWrappedSolver):
    """`solver`, with the sums of `Measured` in its state, where rejected steps leave no trace.

    **Arguments:**

    - `rtol`, `atol`: the units of the error estimate.
    - `measure`: keep the sums.
    - `time`: the time at which the state is kept, in the clock of the solver, which runs forward; `None` for none, or with `key`
      for the start of an accepted step, each with the same chance.
    """

    solver: diffrax.AbstractSolver
    rtol: float
    atol: float
    measure: bool = eqx.field(static=True)
    time: Array | None = None
    key: PRNGKey | None = None

    @property
    def term_structure(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.solver.term_structure

    @property
    def interpolation_cls(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.solver.interpolation_cls

    @property
    def term_compatible_contr_kwargs(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.solver.term_compatible_contr_kwargs

    @property
    def scan_kind(self):
        return self.solver.scan_kind  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def root_finder(self):
        return self.solver.root_finder  # pyright: ignore[reportAttributeAccessIssue]

    def order(self, terms: Any) -> Any:
        return self.solver.order(terms)

    def strong_order(self, terms: Any) -> Any:
        return self.solver.strong_order(terms)

    def error_order(self, terms: Any) -> Any:
        return self.solver.error_order(terms)

    def func(self, terms: Any, t0: Any, y0: PyTree, args: Any) -> PyTree:
        return self.solver.func(terms, t0, y0, args)

    def init(self, terms: Any, t0: Any, t1: Any, y0: PyTree, args: Any) -> Any:
        zero = jnp.zeros((), jnp.result_type(t0, *jax.tree.leaves(y0)))
        kept = (jnp.asarray(t0), jax.lax.stop_gradient(y0)) if self.visits else None
        sums = (zero, zero) if self.measure else None
        return self.solver.init(terms, t0, t1, y0, args), jnp.zeros((), jnp.int32), sums, kept

    @property
    def visits(self) -> bool:
        """Whether a state is kept."""
        return self.time is not None or self.key is not None

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: PyTree, args: Any, solver_state: Any, made_jump: Any
    ) -> tuple[PyTree, PyTree, dict, Any, diffrax.RESULTS]:
        state, count, sums, kept = solver_state
        y1, y_error, dense, state, result = self.solver.step(terms, t0, t1, y0, args, state, made_jump)
        count = count + 1
        if sums is not None:
            error, stiffness = step_estimates(self.solver, y0, y1, plain(y_error), dense, t1 - t0, self.rtol, self.atol)
            length = jnp.abs(t1 - t0)
            sums = sums[0] + error * length, sums[1] if stiffness is None else sums[1] + stiffness * length
        if kept is not None:
            visited = self._visited(t0, t1, y0, dense, count)
            kept = jax.tree.map(lambda new, old: jnp.where(visited[0], jax.lax.stop_gradient(new), old), visited[1:], kept)
        return y1, y_error, dense, (state, count, sums, kept), result

    def _visited(self, t0: Array, t1: Array, y0: PyTree, dense: dict, count: Array) -> tuple[Array, Array, PyTree]:
        """Whether the state to keep is in this step, its time, and the state."""
        if self.time is None:
            assert self.key is not None
            fresh = jax.random.uniform(jax.random.fold_in(self.key, count)) * count < 1  # a reservoir of one
            return fresh, t0, y0
        y = self.interpolation_cls(t0=t0, t1=t1, **dense).evaluate(self.time)
        return (t0 <= self.time) & (self.time < t1), self.time, y

    def measured(self, solver_state: Any, direction: Int[Array, ""]) -> Measured:
        """What the last state of a solve holds, in the clock of the caller."""
        _, count, sums, kept = solver_state
        error, stiffness = (None, None) if sums is None else sums
        time, state = (None, None) if kept is None else kept
        time = None if time is None else jax.lax.stop_gradient(time * direction)
        stiffness = stiffness if _ends_twice(self.solver) else None
        return Measured(error, stiffness, count, time, jax.lax.stop_gradient(state))


def step_estimates(
    solver: diffrax.AbstractSolver, y0: PyTree, y1: PyTree, y_error: PyTree, dense: dict, h: Array, rtol: float, atol: float
) -> tuple[Array, Array | None]:
    r"""Error and stiffness of one step: $E = \text{RMS}(e / (\text{atol} + \max(|y_0|, |y_1|)\,\text{rtol}))$, and
    $S = \|k_s - k_{s-1}\| / \|g_s - g_{s-1}\|$ with the last two stages $g$ and the field $k$ there.

    $S$ is `None` unless both stages stand at the end of the step; where they coincide, it is zero.
    """
    scaled = jax.tree.map(lambda e, a, b: e / (atol + jnp.maximum(jnp.abs(a), jnp.abs(b)) * rtol), y_error, y0, y1)
    error = root_mean_square(scaled)
    if not _ends_twice(solver):
        return error, None
    row = solver.tableau.a_lower[-2]  # pyright: ignore[reportAttributeAccessIssue]
    before = jax.tree.map(
        lambda y, k: y + jnp.tensordot(jnp.asarray(row, k.dtype), k[: len(row)], axes=1), y0, dense["k"]
    )  # k holds the factor h
    rates = root_mean_square(jax.tree.map(lambda k: k[-1] - k[-2], dense["k"]))
    distance = root_mean_square(jax.tree.map(jnp.subtract, y1, before)) * jnp.abs(h)
    return error, jnp.where(distance > 0, rates / jnp.where(distance > 0, distance, 1), 0)


def _ends_twice(solver: diffrax.AbstractSolver) -> bool:
    """Whether the last two stages of an explicit method stand at the end of the step, the last one on the new state."""
    if not isinstance(solver, diffrax.AbstractERK):
        return False
    tableau: Any = solver.tableau
    return bool(tableau.fsal and len(tableau.c) > 1 and tableau.c[-1] == 1 and tableau.c[-2] == 1)
