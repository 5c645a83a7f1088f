"""An equilibrium layer whose fixed point exists and is the only one, whatever its weights are trained to."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.implicit import AbstractFixedPointMethod, FixedPoint, Picard, Richardson, fixed_point

_LEAST_SHIFT = 1.2


class SubhomogeneousEquilibrium(eqx.Module):
    r"""The positive solution of $z = \tanh(Wz) + \operatorname{relu}(Ux) + s$, $W \ge 0$: there is exactly one.

    On $t \ge 0$ the function $\sigma(t) = \tanh t + s$ has $t\,\sigma'(t) \le \mu\,\sigma(t)$, with $\mu = 0.247$ for $s = 1.2$.
    Since $W$ has no negative entries, the right-hand side therefore contracts Thompson's distance
    $\max_i |\log z_i - \log y_i|$ of positive vectors at the rate $\mu$, however large $W$ is. The normalized form, which divides
    the right-hand side by its largest entry, contracts it at $2\mu$.

    **Arguments:**

    - `in_features`, `width`: sizes of $x$ and $z$.
    - `shift`: $s$, at least 1.2, the published bound.
    - `normalized`: divide by the largest entry, of all features of a point.
    - `weight`: initial values of $W$ instead of random ones, `(width, width)`, also a list, none negative. $W$ is the absolute
      value of what is trained, so that it stays so.
    - `method`: `implicit.Picard()` if `None`, which is guaranteed to converge.
    - `rtol`, `max_steps`, `throw`: as in `implicit.fixed_point`.
    - `key`: initial weights.

    **Raises:** `ConfigError` for a shift below 1.2 or a weight with negative entries: with those there can be several solutions;
    `ModelInputError` when called with another number of features.

    **Source:** Sittoni, Tudisco 2024, arXiv:2403.00720. Differs: $W \ge 0$ always, without which uniqueness can fail.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import SubhomogeneousEquilibrium

        layer = SubhomogeneousEquilibrium(3, 8, key=jax.random.key(0))
        z = layer(jnp.ones((3, 5)))  # at five points
        assert z.shape == (8, 5) and z.min() >= 1.2
        ```
    """

    recurrent: Float[Array, "width width"]
    inward: Float[Array, "width in"]
    method: AbstractFixedPointMethod
    shift: float = eqx.field(static=True)
    normalized: bool = eqx.field(static=True)
    rtol: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    throw: bool = eqx.field(static=True)

    def __init__(
        self,
        in_features: int,
        width: int,
        *,
        shift: float | int = _LEAST_SHIFT,
        normalized: bool = False,
        weight: ArrayLike | Sequence[Sequence[float | int]] | None = None,
        method: AbstractFixedPointMethod | None = None,
        rtol: float | int = 1e-6,
        max_steps: int = 256,
        throw: bool = True,
        key: PRNGKey,
    ):
        if not shift >= _LEAST_SHIFT:
            raise ConfigError(
                f"SubhomogeneousEquilibrium needs a shift of at least {_LEAST_SHIFT}, the published bound, got {shift}."
            )
        inward_key, recurrent_key = jax.random.split(key)
        weight = None if weight is None else jnp.asarray(weight) * 1.0  # of a list of integers, too
        if weight is not None and (weight.shape != (width, width) or not bool((weight >= 0).all())):
            raise ConfigError(
                f"SubhomogeneousEquilibrium needs a weight ({width}, {width}) without negative entries, got shape {weight.shape} "
                f"and the least entry {float(weight.min()):.3g}: with signs there can be several equilibria. Take its size."
            )
        # Small enough for the hyperbolic tangent not to saturate: all terms of the product are positive.
        drawn = jax.random.uniform(recurrent_key, (width, width), minval=0, maxval=1 / width)
        self.recurrent = drawn if weight is None else weight
        self.inward = jax.random.uniform(inward_key, (width, in_features), minval=-1, maxval=1) * in_features**-0.5
        self.method, self.shift, self.normalized = Picard() if method is None else method, float(shift), normalized
        self.rtol, self.max_steps, self.throw = float(rtol), max_steps, throw

    @property
    def contraction(self) -> float:
        r"""The rate at which Thompson's distance contracts: $\mu$, twice that if normalized."""
        t = np.linspace(0, 20, 200_001)
        return (1 + self.normalized) * float(np.max(t / np.cosh(t) ** 2 / (np.tanh(t) + self.shift)))

    def step(self, z: Float[Array, "width *points"], x: Float[Array, "in *points"]) -> Float[Array, "width *points"]:
        """The right-hand side."""
        return self._advance(z, self._inject(x))

    def __call__(self, x: Float[Array, "in *points"]) -> Float[Array, "width *points"]:
        """The equilibrium for one input vector, or for one at each point."""
        return self.solve(x).value

    def solve(self, x: Float[Array, "in *points"]) -> FixedPoint:
        """The equilibrium with its result code, number of steps and residual."""
        injected = self._inject(x)
        return fixed_point(
            lambda z, injected: self._advance(z, injected),
            injected,
            injected,
            method=self.method,
            rtol=self.rtol,
            max_steps=self.max_steps,
            linear_solver=Richardson(rtol=self.rtol, max_steps=self.max_steps),
            throw=self.throw,
        )

    def _inject(self, x: Array) -> Array:
        if not x.ndim or len(x) != self.inward.shape[1]:
            raise ModelInputError(
                f"SubhomogeneousEquilibrium has in_features={self.inward.shape[1]} and got an input of shape {x.shape}. "
                "Put the features first."
            )
        product = self.inward.astype(x.dtype) @ x.reshape(len(x), -1)
        return jax.nn.relu(product).reshape(-1, *x.shape[1:]) + self.shift

    def _advance(self, z: Array, injected: Array) -> Array:
        matrix = jnp.abs(self.recurrent).astype(z.dtype)
        value = jnp.tanh(matrix @ z.reshape(len(z), -1)).reshape(z.shape) + injected
        return value / jnp.max(value, axis=0, keepdims=True) if self.normalized else value
