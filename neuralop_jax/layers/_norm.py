"""Normalization of one sample's channels over space; statistics never depend on the number of points."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from neuralop_jax._typing import Params, PRNGKey
from neuralop_jax.layers._activation import gelu
from neuralop_jax.layers._pointwise import over_space

_EPSILON = 1e-5


def _standardize(u: Array, axes: tuple[int, ...]) -> Array:
    if jnp.iscomplexobj(u):
        return _standardize(u.real, axes) + 1j * _standardize(u.imag, axes)
    centered = u - jnp.mean(u, axes, keepdims=True)
    return centered * jax.lax.rsqrt(jnp.mean(centered**2, axes, keepdims=True) + _EPSILON)


class InstanceNorm(eqx.Module):
    r"""$(u_c - \mu_c)/\sqrt{\sigma_c^2 + 10^{-5}}$ with mean and variance of each channel over space; nothing is learned."""

    def __call__(self, u: Inexact[Array, "channels *space"], p: Params | None = None) -> Inexact[Array, "channels *space"]:
        return _standardize(u, tuple(range(1, u.ndim)))


class GroupNorm(eqx.Module):
    r"""$s_c\,(u_c - \mu)/\sqrt{\sigma^2 + 10^{-5}} + b_c$ with one mean and variance over all channels and space."""

    scale: Float[Array, " channels"]
    shift: Float[Array, " channels"]

    def __init__(self, channels: int):
        self.scale, self.shift = jnp.ones(channels), jnp.zeros(channels)

    def __call__(self, u: Inexact[Array, "channels *space"], p: Params | None = None) -> Inexact[Array, "channels *space"]:
        v = _standardize(u, tuple(range(u.ndim)))
        return over_space(self.scale.astype(u.dtype), u) * v + over_space(self.shift.astype(u.dtype), u)


class AdaptiveNorm(eqx.Module):
    r"""Instance norm whose scale and shift a small network reads off the parameters $p$ of the sample.

    $s, b = \text{MLP}(p)$ with 512 hidden units, $v_c = s_c\,\text{InstanceNorm}(u)_c + b_c$.

    **Source:** Huang & Belongie 2017, arXiv:1703.06868, with the network of neuraloperator's `AdaIN`.
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
        return over_space(scale, u) * _standardize(u, tuple(range(1, u.ndim))) + over_space(shift, u)
