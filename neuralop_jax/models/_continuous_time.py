"""A trajectory as the solution of a differential equation whose right-hand side is an operator."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Inexact

from neuralop_jax._checks import one_of
from neuralop_jax._typing import Fields, OutputFields, PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import EXPLICIT_SOLVERS, IMPLICIT_SOLVERS, NeuralODE, ODESolution, OperatorField, augmented
from neuralop_jax.models._base import AbstractOperator
from neuralop_jax.models._batched import apply_batched, automatic_micro_batch
from neuralop_jax.models._normalized import Normalized
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import OperatorSpec, check_counts, check_sizes
from neuralop_jax.models._resolution import ResolutionClaim
from neuralop_jax.models._trajectory import AbstractTrajectoryOperator, build_step, check_kept, check_times

_ADJOINTS = ("checkpoint", "direct", "backsolve")


class ContinuousTime(AbstractTrajectoryOperator):
    r"""The states at several times of $\dot u = N(u)$ with an operator $N$ as the right-hand side, solved by Diffrax.

    A neural partial differential equation by the method of lines: it has a state at every time, and refines in space as its
    operator does. `Autoregressive` has the same call and takes equal steps instead. A solve that fails returns NaN, never a state
    at another time; `solve` says why. Where samples that were computed together fail, each is solved by itself, so that only
    those are NaN that fail alone; in training, that is with a key, all are.

    **Arguments:** (keyword-only; all but `key` make the model's `spec_of`)

    - `in_channels`: channels of a state; `out_channels`: those of all states that are returned, filled in from the data.
    - `operator`: the specification of $N$, as for `models.build`; `[model.operator]` in a configuration.
    - `times`: times of the states that are returned, counted from the input, increasing; filled in from the data.
    - `augmented_channels`: channels that start at zero, go along with the state and are not returned. With as many as the state
      has, every map from start to end has paths that a solver follows in few steps, and `loss.penalty` can find them.
    - `solver`: a name in `layers.EXPLICIT_SOLVERS` or `IMPLICIT_SOLVERS`.
    - `rtol`, `atol`: tolerances of the local error. Samples that are computed together share their steps, and the largest of
      their errors controls them: within the tolerance, an output depends on its companions.
    - `time_step`: the length of constant steps instead. *Good for* training: the same cost in every step of the optimizer.
    - `adjoint`: `"checkpoint"`, exact gradients in little memory; `"direct"`, also in forward mode; `"backsolve"`, approximate
      gradients in constant memory.
    - `max_steps`: steps after which to give up.
    - `num_dims`: number of space axes, where `operator` leaves it open.
    - `key`: initial weights of $N$.

    **Raises:** `ConfigError` for options that do not fit, also those of `operator`, or if $N$ changes the grid.

    **Source:** Chen, Rubanova, Bettencourt, Duvenaud 2018, arXiv:1806.07366, with an operator as the vector field; augmentation:
    Dupont, Doucet, Teh 2019, arXiv:1904.01681.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.models import ContinuousTime

        inner = {"kind": "fno", "n_modes": [8], "width": 8, "depth": 1}
        options = {"operator": inner, "times": (0.5, 1.0), "time_step": 0.25}
        model = ContinuousTime(in_channels=1, out_channels=2, **options, key=jax.random.key(0))
        u = jnp.ones((1, 16))
        assert jnp.allclose(model(u)[1], model.at_times((1.0,))(u)[0]) and model.solve(u).successful
        ```
    """

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    times: tuple[float, ...] = eqx.field(static=True)
    augmented_channels: int = eqx.field(static=True)
    solver: str = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    time_step: float | None = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    inner: AbstractGridOperator

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        operator: OperatorSpec,
        times: Sequence[int | float],
        augmented_channels: int = 0,
        solver: str = "tsit5",
        rtol: int | float = 1e-4,
        atol: int | float = 1e-5,
        time_step: int | float | None = None,
        adjoint: str = "checkpoint",
        max_steps: int = 1000,
        num_dims: int | None = None,
        key: PRNGKey,
    ):
        self.times = check_times(times, in_channels, out_channels)
        one_of("solver", solver, sorted((*EXPLICIT_SOLVERS, *IMPLICIT_SOLVERS)), ConfigError)
        one_of("adjoint", adjoint, _ADJOINTS, ConfigError)
        check_sizes(max_steps=max_steps)
        check_counts(augmented_channels=augmented_channels)
        self.inner = build_step(operator, in_channels + augmented_channels, num_dims, key=key)
        self.augmented_channels = augmented_channels
        self.in_channels, self.out_channels, self.num_dims = in_channels, out_channels, self.inner.num_dims
        self.solver, self.adjoint, self.max_steps = solver, adjoint, max_steps
        self.rtol, self.atol, self.time_step = float(rtol), float(atol), None if time_step is None else float(time_step)
        self.layer(batched=False)  # which refuses what does not fit together
        if self.time_step is not None and self.times[-1] > self.time_step * max_steps:
            raise ConfigError(
                f"time_step {self.time_step:g} comes to {self.time_step * max_steps:g} in max_steps={max_steps}, the last time "
                f"is {self.times[-1]:g}. Use a max_steps of {math.ceil(self.times[-1] / self.time_step)}."
            )

    @property
    def resolution(self) -> ResolutionClaim:
        """That of the operator inside, up to the tolerance of the solver."""
        inner = self.inner.resolution
        return inner if inner.kind == "none" else ResolutionClaim("converges", f"{inner.reason}; steps of the solver")

    def frames(
        self,
        u: Inexact[Array, "channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "frames channels *batch_space"]:
        """The states at `times`, for one sample or for several; a `key` says that it is in training, nothing is drawn."""
        solution = self.solve(u, p)
        if key is not None or u.ndim == self.num_dims + 1:
            return solution.values
        alone = jax.vmap(lambda u, p: self.solve(u, p).values, in_axes=(1, None if p is None else 0), out_axes=2)
        return jax.lax.cond(solution.successful, lambda: solution.values, lambda: alone(u, p))

    def solve(
        self,
        u: Inexact[Array, "channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
    ) -> ODESolution:
        """The states at `times`, `(frames, channels, *batch_space)`, with the result code and the cost of one solve for all."""
        z0 = self.start(u)
        check_kept(z0.shape, eqx.filter_eval_shape(self.inner.evaluate, z0, p).shape)
        layer = self.layer(batched=u.ndim == self.num_dims + 2)
        return self.returned(layer(z0, self.solve_times(u.dtype), p))

    def start(self, u: Inexact[Array, "channels *batch_space"]) -> Inexact[Array, "augmented *batch_space"]:
        """Where a solve starts: the input with the augmented channels."""
        return augmented(u, self.augmented_channels)

    def solve_times(self, dtype: DTypeLike) -> Float[Array, " times"]:
        """The times of a solve: 0, where the input is, and `times`."""
        return jnp.asarray(self.times if self.times[0] == 0 else (0.0, *self.times), jnp.promote_types(dtype, jnp.float32))

    def returned(self, solution: ODESolution) -> ODESolution:
        """Of a solve from `start` at `solve_times`, the states at `times` without the augmented channels."""
        last = len(self.times)
        kept = (solution.values[-last:, : self.in_channels], solution.times[-last:])
        return eqx.tree_at(lambda s: (s.values, s.times), solution, kept)

    def layer(self, *, batched: bool) -> NeuralODE:
        """The initial-value problem, for one sample or for many behind the channels."""
        adaptive = self.time_step is None
        return NeuralODE(
            OperatorField(self.inner, batched=True),  # that is, by `evaluate`, which takes one sample, too
            solver=self.solver,
            rtol=self.rtol,
            atol=self.atol,
            step=self.time_step,
            adjoint=self.adjoint,
            batch_axis=1 if batched and adaptive else None,
            max_steps=self.max_steps,
        )


def apply_counted(operator: AbstractOperator, u: Fields) -> tuple[OutputFields, Float[Array, " batch"] | None]:
    """What `apply_batched` returns, and how often the right-hand side was evaluated for each sample; NaN where the solve fails.

    Each sample of a `ContinuousTime` operator is solved by itself, with steps of its own: what is returned depends on no other
    sample, and is what `apply_batched` returns up to the tolerance.

    **Arguments:**

    - `operator`: any one that reads no parameters `p`, also in physical units.
    - `u`: samples as for `operator.batched`, `(batch, channels, *space)`.

    **Returns:** the outputs, and `(batch,)` numbers, or `None` for operators other than `ContinuousTime`.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.models import ContinuousTime, apply_counted

        inner = {"kind": "fno", "n_modes": [4], "width": 4, "depth": 1}
        options = {"operator": inner, "times": (1.0,), "solver": "heun", "time_step": 0.25}
        model = ContinuousTime(in_channels=1, out_channels=1, **options, key=jax.random.key(0))
        outputs, cost = apply_counted(model, jnp.ones((3, 1, 8)))
        assert outputs.shape == (3, 1, 8) and cost.tolist() == [8, 8, 8]  # two in each of four steps
        ```
    """
    model, normalized = (operator.model, operator) if isinstance(operator, Normalized) else (operator, None)
    if not isinstance(model, ContinuousTime):
        return apply_batched(operator, u), None
    operator.check(u, None, None, None, batched=True)

    def each(u: Array) -> tuple[Array, Array]:
        solution = model.solve(u if normalized is None else normalized.input.normalize(u))
        output, number = solution.values.reshape(model.out_channels, *u.shape[1:]), solution.num_evaluations
        assert number is not None  # as all solvers tell that have a name
        cost = jnp.where(solution.successful, number.astype(jnp.float32), jnp.nan)
        return output if normalized is None else normalized.output.denormalize(output), cost

    return jax.lax.map(each, u, batch_size=automatic_micro_batch(operator, u.shape[2:], len(u)))
