"""Zeros around the domain, for fields that are not periodic: the Fourier series then sees no jump across the boundary."""

from collections.abc import Sequence
from fractions import Fraction

import jax.numpy as jnp
from jaxtyping import Array, Inexact

from neuralop_jax.errors import ModelInputError
from neuralop_jax.kernels import is_divided, is_known, redivided, space_size


def padding_widths(fractions: Sequence[float], shape: Sequence[int]) -> tuple[int, ...]:
    """Points added on each side of each axis: `round(fraction * points)`, halves to the even neighbor as Python rounds."""
    return tuple(_rounded(p, n) for p, n in zip(fractions, shape, strict=True))


def _rounded(fraction: float, points: int) -> int:
    """`round(fraction * points)`, also for a number of points that is a symbol, by what these can: whole numbers."""
    if is_known(points):
        return round(fraction * points)
    up, down = Fraction(fraction).limit_denominator(10_000).as_integer_ratio()
    nearest = (2 * up * points + down - 1) // (2 * down)  # the smaller one in the middle between two
    in_the_middle = (2 * down - 1 - (2 * up * points + down) % (2 * down)) // (2 * down - 1)  # 1 there, else 0
    return nearest + in_the_middle * (nearest % 2)


Widths = Sequence[int | tuple[int, int]]
"""Per space axis the points on both sides, or those before and those after."""


def pad_domain(u: Inexact[Array, "channels *batch_space"], widths: Widths) -> Inexact[Array, "channels *batch_padded"]:
    """`u` with `widths[i]` zeros on both sides of space axis `i`; space are the last axes, one per width.

    Where devices share the domain, the padded one is divided evenly again.

    **Raises:** `ModelInputError` if that is impossible.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import crop_domain, pad_domain

        u = jnp.ones((1, 2, 3))
        assert pad_domain(u, (1, 2)).shape == (1, 4, 7)
        assert (crop_domain(pad_domain(u, (1, 2)), (1, 2)) == u).all()
        ```
    """
    pairs, axis = _pairs(widths), u.ndim - len(widths)
    if is_divided():
        u, pairs = _redivided(u, axis, *pairs[0]), [(0, 0), *pairs[1:]]
    return jnp.pad(u, [(0, 0)] * axis + pairs)


def crop_domain(u: Inexact[Array, "channels *batch_padded"], widths: Widths) -> Inexact[Array, "channels *batch_space"]:
    """`u` without `widths[i]` points on both sides of space axis `i`: undoes `pad_domain`."""
    pairs, axis = _pairs(widths), u.ndim - len(widths)
    if is_divided():
        u, pairs = _redivided(u, axis, -pairs[0][0], -pairs[0][1]), [(0, 0), *pairs[1:]]
    return u[(..., *(slice(before, n - after) for (before, after), n in zip(pairs, u.shape[axis:], strict=True)))]


def _pairs(widths: Widths) -> list[tuple[int, int]]:
    return [w if isinstance(w, tuple) else (w, w) for w in widths]


def _redivided(u: Array, axis: int, before: int, after: int) -> Array:
    points, devices = space_size() * u.shape[axis], space_size()
    if (points + before + after) % devices:
        raise ModelInputError(
            f"padding makes {points + before + after} points of {points} on the first space axis, which {devices} devices cannot "
            f"share evenly. Choose a padding that adds a multiple of {devices} points to that axis, or fewer devices."
        )
    return redivided(u, axis, before, after)
