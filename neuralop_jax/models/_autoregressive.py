"""A trajectory by equal steps of one operator."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.models._on_grids import AbstractGridOperator
from neuralop_jax.models._options import OperatorSpec
from neuralop_jax.models._resolution import ResolutionClaim
from neuralop_jax.models._trajectory import AbstractTrajectoryOperator, build_step, check_kept, check_times

_MOST_STEPS = 100_000


class Autoregressive(AbstractTrajectoryOperator):
    r"""The states at several times by steps of one operator $G$: $u_{n+1} = u_n + G(u_n)$, $u_n$ the state at time $n\,\Delta t$.

    Between two steps a state is interpolated linearly. `ContinuousTime` has the same call and solves a differential equation
    instead.

    **Arguments:** (keyword-only; all but `key` make the model's `spec_of`)

    - `in_channels`: channels of a state; `out_channels`: those of all states that are returned, filled in from the data.
    - `operator`: the specification of $G$, as for `models.build`; `[model.operator]` in a configuration.
    - `times`: times of the states that are returned, counted from the input, increasing; filled in from the data.
    - `time_step`: $\Delta t$; the first of the times after 0 if left out.
    - `residual`: whether $G$ is added to the state; otherwise $u_{n+1} = G(u_n)$.
    - `num_dims`: number of space axes, where `operator` leaves it open.
    - `key`: initial weights of $G$. In a call with a key, every step draws from its own.

    **Raises:** `ConfigError` for options that do not fit, also those of `operator`, or if $G$ changes the grid.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.models import Autoregressive

        inner = {"kind": "fno", "n_modes": [8], "width": 8, "depth": 1}
        model = Autoregressive(in_channels=1, out_channels=3, operator=inner, times=(0.5, 1.0, 1.5), key=jax.random.key(0))
        u = jnp.ones((1, 16))
        assert model(u).shape == (3, 16)
        assert jnp.allclose(model.at_times((1.25,))(u)[0], (model(u)[1] + model(u)[2]) / 2)
        ```
    """

    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    num_dims: int = eqx.field(static=True)
    times: tuple[float, ...] = eqx.field(static=True)
    time_step: float = eqx.field(static=True)
    residual: bool = eqx.field(static=True)
    inner: AbstractGridOperator

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        operator: OperatorSpec,
        times: Sequence[int | float],
        time_step: int | float | None = None,
        residual: bool = True,
        num_dims: int | None = None,
        key: PRNGKey,
    ):
        self.times = check_times(times, in_channels, out_channels)
        step = next((t for t in self.times if t > 0), 1.0) if time_step is None else float(time_step)
        if not (math.isfinite(step) and step > 0 and self.times[-1] / step <= _MOST_STEPS):
            raise ConfigError(f"time_step must be positive and at least {self.times[-1] / _MOST_STEPS:g}, got {time_step!r}.")
        self.inner = build_step(operator, in_channels, num_dims, key=key)
        self.in_channels, self.out_channels, self.num_dims = in_channels, out_channels, self.inner.num_dims
        self.time_step, self.residual = step, residual

    @property
    def divisible(self) -> bool:
        """Whether the operator inside is."""
        return self.inner.divisible

    @property
    def resolution(self) -> ResolutionClaim:
        """That of the operator inside."""
        return self.inner.resolution

    def frames(
        self,
        u: Inexact[Array, "channels *batch_space"],
        p: Float[Array, "*batch parameters"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> Inexact[Array, "frames channels *batch_space"]:
        """The states at `times`, for one sample or for several."""
        places = np.asarray(self.times) / self.time_step
        places = np.where(np.abs(places - np.round(places)) < 1e-6, np.round(places), places)  # no step for rounding
        num_steps = math.ceil(places[-1])

        def step(u: Array, number: Array) -> tuple[Array, Array]:
            v = self.inner.evaluate(u, p, key=None if key is None else jax.random.fold_in(key, number))
            check_kept(u.shape, v.shape)
            u = u + v if self.residual else v
            return u, u

        states = jnp.concatenate([u[None], jax.lax.scan(step, u, jnp.arange(num_steps))[1]])
        before = np.minimum(np.floor(places).astype(int), max(num_steps - 1, 0))
        after = np.minimum(before + 1, num_steps)
        weight = jnp.asarray(places - before, u.dtype).reshape(-1, *[1] * u.ndim)
        return states[before] * (1 - weight) + states[after] * weight
