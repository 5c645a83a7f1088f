"""An initial-value problem as a layer."""

import math
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers._horizon import check_horizon
from neuralop_jax.layers._initial_value import Problem, check_rates, solve_problem
from neuralop_jax.layers._measured_solver import step_estimates
from neuralop_jax.layers._ode_solution import ODESolution
from neuralop_jax.layers._solver_choice import ADJOINTS, LargestOf, root_mean_square, solver_of
from neuralop_jax.layers._step_cost import plain

_VISITS = ("uniform", "accepted")


class NeuralODE(eqx.Module):
    r"""The solution of $\dot z = f(t, z, a)$, $z(t_0) = z_0$, at given times, with a vector field that learns.

    Every sample of a `jax.vmap` takes steps of its own. A solve that fails has NaN in all its states and a result code; other
    samples, and in reverse mode the gradients of parameters that all share, do not notice (with `adjoint="direct"` and
    `"forward"`, which serve forward mode, the gradient of a failed solve may be NaN).

    **Arguments:**

    - `field`: `f(t, z, args)` with the shape of `z`: a `VectorField`, an `OperatorField` around any operator of the library, or
      any function, best an `eqx.Module`.
    - `solver`: a name in `EXPLICIT_SOLVERS` or `IMPLICIT_SOLVERS`, or an object of Diffrax. *Good values*: `"tsit5"`;
      `"kvaerno5"` for stiff fields.
    - `rtol`, `atol`: tolerances of the local error.
    - `step`: the length of constant steps, instead of error control.
    - `controller`: step control of Diffrax instead of both.
    - `adjoint`: `"checkpoint"`, exact gradients in logarithmic memory; `"backsolve"`, approximate ones in constant memory;
      `"direct"` and `"forward"`, for forward mode; `"implicit"`, for steady states, without gradient by `z0`; or an object of
      Diffrax.
    - `steady`: end at a steady state, where $|f| < \text{steady}\,(1 + |z|)$ in the norm of the step control; at least 100 times
      the tolerances, below which the noise of the solver hides the state.
    - `event`: an event of Diffrax at which to end.
    - `only_end`: return the last state alone.
    - `batch_axis`: for states that hold many samples, their axis: the error that controls the steps is then the largest of the
      samples' errors. They fail together.
    - `max_steps`: steps after which to give up.

    **Raises:** `ConfigError` for options that are unknown, out of range, or exclude each other.

    **Source:** Chen, Rubanova, Bettencourt, Duvenaud 2018, arXiv:1806.07366.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import NeuralODE

        decay = NeuralODE(lambda t, z, rate: -rate * z, rtol=1e-6, atol=1e-6)
        solution = decay(jnp.ones(2), jnp.linspace(0.0, 1.0, 5), jnp.asarray(2.0))
        assert solution.successful and jnp.allclose(solution.values[-1], jnp.exp(-2), atol=1e-4)
        ```
    """

    field: Callable[..., PyTree]
    solver: str | diffrax.AbstractSolver = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    step: float | None = eqx.field(static=True)
    controller: diffrax.AbstractStepSizeController | None = eqx.field(static=True)
    adjoint: str | diffrax.AbstractAdjoint = eqx.field(static=True)
    steady: float | None = eqx.field(static=True)
    event: diffrax.Event | None = eqx.field(static=True)
    only_end: bool = eqx.field(static=True)
    batch_axis: int | None = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    def __init__(
        self,
        field: Callable[..., PyTree],
        *,
        solver: str | diffrax.AbstractSolver = "tsit5",
        rtol: float = 1e-4,
        atol: float = 1e-5,
        step: float | None = None,
        controller: diffrax.AbstractStepSizeController | None = None,
        adjoint: str | diffrax.AbstractAdjoint = "checkpoint",
        steady: float | None = None,
        event: diffrax.Event | None = None,
        only_end: bool = False,
        batch_axis: int | None = None,
        max_steps: int = 4096,
    ):
        if not callable(field):
            raise ConfigError(
                f"NeuralODE needs a function f(t, z, args), got {type(field).__name__}. Stochastic equations are for NeuralSDE."
            )
        found = solver_of(solver, rtol, atol)
        if isinstance(adjoint, str):
            one_of("adjoint", adjoint, sorted(ADJOINTS), ConfigError)
        _check_options(found, rtol, atol, step, controller, steady, event, batch_axis, max_steps)
        kind = type(_adjoint_of(adjoint))
        if kind is diffrax.ImplicitAdjoint and (steady is None or not only_end):
            raise ConfigError(
                "adjoint='implicit' differentiates a steady state. Set steady, such as steady=1e-3, and only_end=True."
            )
        if kind is diffrax.BacksolveAdjoint and (steady is not None or event is not None):
            raise ConfigError(
                "adjoint='backsolve' cannot end at an event or a steady state. Use adjoint='checkpoint' or 'implicit'."
            )
        self.field, self.solver, self.rtol, self.atol, self.step = field, solver, rtol, atol, step
        self.controller, self.adjoint, self.steady, self.event = controller, adjoint, steady, event
        self.only_end, self.batch_axis, self.max_steps = only_end, batch_axis, max_steps

    def __call__(
        self,
        z0: PyTree[Array],
        ts: Array,
        args: Any = None,
        *,
        measure: bool = False,
        visit: str | None = None,
        key: PRNGKey | None = None,
    ) -> ODESolution:
        """The states at the times `ts`, of which the first is that of `z0`.

        **Arguments:**

        - `z0`: the start, an array or several in a tree.
        - `ts`: at least two times that increase or decrease.
        - `args`: what the field reads besides time and state: parameters, a control. Where `args` or the field hold a `Control`
          or a path of Diffrax, it must cover the times; stages of implicit solvers that lie beyond hold its end.
        - `measure`: sum the local error and the stiffness over the solve, for regularization.
        - `visit`: keep the state at a random time: `"uniform"`, or `"accepted"` for the start of one of the steps; needs a `key`.

        **Returns:** an `ODESolution`.

        **Raises:** `ModelInputError` for wrong types and shapes, of what the field returns too; where their values are known, for
        times that are out of order or coincide in the type of the state, and for controls that end before the last one. Where
        they are not known, result codes 9 and 2.
        """
        check_state(z0)
        ts = check_times(ts, z0)
        self._check_axis(z0)
        if self.steady is None and self.event is None:
            check_horizon((self.field, args), ts)
        if visit is not None:
            one_of("visit", visit, _VISITS, ModelInputError)
            if key is None:
                raise ModelInputError("NeuralODE got visit without a key. Give key=jax.random.key(...).")
        if (measure or visit) and isinstance(self._adjoint(), diffrax.ImplicitAdjoint):
            raise ModelInputError(
                "adjoint='implicit' sees the steady state alone: nothing on the way can be measured. Use another."
            )
        if measure and not isinstance(self._solver(), diffrax.AbstractAdaptiveSolver):
            raise ModelInputError(f"measure needs a solver that estimates its error, got {self.solver!r}. Use 'tsit5'.")
        if measure and isinstance(self._adjoint(), diffrax.BacksolveAdjoint):
            raise ModelInputError(
                "measured sums have no gradient under adjoint='backsolve'. Use 'checkpoint', or local estimates."
            )
        options = self._problem(measure, visit)
        return solve_problem(options, diffrax.ODETerm, self.field, z0, ts, args, key=key if visit else None)

    def local_estimates(
        self, t: Float[Array, ""], z: PyTree[Array], end: Float[Array, ""], args: Any = None
    ) -> tuple[Float[Array, ""], Float[Array, ""] | None]:
        """Scaled error times the step's length, and stiffness, of one automatic first step from state `z` at time `t`.

        It is differentiable by the parameters of the field whatever the adjoint is.

        **Arguments:**

        - `t`, `z`: a point of the solution.
        - `end`: the last time of the solve, which the step does not pass.
        - `args`: as in a call.

        **Returns:** $E h$ and $S$ as in `Measured`; `None` for $S$ with a solver that does not show it.

        **Raises:** `ModelInputError` for a solver that does not estimate its error.

        **Source:** Pal, Edelman, Rackauckas 2023, arXiv:2303.02262.
        """
        solver, terms = self._solver(), diffrax.ODETerm(self.field)
        if not isinstance(solver, diffrax.AbstractAdaptiveSolver):
            raise ModelInputError(f"local estimates need a solver that estimates its error, got {self.solver!r}. Use 'tsit5'.")
        check_rates(eqx.filter_eval_shape(self.field, t, z, args), z)
        first = diffrax.PIDController(self.rtol, self.atol, norm=self._norm())
        after, _ = first.init(terms, t, end, z, None, args, solver.func, solver.error_order(terms))
        length = jax.lax.stop_gradient(jnp.minimum(after - t, jnp.abs(end - t)))
        after = t + jnp.sign(end - t) * length
        state = solver.init(terms, t, after, z, args)
        z1, error, dense, _, _ = solver.step(terms, t, after, z, args, state, made_jump=False)
        estimate, stiffness = step_estimates(solver, z, z1, plain(error), dense, length, self.rtol, self.atol)
        return estimate * length, stiffness

    def _check_axis(self, z0: PyTree[Array]) -> None:
        axis, shapes = self.batch_axis, [jnp.shape(leaf) for leaf in jax.tree.leaves(z0)]
        if axis is not None and (any(not -len(s) <= axis < len(s) for s in shapes) or len({s[axis] for s in shapes}) > 1):
            raise ModelInputError(f"batch_axis={axis} must be an axis of the samples in all of the state, got shapes {shapes}.")

    def _solver(self) -> diffrax.AbstractSolver:
        return solver_of(self.solver, self.rtol, self.atol)

    def _adjoint(self) -> diffrax.AbstractAdjoint:
        return _adjoint_of(self.adjoint)

    def _norm(self) -> Callable[[PyTree], Array]:
        return root_mean_square if self.batch_axis is None else LargestOf(self.batch_axis)

    def _problem(self, measure: bool, visit: str | None) -> Problem:
        return Problem(
            solver=self._solver(),
            rtol=self.rtol,
            atol=self.atol,
            step=self.step,
            controller=self.controller,
            adjoint=self._adjoint(),
            norm=self._norm(),
            steady=self.steady,
            event=self.event,
            only_end=self.only_end,
            max_steps=self.max_steps,
            measure=measure,
            visit=visit,
        )


