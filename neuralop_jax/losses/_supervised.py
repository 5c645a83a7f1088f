"""Losses that compare the prediction for one sample with its target."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact


def relative_l2(prediction: Inexact[Array, "channels *space"], target: Inexact[Array, "channels *space"]) -> Float[Array, ""]:
    r"""$\lVert e\rVert_2/\lVert y\rVert_2$ of the error $e$ against the target $y$ over all channels and points.

    The gradient is finite where the error or the target vanishes: norms below the smallest normal number count as that.

    **Source:** Li et al. 2021, arXiv:2010.08895, section 5.
    """
    return _norm(prediction - target) / _norm(target)


def relative_h1(prediction: Inexact[Array, "channels *space"], target: Inexact[Array, "channels *space"]) -> Float[Array, ""]:
    r"""$\sqrt{(\lVert e\rVert^2 + \lVert\nabla e\rVert^2)/(\lVert y\rVert^2 + \lVert\nabla y\rVert^2)}$ on the unit box.

    The gradient is taken by central differences inside and one-sided ones at the ends, second order both, with spacing $1/N$.
    """
    return _norm(_with_gradient(prediction - target)) / _norm(_with_gradient(target))


def mse(prediction: Inexact[Array, "channels *space"], target: Inexact[Array, "channels *space"]) -> Float[Array, ""]:
    r"""The mean of $\lvert e\rvert^2$ over channels and points."""
    return jnp.mean(jnp.abs(prediction - target) ** 2)


LOSSES: dict[str, Callable[[Array, Array], Array]] = {"relative_l2": relative_l2, "relative_h1": relative_h1, "mse": mse}
"""Every loss that a configuration can name."""


def _norm(u: Array) -> Array:
    square = jnp.sum(u.real**2 + u.imag**2) if jnp.iscomplexobj(u) else jnp.sum(u**2)
    return jnp.sqrt(jnp.maximum(square, jnp.finfo(square.dtype).tiny))


def _with_gradient(u: Array) -> Array:
    parts = [u] + [_difference(u, axis) for axis in range(1, u.ndim) if u.shape[axis] > 2]
    return jnp.stack(parts)


def _difference(u: Array, axis: int) -> Array:
    u = jnp.moveaxis(u, axis, -1)
    inner = (u[..., 2:] - u[..., :-2]) / 2
    first = (-3 * u[..., :1] + 4 * u[..., 1:2] - u[..., 2:3]) / 2
    last = (3 * u[..., -1:] - 4 * u[..., -2:-1] + u[..., -3:-2]) / 2
    slope = jnp.concatenate([first, inner, last], -1) * u.shape[-1]
    return jnp.moveaxis(slope, -1, axis)
