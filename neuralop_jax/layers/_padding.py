"""Zeros around the domain, for fields that are not periodic: the Fourier series then sees no jump across the boundary."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Inexact


def padding_widths(fractions: Sequence[float], shape: Sequence[int]) -> tuple[int, ...]:
    """Points added on each side of each axis: `round(fraction * points)`, halves to the even neighbor as Python rounds."""
    return tuple(round(p * n) for p, n in zip(fractions, shape, strict=True))


def pad_domain(u: Inexact[Array, "channels *batch_space"], widths: Sequence[int]) -> Inexact[Array, "channels *batch_padded"]:
    """`u` with `widths[i]` zeros on both sides of space axis `i`; space are the last axes, one per width."""
    return jnp.pad(u, ((0, 0),) * (u.ndim - len(widths)) + tuple((w, w) for w in widths))


def crop_domain(u: Inexact[Array, "channels *batch_padded"], widths: Sequence[int]) -> Inexact[Array, "channels *batch_space"]:
    """`u` without `widths[i]` points on both sides of space axis `i`: undoes `pad_domain`."""
    return u[(..., *(slice(w, n - w) for w, n in zip(widths, u.shape[u.ndim - len(widths) :], strict=True)))]
