"""Densities that a neural ODE transports."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from neuralop_jax._checks import one_of
from neuralop_jax._result import SUCCESS
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers._initial_value import check_rates
from neuralop_jax.layers._neural_ode import NeuralODE, check_state

_TRACES = ("exact", "hutchinson")


class FlowDensity(eqx.Module):
    """Where a flow maps a point, and the density there. NaN if the solve failed.

    - `value`: `(features,)`, a sample, or the point in the space of the Gaussian.
    - `log_density`: $\\log p$ of the point in the space of the data.
    - `result`: the code of the solve, 0 for success.
    - `num_evaluations`: evaluations of the field.
    """

    value: Float[Array, " features"]
    log_density: Float[Array, ""]
    result: Int[Array, ""]
    num_evaluations: Int[Array, ""] | None

    @property
    def successful(self) -> Array:
        """Whether the result code is 0."""
        return self.result == SUCCESS


class ContinuousNormalizingFlow(eqx.Module):
    r"""The density of $x = z(1)$ for $\dot z = f(t, z, a)$ with $z(0)$ from a standard Gaussian:
    $\frac{d}{dt}\log p(z(t)) = -\operatorname{tr}\frac{\partial f}{\partial z}$, in the same solve as the path.

    **Arguments:**

    - `field`: as for `NeuralODE`, on states `(features,)`.
    - `trace`: `"exact"`, as many directional derivatives as features; `"hutchinson"`, one derivative in a random direction of
      signs that stays the same over a solve, and is right in the mean. *Good values*: exact up to 8 features.
    - `options`: of the `NeuralODE`: `solver`, `rtol`, `adjoint`, ...

    **Raises:** `ConfigError` for an unknown `trace`, and as `NeuralODE`.

    **Source:** Grathwohl et al. 2018, arXiv:1810.01367.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import ContinuousNormalizingFlow

        flow = ContinuousNormalizingFlow(lambda t, z, a: 0.5 * z, rtol=1e-7, atol=1e-7)
        found = flow.log_density(jnp.zeros(2))
        assert jnp.allclose(found.log_density, -jnp.log(2 * jnp.pi) - 1, atol=1e-5)  # a wider Gaussian
        ```
    """

    ode: NeuralODE
    trace: str = eqx.field(static=True)

    def __init__(self, field: Callable[..., Array], *, trace: str = "exact", **options: Any):
        one_of("trace", trace, _TRACES, ConfigError)
        if "only_end" in options or "steady" in options or "event" in options:
            raise ConfigError(
                "a flow goes from time 0 to time 1, and ends there: only_end, steady and event are no options of it."
            )
        self.ode = NeuralODE(_WithTrace(field, trace), only_end=True, **options)
        self.trace = trace

    def log_density(self, x: Array, args: Any = None, *, key: PRNGKey | None = None) -> FlowDensity:
        """The density at `x`, and where `x` comes from.

        **Arguments:**

        - `x`: one point; `jax.vmap` takes many.
        - `args`: what the field is conditioned on.
        - `key`: the direction of `trace="hutchinson"`.

        **Raises:** `ModelInputError` if the key is missing, or `x` is not one point.
        """
        check_state(x, "the point of a flow")
        if jnp.ndim(x) != 1:
            raise ModelInputError(f"log_density takes one point, (features,), got shape {jnp.shape(x)}. Use jax.vmap for many.")
        z, change, result, cost = self._moved(x, 1.0, 0.0, args, key)
        return FlowDensity(z, _log_normal(z) + change, result, cost)

    def sample(self, args: Any = None, *, features: int, key: PRNGKey) -> FlowDensity:
        """One sample of `features` numbers and its density, which comes from the same solve."""
        start, probe = jax.random.split(key)
        z = jax.random.normal(start, (features,))
        x, change, result, cost = self._moved(z, 0.0, 1.0, args, probe)
        return FlowDensity(x, _log_normal(z) - change, result, cost)

    def _moved(self, z: Array, t0: float, t1: float, args: Any, key: PRNGKey | None) -> tuple[Array, Array, Array, Any]:
        """The other end of the path through `z`, and the integral of the trace from the first to the second time."""
        if key is None and self.trace == "hutchinson":
            raise ModelInputError("trace='hutchinson' draws a direction. Give key=jax.random.key(...).")
        probe = jax.random.rademacher(key, z.shape, z.dtype) if key is not None and self.trace == "hutchinson" else None
        solution = self.ode((z, jnp.zeros((), z.dtype)), jnp.asarray([t0, t1], z.dtype), (args, probe))
        moved, change = solution.values
        return moved, change, solution.result, solution.num_evaluations


class _WithTrace(eqx.Module):
    """The field of a point and of the integral of the trace of its derivative."""

    field: Callable[..., Array]
    trace: str = eqx.field(static=True)

    def __call__(self, t: Array, state: tuple[Array, Array], args: tuple[Any, Array | None]) -> tuple[Array, Array]:
        z, _ = state
        args, probe = args
        check_rates(eqx.filter_eval_shape(self.field, t, z, args), z)
        if probe is not None:
            rate, tangent = jax.jvp(lambda z: self.field(t, z, args), (z,), (probe,))
            return rate, jnp.vdot(probe, tangent)
        rate, derivative = jax.linearize(lambda z: self.field(t, z, args), z)
        return rate, jnp.trace(jax.vmap(derivative)(jnp.eye(z.size, dtype=z.dtype)))


def _log_normal(z: Array) -> Array:
    return -0.5 * jnp.sum(z**2) - 0.5 * z.size * math.log(2 * math.pi)