def is_number(value: Any) -> bool:
    """Whether an option is a finite number."""
    return isinstance(value, int | float | np.number) and math.isfinite(value)


def _adjoint_of(adjoint: str | diffrax.AbstractAdjoint) -> diffrax.AbstractAdjoint:
    return ADJOINTS[adjoint]() if isinstance(adjoint, str) else adjoint


def _check_options(
    solver: diffrax.AbstractSolver,
    rtol: float,
    atol: float,
    step: float | None,
    controller: diffrax.AbstractStepSizeController | None,
    steady: float | None,
    event: diffrax.Event | None,
    batch_axis: int | None,
    max_steps: int,
) -> None:
    """Raises `ConfigError` for options of a `NeuralODE` that are out of range or exclude each other."""
    if not (is_number(rtol) and is_number(atol) and rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise ConfigError(
            f"NeuralODE needs tolerances of which one is positive and none infinite, got rtol={rtol!r}, atol={atol!r}."
        )
    if not isinstance(max_steps, int) or max_steps < 1:
        raise ConfigError(f"max_steps must be a whole number of at least 1, got {max_steps!r}.")
    if step is not None and not (is_number(step) and step > 0):
        raise ConfigError(f"step must be positive, got {step!r}. The order of the times says in which direction to go.")
    if steady is not None and not (is_number(steady) and steady > 0):
        raise ConfigError(f"steady must be a positive number, got {steady!r}.")
    if batch_axis is not None and not isinstance(batch_axis, int):
        raise ConfigError(f"batch_axis must be the number of an axis, got {batch_axis!r}.")
    if step is not None and controller is not None:
        raise ConfigError("NeuralODE takes step or controller, got both. Leave one out.")
    if step is None and controller is None and not isinstance(solver, diffrax.AbstractAdaptiveSolver):
        name = type(solver).__name__
        raise ConfigError(f"{name} does not estimate its error, so that it needs constant steps. Give step=..., or use 'tsit5'.")
    if steady is not None and event is not None:
        raise ConfigError("NeuralODE takes steady or event, got both. Put the condition of the steady state into the event.")
    if steady is not None and not steady >= 100 * max(rtol, atol) * (1 - 1e-9) and step is None:
        raise ConfigError(
            f"steady={steady} is below 100 times the tolerances, rtol={rtol} and atol={atol}: the noise of the solver would hide "
            "the steady state. Raise steady, or lower both."
        )
    if batch_axis is not None and (step is not None or controller is not None):
        raise ConfigError(
            "batch_axis is for the norm of the step control by rtol and atol. Leave it out, with step or controller."
        )


def check_state(z0: PyTree, name: str = "the start of a differential equation") -> None:
    """Raises `ModelInputError` unless every leaf is a real floating array."""
    leaves = jax.tree.leaves(z0)
    for leaf in leaves:
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
            found = type(leaf).__name__ if dtype is None else dtype
            raise ModelInputError(f"{name} must be real floating arrays, got {found}. Cast it.")
    if not leaves:
        raise ModelInputError(f"{name} holds no arrays.")


def check_times(ts: Any, z0: PyTree[Array]) -> Array:
    """The times; `ModelInputError` unless they are a vector of two or more, in order as far as their values are known.

    They must differ in the type in which they are computed with, that of the state.
    """
    if not hasattr(ts, "shape") or len(ts.shape) != 1 or ts.shape[0] < 2 or not jnp.issubdtype(ts.dtype, jnp.floating):
        found = f"{ts.dtype} {tuple(ts.shape)}" if hasattr(ts, "shape") else repr(ts)
        raise ModelInputError(f"times must be a floating vector of two or more, the first that of the start, got {found}.")
    if not isinstance(ts, Tracer):
        if not _in_order(np.asarray(ts, float)):
            raise ModelInputError(
                f"times must increase or decrease, got {np.asarray(ts).tolist()}. Sort them, drop repeated ones."
            )
        dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(z0))
        if not _in_order(np.asarray(ts).astype(dtype)):
            raise ModelInputError(
                f"times coincide in {dtype}, the type of the state, got {np.asarray(ts).tolist()}. Count them from a nearer "
                "origin, or give a float64 state."
            )
    return jnp.asarray(ts)


def _in_order(times: np.ndarray) -> bool:
    gaps = np.diff(times)
    return bool((gaps > 0).all() or (gaps < 0).all())
