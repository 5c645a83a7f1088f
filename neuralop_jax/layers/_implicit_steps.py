"""Implicit Runge-Kutta steps that form no Jacobian, neither in the step nor in its derivative, and that tell what they cost."""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree

from neuralop_jax.implicit import GCR, implicit_root
from neuralop_jax.implicit._arguments import stopped
from neuralop_jax.layers._step_cost import Cost, Costed

_INEXACT = 1e-3
"""To this part of its residual the linear system of a Newton step is solved."""

_ACCURACY = 1e-2
"""The error of a stage, in units of the tolerance."""

_MAX_NEWTON_STEPS = 10

_EULER = diffrax.ButcherTableau(
    c=np.array([1.0]),
    b_sol=np.array([0.0, 1.0]),
    b_error=np.array([-0.5, 0.5]),
    a_lower=(np.array([0.0]),),
    a_diagonal=np.array([0.0, 1.0]),
    a_predictor=(np.array([1.0]),),
)
"""The implicit Euler method; its distance from the trapezoidal rule is the estimate of the error."""


class ImplicitSteps(diffrax.AbstractAdaptiveSolver[None]):
    r"""A diagonally implicit method of Diffrax, each stage $y = b + \gamma h f(t, y)$ found by Newton's method with `GCR`.

    Steps of Diffrax itself are differentiated by a dense Jacobian of $f$, whatever finds their stages. Here derivatives are those
    of the stages by the implicit function theorem, by products with vectors alone. The error estimate is a `Costed` one.

    **Arguments:**

    - `method`: `diffrax.ImplicitEuler()`, or a method of one diagonal coefficient with an explicit first stage.
    - `rtol`, `atol`: of the local error; stages are found to a hundredth of them.
    """

    method: diffrax.AbstractSolver
    rtol: float
    atol: float

    term_structure: ClassVar = diffrax.AbstractTerm

    @property
    def interpolation_cls(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.method.interpolation_cls

    def order(self, terms: Any) -> Any:
        return self.method.order(terms)

    def error_order(self, terms: Any) -> Any:
        return self.method.error_order(terms)

    def func(self, terms: Any, t0: Any, y0: PyTree, args: Any) -> PyTree:
        return terms.vf(t0, y0, args)

    def init(self, terms: Any, t0: Any, t1: Any, y0: PyTree, args: Any) -> None:
        return None

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: PyTree, args: Any, solver_state: None, made_jump: Any
    ) -> tuple[PyTree, Costed, dict[str, Any], None, diffrax.RESULTS]:
        start, unravel = ravel_pytree(y0)
        control, one_stage = terms.contr(t0, t1), isinstance(self.method, diffrax.ImplicitEuler)
        tableau: Any = _EULER if one_stage else self.method.tableau  # pyright: ignore[reportAttributeAccessIssue]
        lower, guesses = (_square(rows, start.dtype) for rows in (tableau.a_lower, tableau.a_predictor))
        gamma = jnp.asarray(tableau.a_diagonal[1], start.dtype)
        times = jnp.where(tableau.c == 1, t1, t0 + tableau.c.astype(lower.dtype) * (t1 - t0))

        def rate(t: Array, y: Array) -> Array:
            """$h f$."""
            return ravel_pytree(terms.vf_prod(t, unravel(y), args, control))[0].astype(start.dtype)

        def stage(carry: tuple[Array, Cost, Array], now: tuple[Array, ...]) -> tuple[tuple[Array, Cost, Array], None]:
            rates, cost, found = carry
            index, t, row, guess = now
            base = start + row @ rates
            residual = lambda y, base, t: y - base - gamma * rate(t, y)
            first = jax.lax.stop_gradient(base + gamma * (guess @ rates))
            still = stopped(eqx.filter_closure_convert(residual, first, base, t))
            near, spent, converged = _newton(lambda y: still(y, *stopped((base, t))), first, self.rtol, self.atol)
            # A stage that was not found is of a step that is rejected: anything finite, so that no derivative there is NaN.
            y = implicit_root(residual, jnp.where(converged, near, first), base, t, throw=False)
            return (rates.at[index].set((y - base) / gamma), cost + spent, found & converged), None

        size = len(tableau.b_sol)
        rates = jnp.zeros((size, *start.shape), start.dtype).at[0].set(rate(t0, start))
        carry = rates, Cost(jnp.ones((), int), jnp.zeros((), int)), jnp.asarray(True)
        (rates, cost, found), _ = jax.lax.scan(stage, carry, (jnp.arange(1, size), times, lower, guesses))
        y1 = unravel(start + jnp.asarray(tableau.b_sol, start.dtype) @ rates)
        error = jnp.where(found, jnp.asarray(tableau.b_error, start.dtype) @ rates, jnp.inf)
        dense = {"y0": y0, "y1": y1}
        if not one_stage:
            dense["k"] = jax.vmap(unravel)(rates)
        known: Any = diffrax.RESULTS
        result = known.where(found, known.successful, known.nonlinear_max_steps_reached)
        return y1, Costed(unravel(error), cost), dense, None, result


def _square(rows: Any, dtype: Any) -> Array:
    """The rows of a lower triangle, the first of which is empty and left out, filled up with zeros."""
    size = len(rows) + 1
    return jnp.asarray(np.stack([np.pad(row, (0, size - len(row))) for row in rows]), dtype)


def _newton(
    residual: Callable[[Array], Array], y: Float[Array, " unknowns"], rtol: float, atol: float
) -> tuple[Float[Array, " unknowns"], Cost, Bool[Array, ""]]:
    """The root near `y`, what it costs, and whether the iteration converged, to a part of the tolerance or to rounding errors."""
    solver, rtol = GCR(rtol=_INEXACT, max_steps=200), max(rtol, 1e3 * float(jnp.finfo(y.dtype).eps))
    structure, first = jax.eval_shape(lambda: y), jnp.abs(y)

    def step(carry: tuple) -> tuple:
        y, before, cost, _, _ = carry
        value, push = jax.linearize(residual, y)
        change, _, stats = solver.compute(lx.FunctionLinearOperator(push, structure), value, {})
        y = y - change
        unit = atol + rtol * jnp.maximum(first, jnp.abs(y)) + jnp.finfo(y.dtype).tiny
        size = jnp.max(jnp.abs(change) / unit, initial=0)
        rate = size / before  # zero in the first step
        converged = (size <= _ACCURACY) | ((rate > 0) & (rate < 1) & (size * rate <= _ACCURACY * (1 - rate)))
        spent = Cost(jnp.ones((), int), jnp.asarray(stats["num_steps"], int))
        return y, size, cost + spent, converged, jnp.isfinite(size) & (rate <= 2)

    def going(carry: tuple) -> Array:
        _, _, cost, converged, coming = carry
        return ~converged & coming & (cost.evaluations < _MAX_NEWTON_STEPS)

    none = Cost(jnp.zeros((), int), jnp.zeros((), int))
    begin = y, jnp.full((), jnp.inf, y.dtype), none, jnp.asarray(False), jnp.asarray(True)
    y, _, cost, converged, coming = jax.lax.while_loop(going, step, begin)
    return y, cost, converged & coming
