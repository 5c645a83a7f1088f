"""Operations that need all points of a divided axis, such as an FFT: devices exchange points for rows, and back."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from neuralop_jax.kernels._space import SPACE, space_size


def on_lines(function: Callable[[Array, int], Array], u: Inexact[Array, "..."], axis: int) -> Inexact[Array, "..."]:
    """`function(u, axis)`, which works on every line along the divided `axis` by itself: devices do their shares of the lines.

    What is left of the axis must be a multiple of the devices.
    """
    return to_blocks(function(to_lines(u, axis), 1), u.shape, axis)


def to_lines(u: Inexact[Array, "..."], axis: int) -> Inexact[Array, "lines points"]:
    """Whole lines along the divided `axis`, each device its share of them. Shares are equal: the last lines may be zeros."""
    rows = jnp.moveaxis(u, axis, -1).reshape(-1, u.shape[axis])
    rows = jnp.pad(rows, ((0, -len(rows) % space_size()), (0, 0)))
    return jax.lax.all_to_all(rows, SPACE, split_axis=0, concat_axis=1, tiled=True)


def to_blocks(lines: Inexact[Array, "lines points"], shape: Sequence[int], axis: int) -> Inexact[Array, "..."]:
    """Undoes `to_lines` for blocks of `shape`, whatever number of points the lines have now."""
    rows = jax.lax.all_to_all(lines, SPACE, split_axis=1, concat_axis=0, tiled=True)
    others = [n for k, n in enumerate(shape) if k != axis % len(shape)]
    return jnp.moveaxis(rows[: math.prod(others)].reshape(*others, -1), -1, axis)
