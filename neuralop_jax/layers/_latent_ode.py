"""Time series as paths of a latent neural ODE, with a start that a recurrent network reads from the observations."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers._mlp import MLP
from neuralop_jax.layers._neural_ode import NeuralODE, check_times
from neuralop_jax.layers._ode_solution import ODESolution
from neuralop_jax.layers._vector_field import VectorField


class LatentPath(eqx.Module):
    r"""A reconstruction of a time series.

    - `values`: the mean of $p(x_i | z(t_i))$, `(times, channels)`.
    - `mean`, `log_std`: of the Gaussian $q(z_0 | x)$, `(latent,)`.
    - `divergence`: $\mathrm{KL}(q \| \mathcal N(0, 1))$.
    - `solution`: the path of the latent state.
    """

    values: Float[Array, "times channels"]
    mean: Float[Array, " latent"]
    log_std: Float[Array, " latent"]
    divergence: Float[Array, ""]
    solution: ODESolution


class LatentODE(eqx.Module):
    r"""$q(z_0|x)$ from a gated recurrent network that reads the observations backwards in time, $z(t_i)$ from a `NeuralODE`, and
    $p(x_i | z(t_i))$ from a network.

    **Arguments:**

    - `channels`: observed numbers at a time.
    - `latent`: size of the latent state.
    - `width`: hidden features of all networks.
    - `options`: of the `NeuralODE`: `solver`, `rtol`, `adjoint`, ...
    - `key`: initial weights.

    **Raises:** `ConfigError` for sizes below 1, and as `NeuralODE`.

    **Source:** Chen et al. 2018, arXiv:1806.07366, section 5; masks as in Rubanova, Chen, Duvenaud 2019, arXiv:1907.03907.
    Differs from the latter in that the network reads the time since the observation after, instead of an ODE between the two.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import LatentODE, annealing, union_of_times

        ts, values, observed = union_of_times([[0.0, 0.5], [0.0, 0.2, 1.0]], [[[1.0], [2.0]], [[3.0], [4.0], [5.0]]])
        model = LatentODE(channels=1, latent=2, width=4, step=0.25, key=jax.random.key(0))
        path = jax.vmap(model, in_axes=(None, 0, 0))(ts, values, observed)
        assert path.values.shape == (2, 4, 1)
        ```
    """

    cell: eqx.nn.GRUCell
    posterior: MLP
    ode: NeuralODE
    decoder: MLP
    channels: int = eqx.field(static=True)
    latent: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def __init__(self, *, channels: int, latent: int, width: int, key: PRNGKey, **options: Any):
        if min(channels, latent, width) < 1:
            raise ConfigError(f"LatentODE needs sizes of at least 1, got channels={channels}, latent={latent}, width={width}.")
        if "only_end" in options:
            raise ConfigError("a LatentODE returns its states at all times: only_end is no option of it.")
        cell, posterior, field, decoder = jax.random.split(key, 4)
        self.cell = eqx.nn.GRUCell(2 * channels + 1, width, key=cell)
        self.posterior = MLP((width, 2 * latent), key=posterior)
        self.ode = NeuralODE(VectorField(features=latent, width=width, key=field), **options)
        self.decoder = MLP((latent, width, channels), key=decoder)
        self.channels, self.latent, self.width = channels, latent, width

    def __call__(
        self,
        ts: Array,
        values: Array,
        observed: Bool[Array, "times channels"] | None = None,
        *,
        key: PRNGKey | None = None,
    ) -> LatentPath:
        """The reconstruction of a series at the times `ts`.

        **Arguments:**

        - `ts`: increasing times.
        - `values`: what was observed; what stands where nothing was does not matter.
        - `observed`: where something was; everywhere, if `None`.
        - `key`: draws the start from $q$; its mean, if `None`.

        **Raises:** `ModelInputError` for shapes and types that do not fit, and for known times that do not increase.
        """
        if not hasattr(values, "dtype") or not hasattr(ts, "dtype"):
            raise ModelInputError(f"LatentODE takes arrays, got {type(ts).__name__} and {type(values).__name__}.")
        if values.shape != (ts.size, self.channels) or (observed is not None and observed.shape != values.shape):
            found = "" if observed is None else f" and observed {observed.shape}"
            raise ModelInputError(f"LatentODE expects values ({ts.size}, {self.channels}), got {values.shape}{found}.")
        if not jnp.issubdtype(values.dtype, jnp.floating):
            raise ModelInputError(f"LatentODE expects real floating values, got {values.dtype}. Cast them.")
        check_times(ts, values)
        if not isinstance(ts, Tracer) and np.asarray(ts)[-1] < np.asarray(ts)[0]:
            raise ModelInputError(f"the times of a series must increase, got {np.asarray(ts).tolist()}. Sort them.")
        observed = jnp.ones(values.shape, bool) if observed is None else observed
        mean, log_std = self.encode(ts, values, observed)
        z0 = mean if key is None else mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
        solution = self.ode(z0, ts)
        divergence = 0.5 * jnp.sum(mean**2 + jnp.exp(2 * log_std) - 1 - 2 * log_std)
        return LatentPath(self.decoder(solution.values.T).T, mean, log_std, divergence, solution)

    def encode(
        self, ts: Float[Array, " times"], values: Float[Array, "times channels"], observed: Bool[Array, "times channels"]
    ) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
        """Mean and logarithm of the standard deviation of $q(z_0 | x)$; times without an observation leave no trace."""
        some = observed.any(axis=-1)
        seen = jnp.where(observed, values, 0)

        def read(carry: tuple[Array, Array], now: tuple[Array, Array, Array, Array]) -> tuple[tuple[Array, Array], None]:
            hidden, after = carry
            t, x, mask, any_seen = now
            fresh = self.cell(jnp.concatenate([x, mask.astype(x.dtype), (after - t)[None]]), hidden)
            return (jnp.where(any_seen, fresh, hidden), jnp.where(any_seen, t, after)), None

        last = jnp.max(jnp.where(some, ts, -jnp.inf))
        start = jnp.zeros(self.width, values.dtype), jnp.where(jnp.isfinite(last), last, ts[-1])
        (hidden, _), _ = jax.lax.scan(read, start, (ts, seen, observed, some), reverse=True)
        mean, log_std = jnp.split(self.posterior(hidden), 2)
        return mean, log_std

    def loss(
        self,
        ts: Float[Array, " times"],
        values: Float[Array, "times channels"],
        observed: Bool[Array, "times channels"] | None = None,
        *,
        key: PRNGKey,
        noise: float = 0.1,
        weight: Float[Array, ""] | float = 1.0,
    ) -> Float[Array, ""]:
        r"""$-\sum \log p(x_i | z(t_i)) + \text{weight} \cdot \mathrm{KL}$ with one draw of the start, without constants.

        **Arguments:** as for a call, and

        - `noise`: standard deviation of the observations.
        - `weight`: of the divergence, such as `annealing(k)`.
        """
        path = self(ts, values, observed, key=key)
        observed = jnp.ones(values.shape, bool) if observed is None else observed
        errors = jnp.where(observed, path.values - jnp.where(observed, values, 0), 0)
        return jnp.sum(errors**2) / (2 * noise**2) + weight * path.divergence


def annealing(iteration: int, *, rate: float = 0.99, start: int = 0) -> float:
    """$1 - \\text{rate}^{k}$ with $k$ iterations since `start`, 0 before: the weight of the divergence while training.

    **Source:** Rubanova, Chen, Duvenaud 2019, arXiv:1907.03907, released code.
    """
    return 1 - rate ** max(0, iteration - start)


def union_of_times(
    times: Sequence[Any], values: Sequence[Any]
) -> tuple[Float[Array, " times"], Float[Array, "series times channels"], Bool[Array, "series times channels"]]:
    """Series of different times on the union of these: the times, the values with zeros between, and where there is one.

    `times` holds for each series a list of numbers or an array, `values` one of `(times, channels)` numbers; NaN in `values` is
    no observation.

    **Raises:** `ModelInputError` if a series has other numbers of times than of values, one time twice, times that are not
    finite or values that are infinite, or other channels than the first.
    """
    if not len(times) or len(times) != len(values):
        raise ModelInputError(f"union_of_times needs times and values of some series, got {len(times)} and {len(values)}.")
    dtype = jnp.zeros(0).dtype  # times that differ in double precision alone are one
    stamps, laid_out = [np.asarray(t, dtype) for t in times], [np.asarray(x, dtype) for x in values]
    channels = laid_out[0].shape[-1] if laid_out[0].ndim else 0
    for i, (t, x) in enumerate(zip(stamps, laid_out, strict=True)):
        if t.ndim != 1 or not t.size or not np.isfinite(t).all():
            raise ModelInputError(f"series {i} needs a vector of finite times, got {t.tolist()}.")
        if x.ndim != 2 or x.shape[1] != channels:
            raise ModelInputError(f"series {i} needs values (times, channels) as the first, got shape {x.shape}.")
        different = np.unique(t).size
        if not len(t) == len(x) == different:
            raise ModelInputError(f"series {i} has {different} different times and {len(x)} values. Give one value per time.")
        if np.isinf(x).any():
            raise ModelInputError(f"values must be finite or missing (NaN), got infinity in series {i}.")
    union = np.unique(np.concatenate(stamps))
    laid = np.full((len(times), union.size, channels), np.nan, dtype)
    for i, (t, x) in enumerate(zip(stamps, laid_out, strict=True)):
        laid[i, np.searchsorted(union, t)] = x
    observed = ~np.isnan(laid)
    return jnp.asarray(union), jnp.asarray(np.where(observed, laid, 0)), jnp.asarray(observed)
