"""Neural controlled differential equations: recurrent networks in continuous time, driven by a series of observations."""

from typing import Any, Final

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from neuralop_jax._checks import one_of
from neuralop_jax._result import MAX_STEPS, NONFINITE, SUCCESS, believed
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers._control import Control, rate
from neuralop_jax.layers._mlp import MLP
from neuralop_jax.layers._pointwise import Pointwise
from neuralop_jax.layers._solver_choice import ADJOINTS, EXPLICIT_SOLVERS, cost_of, root_mean_square
from neuralop_jax.layers._step_cost import Counting

_ADJOINTS: Final = tuple(sorted(set(ADJOINTS) - {"implicit"}))


class CDEState(eqx.Module):
    """Where a neural CDE stands: the hidden state, the result code and the number of evaluations of the field so far."""

    z: Float[Array, " width"]
    result: Int[Array, ""]
    num_evaluations: Int[Array, ""]


class CDESolution(eqx.Module):
    """What a neural CDE returns.

    - `values`: `(out_channels,)` at the end, or `(observations, out_channels)`; NaN from the first failure on.
    - `state`: at the end, from which `NeuralCDE.advance` goes on.
    - `result`: 0, or the code of the first failure.
    - `num_evaluations`: evaluations of the vector field, forward.
    """

    values: Float[Array, "..."]
    state: CDEState
    result: Int[Array, ""]
    num_evaluations: Int[Array, ""]


class NeuralCDE(eqx.Module):
    r"""$z(t_0) = \zeta(X(t_0))$, $\mathrm dz = f(z)\, \mathrm dX$ along a `Control` $X$, and an affine readout of $z$.

    $\zeta$ is affine; $f$ is a network with a final tanh whose values are `(width, in_channels)` matrices. Each piece of the
    control, on which $X$ is smooth, is one solve by Diffrax, so that steps never cross a kink, and what comes out at an
    observation is the same, bit by bit, whatever the control does later. Only the path of $X$ matters, not its speed.

    **Arguments:**

    - `in_channels`: of the control: `control_channels(values, count_weight)`.
    - `out_channels`: of the readout.
    - `width`: of $z$.
    - `hidden`: widths of the hidden layers of $f$.
    - `activation`: between the layers of $f$.
    - `solver`: a name in `EXPLICIT_SOLVERS`.
    - `steps`: equal steps on each piece; `None` chooses them by the tolerances. *Good values*: 1 with `"heun"` for training.
    - `rtol`, `atol`: tolerances of the local error, where the steps are chosen.
    - `max_steps`: steps on a piece after which to give up.
    - `adjoint`: how gradients are made. `"checkpoint"`: reverse mode through the steps, in little memory. `"direct"`: both
        modes, in more memory. `"forward"`: forward mode only. `"backsolve"`: the adjoint equation, piece by piece, in the least
        memory, exact up to the tolerances.
    - `readout`: `"end"`, or `"all"` for the values at every observation.
    - `key`: initial weights.

    **Raises:** `ConfigError` for an unknown name, a size that is not positive, or steps that a solver cannot choose.

    **Source:** Kidger et al. 2020, arXiv:2005.08926, equations 4 and 5. Differs in where the steps end: always at observations.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import NeuralCDE, control

        times, values = jnp.asarray([0.0, 0.2, 1.0]), jnp.asarray([[0.0], [jnp.nan], [6.0]])
        cde = NeuralCDE(in_channels=2, out_channels=3, width=8, hidden=(16,), key=jax.random.key(0))
        solution = cde(control(times, values))
        assert solution.values.shape == (3,) and solution.num_evaluations == 4
        ```
    """

    initial: Pointwise
    field: "_Field"
    final: Pointwise
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    solver: str = eqx.field(static=True)
    steps: int | None = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)
    readout: str = eqx.field(static=True)

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        hidden: tuple[int, ...] = (32,),
        activation: str = "silu",
        solver: str = "heun",
        steps: int | None = 1,
        rtol: float = 1e-3,
        atol: float = 1e-5,
        max_steps: int = 256,
        adjoint: str = "checkpoint",
        readout: str = "end",
        key: PRNGKey,
    ):
        check_solve(solver, steps, rtol, atol, max_steps, adjoint, readout)
        for name, size in (("in_channels", in_channels), ("out_channels", out_channels), ("width", width)):
            if size < 1:
                raise ConfigError(f"{name} must be at least 1, got {size}.")
        keys = jax.random.split(key, 3)
        self.initial = Pointwise(in_channels, width, key=keys[0])
        self.field = _Field((width, *hidden, width * in_channels), activation, key=keys[1])
        self.final = Pointwise(width, out_channels, key=keys[2])
        self.in_channels, self.out_channels, self.width = in_channels, out_channels, width
        self.solver, self.steps, self.rtol, self.atol = solver, steps, rtol, atol
        self.max_steps, self.adjoint, self.readout = max_steps, adjoint, readout

    def __call__(self, control: Control, *, throw: bool = True) -> CDESolution:
        """The readout along a control.

        **Arguments:**

        - `control`: of `in_channels` channels.
        - `throw`: raise for a failed solve, instead of NaN and a result code.

        **Raises:** `ModelInputError` for a control of other channels; `SolverError`, or in compiled code a run-time error, if
        `throw`.
        """
        start = self.begin(control.values[0])
        pieces = control.coefficients.reshape(-1, control.per_observation, *control.coefficients.shape[1:])
        end, zs = jax.lax.scan(lambda state, some: (lambda new: (new, new.z))(self._along(state, some)), start, pieces)
        values = self._read(end.z if self.readout == "end" else jnp.concatenate([start.z[None], zs]).T)
        values = values if self.readout == "end" else values.T
        values = believed(values, end.result) if throw else values
        return CDESolution(values, end, end.result, end.num_evaluations)

    def begin(self, value: Float[Array, " channels"]) -> CDEState:
        """The state at the first observation, where the control has this `value`: `StreamState.value`.

        **Raises:** `ModelInputError` for a control of other channels.
        """
        if len(value) != self.in_channels:
            raise ModelInputError(
                f"NeuralCDE was built for controls of {self.in_channels} channels (time, values, counts), got {len(value)}. "
                "Build it with in_channels=control_channels(values, count_weight)."
            )
        known = jnp.isfinite(value).all()
        z = self.initial(jnp.where(known, value, 0))
        finite = known & jnp.isfinite(z).all()
        return CDEState(jnp.where(finite, z, jnp.nan), jnp.where(finite, SUCCESS, NONFINITE), jnp.asarray(0))

    def advance(self, state: CDEState, pieces: Float[Array, "pieces 3 channels"], *, throw: bool = True) -> CDEState:
        """The state behind the next pieces of a control, as `ControlStream.extend` gives them.

        **Raises:** `SolverError`, or in compiled code a run-time error, for a failed solve, if `throw`; else its state is NaN.
        """
        new = self._along(state, pieces)
        return eqx.tree_at(lambda s: s.z, new, believed(new.z, new.result)) if throw else new

    def read(self, state: CDEState) -> Float[Array, " out_channels"]:
        """The readout of a state."""
        return self._read(state.z)

    def _read(self, z: Float[Array, "width *times"]) -> Float[Array, "out_channels *times"]:
        """The readout, NaN where the state is: the NaN stays out of the product, which would carry it into gradients."""
        finite = jnp.isfinite(z).all(axis=0, keepdims=True)
        return jnp.where(finite, self.final(jnp.where(finite, z, 0)), jnp.nan)

    def _along(self, state: CDEState, pieces: Float[Array, "pieces 3 channels"]) -> CDEState:
        for piece in pieces:
            state = self._solve(state, piece)
        return state

    def _solve(self, state: CDEState, piece: Float[Array, "3 channels"]) -> CDEState:
        """The state at the end of a piece; what has failed stays NaN, and rests meanwhile so that it costs no steps."""
        finite, time = jnp.isfinite(piece).all(), lambda r: jnp.asarray(r, state.z.dtype)
        alive = (state.result == SUCCESS) & finite
        adaptive: Any = diffrax.PIDController(rtol=self.rtol, atol=self.atol)
        solver, controller = EXPLICIT_SOLVERS[self.solver](), adaptive if self.steps is None else diffrax.ConstantStepSize()
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(self.field),
            solver,
            time(0),
            time(1),
            time(1 / (self.steps or 1)),
            jnp.where(alive, state.z, 0),
            jnp.where(alive, piece, 0),
            saveat=diffrax.SaveAt(t1=True, controller_state=True),
            stepsize_controller=Counting(controller=controller, rtol=self.rtol, atol=self.atol, norm=root_mean_square),
            adjoint=ADJOINTS[self.adjoint](),
            max_steps=self.steps or self.max_steps,
            throw=False,
        )
        z = jnp.asarray(found.ys)[0]
        solved = found.result == diffrax.RESULTS.successful
        gave_up = jnp.where(found.result == diffrax.RESULTS.max_steps_reached, MAX_STEPS, NONFINITE)
        code = jnp.where(solved, jnp.where(jnp.isfinite(z).all(), SUCCESS, NONFINITE), gave_up)
        result = jnp.where(state.result == SUCCESS, jnp.where(finite, code, NONFINITE), state.result)
        counted: Any = found.controller_state
        number, _ = cost_of(solver, jnp.asarray(found.stats["num_steps"]), counted[1])
        assert number is not None  # as explicit solvers tell
        return CDEState(jnp.where(result == SUCCESS, z, jnp.nan), result, state.num_evaluations + number)


