"""A coefficient from observations of the solution: the most probable one, through any differentiable forward model."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from neuralop_jax._result import MAX_STEPS, NONFINITE, RUNNING, STALLED, SUCCESS, believed
from neuralop_jax._typing import RealField
from neuralop_jax.errors import ConfigError
from neuralop_jax.inverse._coefficients import AbstractCoefficient, Exponential
from neuralop_jax.inverse._line_search import Step, next_length
from neuralop_jax.inverse._priors import AbstractPrior

_FALLEN = 0.1
"""Round-off of the objective is success only if the gradient norm has fallen to this part."""

Observed = Float[Array, "..."]


class History(eqx.Module):
    """The course of an inversion, entry $k$ after $k$ iterations, `(max_steps + 1,)`; NaN behind the last.

    - `objective`: the minimized sum.
    - `misfit`: its first part.
    - `gradient_norm`: the 2-norm of the gradient in the coordinates of the prior.
    - `monitor`: what the monitor said, an array each time or a number; NaN without one.
    """

    objective: Float[Array, " steps"]
    misfit: Float[Array, " steps"]
    gradient_norm: Float[Array, " steps"]
    monitor: Float[Array, "steps *said"]


class Inversion(eqx.Module):
    """What `invert` found.

    - `field`: $m$; that of the last iteration, if it did not succeed; NaN for result 2.
    - `coefficient`: $a$ of this field.
    - `predicted`: the observation of its solution, of the shape of the data.
    - `result`: 0 success; 1 too many steps; 2 not finite at the start; 10 no smaller objective found.
    - `num_steps`: iterations.
    - `num_solves`: evaluations of the objective with its gradient, one forward and one adjoint solve each.
    - `history`: a `History`.
    """

    field: RealField
    coefficient: RealField
    predicted: Observed
    result: Int[Array, ""]
    num_steps: Int[Array, ""]
    num_solves: Int[Array, ""]
    history: History

    @property
    def successful(self) -> Array:
        """Whether the result code is 0."""
        return self.result == SUCCESS

    def or_raise(self) -> "Inversion":
        """This inversion if it succeeded; a `SolverError` with the remedy if not, inside compiled code as a run-time error."""
        found = ""
        if not isinstance(self.result, Tracer):
            found = f" Iterations {int(jnp.max(self.num_steps))}."
        return eqx.tree_at(lambda i: i.field, self, believed(self.field, self.result, found=found))


def invert(
    forward: Callable[[RealField], Array],
    data: Observed,
    observe: Callable[[Array], Array],
    prior: AbstractPrior,
    *,
    noise: Float[Array, "..."] | float,
    coefficient: AbstractCoefficient | None = None,
    start: RealField | None = None,
    monitor: Callable[[RealField], Array] | None = None,
    discrepancy: float | None = None,
    rtol: float = 1e-3,
    max_steps: int = 200,
    memory: int = 10,
    throw: bool = True,
) -> Inversion:
    r"""Minimizes $J(m) = \tfrac12\big|\sigma^{-1}\big(P F(a(m)) - d\big)\big|^2 + R(m)$: the maximum a posteriori estimate.

    $F$ is a solver that is differentiated implicitly, such as `DarcyPressure`, or a trained operator, whose weights stay as they
    are; $P$ are `Sensors`; $d$ are data with independent normal errors of deviation $\sigma$; $R$ is a prior and $a(m)$ keeps the
    coefficient within what the equation admits. The method is L-BFGS in the coordinates of the prior with a line search for the
    weak Wolfe conditions, all in one compiled loop. $J$ never grows. Where the forward model gives NaN the step is halved.

    It ends when the gradient, in the coordinates of the prior, has fallen by `rtol`; by the discrepancy; or when the objective
    has come to round-off, which is success if the gradient has fallen to a tenth, and otherwise, also for a start that is the
    minimum but for round-off, result 10.

    **Arguments:**

    - `forward`: $F$, from a coefficient `(1, *space)` to what is observed, differentiable in reverse mode. Compiled once for the
        same module; a new lambda compiles anew.
    - `data`: $d$, of the shape of the observation.
    - `observe`: $P$.
    - `prior`: $R$, which has the grid of $m$.
    - `noise`: $\sigma > 0$, a number, or one for each datum.
    - `coefficient`: $a(m)$, by default `Exponential()`.
    - `start`: where to start, `(1, *space)`; by default the mean of the prior.
    - `monitor`: a function of $m$ to a number or an array, recorded after each iteration: the error, where the truth is known, or
        the field itself, to see it come.
    - `discrepancy`: stop as soon as the root mean square of the weighted residual is at most this number. *Good values*: `None`
        with a prior that has its right weight; 1.0 to 1.2 with a weak one, where going on would fit the noise (Morozov).
    - `rtol`: the wanted fall of the gradient norm. *Good values*: 1e-3; noise leaves nothing to be found beyond.
    - `max_steps`: iterations at most.
    - `memory`: pairs of vectors from which the curvature is estimated.
    - `throw`: whether to raise unless converged.

    **Returns:** an `Inversion`.

    **Raises:** `ConfigError` for options or shapes that do not fit; `SolverError` if the minimization failed and `throw` is true,
    inside `jax.jit` a run-time error.

    **Source:** Stuart, Acta Numerica 19 (2010), doi:10.1017/S0962492910000061; L-BFGS after Nocedal, Wright, Numerical
    Optimization (2006), algorithm 7.5, from Optax; the line search after Lewis, Overton, Math. Program. 141 (2013), section 3.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.inverse import Sensors, Tikhonov, invert

        grid = Grid((9,))
        x = jnp.asarray(grid.coordinates()[0])[None]
        sensors = Sensors(jnp.asarray([[0.1], [0.5], [0.8]]), grid)
        found = invert(lambda a: a**2, sensors(jnp.exp(2 * x)), sensors, Tikhonov(grid, weight=1e-4), noise=0.01)
        assert jnp.abs(sensors(found.field - x)).max() < 0.02
        ```
    """
    coefficient = Exponential() if coefficient is None else coefficient
    shape = (1, *prior.grid.shape)
    if not eqx.is_inexact_array(data):
        raise ConfigError(f"data must be a floating array, got {getattr(data, 'dtype', type(data).__name__)}.")
    data, start = jnp.asarray(data), None if start is None else jnp.asarray(start)
    if throw and not isinstance(data, Tracer) and not (known := np.isfinite(data)).all():
        where = np.argwhere(~known)
        raise ConfigError(
            f"data must be finite, got {len(where)} of {data.size} numbers that are not, the first at {where[0].tolist()}. Leave "
            "their sensors out."
        )
    if start is not None and (start.shape != shape or start.dtype != data.dtype):
        raise ConfigError(
            f"start must have the shape of the fields of the prior and the type of the data, {shape} {data.dtype}, got "
            f"{start.shape} {start.dtype}."
        )
    if not 0 < rtol < 1 or not all(isinstance(n, int) and n >= 1 for n in (max_steps, memory)):
        raise ConfigError(f"invert needs 0 < rtol < 1, integers max_steps and memory >= 1, got {rtol}, {max_steps} and {memory}.")
    if discrepancy is not None and not discrepancy > 0:
        raise ConfigError(f"discrepancy must be positive, got {discrepancy}. The noise has discrepancy 1.")
    if not isinstance(noise, Tracer) and not ((np.asarray(noise) > 0) & np.isfinite(noise)).all():
        raise ConfigError(
            "noise must be positive and finite: it is the standard deviation of the data, and their weight against the prior."
        )
    if jnp.shape(noise) not in ((), data.shape):
        raise ConfigError(f"noise must be one number or have the shape of the data, {data.shape}, got {jnp.shape(noise)}.")
    m = jnp.broadcast_to(jnp.asarray(prior.mean, data.dtype), shape) if start is None else start
    wanted = eqx.filter_eval_shape(lambda m: observe(forward(coefficient(m))), m).shape
    if data.shape != wanted:
        raise ConfigError(f"data must have the shape of the observation, {wanted}, got {data.shape}.")
    enough = jnp.asarray(0.0 if discrepancy is None else discrepancy, data.dtype)
    noise = jnp.asarray(noise, data.dtype)
    found = _minimize(forward, data, observe, prior, noise, coefficient, m, monitor, enough, rtol, max_steps, memory)
    return found.or_raise() if throw else found


class _State(eqx.Module):
    """Between two evaluations: the last accepted point, and the search from there."""

    w: Array
    value: Array
    gradient: Array
    predicted: Array
    direction: Array
    slope: Array
    step: Step
    curvature: Any
    first_norm: Array
    history: History
    num_steps: Array
    num_solves: Array
    code: Array


@eqx.filter_jit
def _minimize(forward, data, observe, prior, noise, coefficient, m, monitor, enough, rtol, max_steps, memory) -> Inversion:
    """One evaluation of objective and gradient in each turn: of the start in the first, then of a trial step."""
    pairs, eps = optax.scale_by_lbfgs(memory), jnp.finfo(data.dtype).eps
    spread = jnp.broadcast_to(noise, data.shape)

    def objective(w: Array) -> tuple[Array, tuple[Array, Array]]:
        field = prior.field(w)
        predicted = observe(forward(coefficient(field)))
        misfit = 0.5 * jnp.sum(((predicted - data) / spread) ** 2)
        return misfit + prior(field), (misfit, predicted)

    def say(w: Array) -> Array:
        return jnp.asarray(jnp.nan if monitor is None else monitor(prior.field(w)), w.dtype)

    def accept(state: _State, w: Array, value: Array, gradient: Array, misfit: Array, predicted: Array) -> _State:
        step, curvature = pairs.update(gradient, state.curvature, w)
        curvature = jax.tree.map(lambda new, old: new.astype(old.dtype), curvature, state.curvature)
        direction = -jnp.asarray(step, w.dtype)
        slope = jnp.vdot(gradient, direction)
        descends = slope < 0
        direction = jnp.where(descends, direction, -gradient)
        norm = jnp.linalg.norm(gradient)
        slope = jnp.where(descends, slope, -(norm**2))
        first = jnp.where(state.num_steps < 0, norm, state.first_norm)
        done = (norm <= rtol * first) | (2 * misfit <= data.size * enough**2)
        rounded = state.value - value <= 10 * eps * jnp.abs(value)
        count = state.num_steps + 1
        code = jnp.where(rounded, jnp.where(norm <= _FALLEN * first, SUCCESS, STALLED), RUNNING)
        code = jnp.where(done, SUCCESS, jnp.where((code == RUNNING) & (count >= max_steps), MAX_STEPS, code))
        code = code.astype(state.code.dtype)
        past, now = state.history, (value, misfit, norm, say(w))
        kept = (past.objective, past.misfit, past.gradient_norm, past.monitor)
        history = History(*(column.at[count].set(entry) for column, entry in zip(kept, now, strict=True)))
        return _State(
            w, value, gradient, predicted, direction, slope, Step.first(value.dtype), curvature, first, history, count,
            state.num_solves, code,
        )  # fmt: skip

    def reject(state: _State, value: Array, slope: Array) -> _State:
        step = next_length(state.step, state.value, state.slope, value, slope)
        rounded = -state.slope <= jnp.sqrt(eps) * jnp.abs(state.value)  # what a step of length one could gain
        rounded &= jnp.linalg.norm(state.gradient) <= _FALLEN * state.first_norm
        given_up = jnp.where(state.num_steps < 0, NONFINITE, jnp.where(rounded, SUCCESS, STALLED))
        last = step.is_used_up | (state.num_steps < 0)
        code = jnp.where(last, given_up, RUNNING).astype(state.code.dtype)
        return eqx.tree_at(lambda s: (s.step, s.code), state, (step, code))

    def turn(state: _State) -> _State:
        w = state.w + state.step.length * state.direction
        (value, (misfit, predicted)), gradient = jax.value_and_grad(objective, has_aux=True)(w)
        slope = jnp.vdot(gradient, state.direction)
        state = eqx.tree_at(lambda s: s.num_solves, state, state.num_solves + 1)
        finite = jnp.isfinite(value) & jnp.isfinite(gradient).all()
        value = jnp.where(finite, value, jnp.inf)
        return jax.lax.cond(
            finite & state.step.is_enough(state.value, state.slope, value, slope),
            lambda: accept(state, w, value, gradient, misfit, predicted),
            lambda: reject(state, value, slope),
        )

    w = prior.coordinates(m)
    empty, said = (jnp.full((max_steps + 1, *shape), jnp.nan, w.dtype) for shape in ((), jax.eval_shape(say, w).shape))
    infinite, zero, before = jnp.full((), jnp.inf, w.dtype), jnp.zeros((), w.dtype), jnp.asarray(-1)
    state = _State(
        w, infinite, jnp.zeros_like(w), jnp.full_like(data, jnp.nan), jnp.zeros_like(w), zero, Step.first(w.dtype),
        pairs.init(w), zero, History(empty, empty, empty, said), before, before + 1, before,
    )  # fmt: skip
    state = jax.lax.while_loop(lambda state: state.code == RUNNING, turn, state)
    field = jnp.where(state.code == NONFINITE, jnp.nan, prior.field(state.w))
    count = jnp.maximum(state.num_steps, 0)
    return Inversion(field, coefficient(field), state.predicted, state.code, count, state.num_solves, state.history)
