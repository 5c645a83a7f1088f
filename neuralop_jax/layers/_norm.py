"""Normalization of channels over space, by the statistics of a sample or, for batch norm, of a batch."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from neuralop_jax._typing import Params, PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import SPACE, is_bound, space_mean
from neuralop_jax.layers._activation import gelu
from neuralop_jax.layers._pointwise import over_space
from neuralop_jax.layers._untrained import Buffer

_EPSILON = 1e-5


def standardize(u: Array, axes: tuple[int, ...], *, divided: bool = True) -> Array:
    r"""$(u - \mu)/\sqrt{\sigma^2 + 10^{-5}}$ with mean and variance over `axes`; real and imaginary part each on its own.

    With `divided`, `axes` include the first space axis, and the mean is over all devices that share the domain.
    """
    if jnp.iscomplexobj(u):
        return standardize(u.real, axes, divided=divided) + 1j * standardize(u.imag, axes, divided=divided)
    mean = space_mean if divided else jnp.mean
    centered = u - mean(u, axes, keepdims=True)
    return centered * jax.lax.rsqrt(mean(centered**2, axes, keepdims=True) + _EPSILON)


class InstanceNorm(eqx.Module):
    r"""$(u_c - \mu_c)/\sqrt{\sigma_c^2 + 10^{-5}}$ with mean and variance of each channel over space; nothing is learned.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import InstanceNorm

        v = InstanceNorm()(5 + jax.random.normal(jax.random.key(0), (2, 8, 8)))
        assert jnp.allclose(v.mean(axis=(1, 2)), 0, atol=1e-6) and jnp.allclose(v.var(axis=(1, 2)), 1, atol=1e-3)
        ```
    """

    def __call__(self, u: Inexact[Array, "channels *space"], p: Params | None = None) -> Inexact[Array, "channels *space"]:
        return standardize(u, tuple(range(1, u.ndim)))


class GroupNorm(eqx.Module):
    r"""$s_c\,(u_c - \mu)/\sqrt{\sigma^2 + 10^{-5}} + b_c$ with mean and variance over space and a group of channels.

    **Arguments:**

    - `channels`: size.
    - `groups`: neighboring channels are taken together in so many groups. One takes all channels together; as many groups as
      channels make an instance norm that learns a scale and a shift.

    **Raises:** `ConfigError` if the channels cannot be divided into such groups.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import GroupNorm, InstanceNorm

        u = jax.random.normal(jax.random.key(0), (4, 8, 8))
        assert jnp.allclose(GroupNorm(4, groups=4)(u), InstanceNorm()(u), atol=1e-6)  # until it is trained
        ```
    """

    scale: Float[Array, " channels"]
    shift: Float[Array, " channels"]
    groups: int = eqx.field(static=True)

    def __init__(self, channels: int, groups: int = 1):
        if groups < 1 or channels % groups:
            raise ConfigError(f"{channels} channels cannot be divided into {groups} groups of a norm. Choose a divisor.")
        self.scale, self.shift, self.groups = jnp.ones(channels), jnp.zeros(channels), groups

    def __call__(
        self, u: Inexact[Array, "channels *batch_space"], p: Params | None = None, *, batched: bool = False
    ) -> Inexact[Array, "channels *batch_space"]:
        """The normalized field of one sample; with `batched`, of each of those in `(channels, batch, *space)`."""
        grouped = u.reshape(self.groups, -1, *u.shape[1:])
        v = standardize(grouped, (1, *range(2 + batched, grouped.ndim))).reshape(u.shape)
        return over_space(self.scale.astype(u.dtype), u) * v + over_space(self.shift.astype(u.dtype), u)


class BatchNorm(eqx.Module):
    r"""$s_c\,(u_c - \mu_c)/\sqrt{\sigma_c^2 + 10^{-5}} + b_c$ with mean and variance of each channel over a batch and space.

    In training these are the statistics of the samples that stand behind the channels, of all devices that share a batch along a
    mesh axis `"data"`; otherwise `mean` and `variance`, the statistics of the population. Nothing is updated while training:
    `models.calibrate` measures them afterwards.

    For that a training call is an identity of its own kind in the buffers: no value depends on them, and the derivative of
    anything whatever by them is the mean and the unbiased variance of the batch.

    **Source:** Ioffe & Szegedy 2015, arXiv:1502.03167. Differs: the population is measured, not followed by a running mean.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import BatchNorm

        norm, u = BatchNorm(2), 3 * jax.random.normal(jax.random.key(0), (2, 8, 16))  # eight samples behind the channels
        assert jnp.allclose(norm(u), u, rtol=1e-4)  # until it is calibrated
        assert jnp.allclose(norm(u, training=True).var(axis=(1, 2)), 1, atol=1e-4)
        ```
    """

    scale: Float[Array, " channels"]
    shift: Float[Array, " channels"]
    mean: Buffer
    variance: Buffer

    def __init__(self, channels: int):
        self.scale, self.shift = jnp.ones(channels), jnp.zeros(channels)
        self.mean, self.variance = Buffer(jnp.zeros(channels)), Buffer(jnp.ones(channels))

    def __call__(
        self, u: Float[Array, "channels *batch_space"], *, training: bool = False
    ) -> Float[Array, "channels *batch_space"]:
        """The normalized field of one sample, or of all samples `(channels, batch, *space)`."""
        mean, variance = self._measured(u) if training else (self.mean.value, self.variance.value)
        mean, variance = over_space(mean.astype(u.dtype), u), over_space(variance.astype(u.dtype), u)
        v = (u - mean) * jax.lax.rsqrt(variance + _EPSILON)
        return over_space(self.scale.astype(u.dtype), u) * v + over_space(self.shift.astype(u.dtype), u)

    def _measured(self, u: Array) -> tuple[Array, Array]:
        """Mean and variance of the batch, as the derivative by the buffers will tell."""
        axes = tuple(range(1, u.ndim))
        mean = _shared_mean(jnp.mean(u, axes))
        variance = _shared_mean(jnp.mean((u - over_space(mean, u)) ** 2, axes))
        size = u.size // len(u) * _num_shares()
        return _measured(mean, self.mean.value, mean), _measured(
            variance, self.variance.value, variance * (size / max(size - 1, 1))
        )


def _num_shares() -> int:
    """How many devices share a batch or its domain."""
    return math.prod(jax.lax.axis_size(name) for name in _bound())


def _shared_mean(x: Array) -> Array:
    """The mean over those devices."""
    return jax.lax.pmean(x, _bound()) if _bound() else x


def _bound() -> tuple[str, ...]:
    """Which of the mesh axes `"data"` and `"space"` there are."""
    return tuple(name for name in ("data", SPACE) if is_bound(name))


@jax.custom_vjp
def _measured(used: Array, buffer: Array, statistic: Array) -> Array:
    """`used`; whatever is differentiated, its derivative by `buffer` is `statistic`."""
    return used


def _measured_forward(used: Array, buffer: Array, statistic: Array) -> tuple[Array, tuple[Array, Array]]:
    return used, (statistic.astype(buffer.dtype), statistic)


def _measured_backward(kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array, Array]:
    return cotangent, kept[0], jnp.zeros_like(kept[1])


_measured.defvjp(_measured_forward, _measured_backward)


class AdaptiveNorm(eqx.Module):
    r"""Instance norm whose scale and shift a small network reads off the parameters $p$ of the sample.

    $s, b = \text{MLP}(p)$ with 512 hidden units, $v_c = s_c\,\text{InstanceNorm}(u)_c + b_c$.

    **Source:** Huang & Belongie 2017, arXiv:1703.06868, with the network of neuraloperator's `AdaIN`.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import AdaptiveNorm

        norm, p = AdaptiveNorm(2, 3, key=jax.random.key(0)), jnp.ones(3)
        u = jax.random.normal(jax.random.key(1), (2, 8, 8))
        assert jnp.allclose(norm(u, p), norm(7 * u + 1, p), atol=1e-3)
        ```
    """

    first: eqx.nn.Linear
    second: eqx.nn.Linear

    def __init__(self, channels: int, num_parameters: int, *, key: PRNGKey):
        first, second = jax.random.split(key)
        self.first = eqx.nn.Linear(num_parameters, 512, key=first)
        self.second = eqx.nn.Linear(512, 2 * channels, key=second)

    def __call__(self, u: Inexact[Array, "channels *space"], p: Params | None = None) -> Inexact[Array, "channels *space"]:
        if p is None:
            raise ValueError("AdaptiveNorm needs the parameters p of the sample, got None. Call the model with p=....")
        scale, shift = jnp.split(self.second(gelu(self.first(p))).astype(u.dtype), 2)
        return over_space(scale, u) * standardize(u, tuple(range(1, u.ndim))) + over_space(shift, u)