class _Field(eqx.Module):
    r"""$f(z)\, X'(r)$ on a piece of the control, by its coefficients."""

    network: MLP

    def __init__(self, sizes: tuple[int, ...], activation: str, *, key: PRNGKey):
        self.network = MLP(sizes, activations=(*(activation,) * (len(sizes) - 2), "tanh"), key=key)

    def __call__(self, r: Any, z: Float[Array, " width"], piece: Float[Array, "3 channels"]) -> Float[Array, " width"]:
        return (self.network(z).reshape(len(z), -1) * rate(piece, r)[None]).sum(axis=1)


def check_solve(solver: str, steps: int | None, rtol: float, atol: float, max_steps: int, adjoint: str, readout: str) -> None:
    """Raises `ConfigError` unless a solver of that name can take such steps, and the other names are known."""
    one_of("solver", solver, EXPLICIT_SOLVERS, ConfigError)
    one_of("adjoint", adjoint, _ADJOINTS, ConfigError)
    one_of("readout", readout, ("end", "all"), ConfigError)
    if steps is None and not issubclass(EXPLICIT_SOLVERS[solver], diffrax.AbstractAdaptiveSolver):
        raise ConfigError(f"solver {solver!r} estimates no error to choose steps by. Give a number of steps, or use 'heun'.")
    for name, number in (("steps", steps), ("max_steps", max_steps)):
        if number is not None and number < 1:
            raise ConfigError(f"{name} must be at least 1, got {number}.")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not 0 < tolerance < float("inf"):
            raise ConfigError(f"{name} must be positive, got {tolerance!r}.")
