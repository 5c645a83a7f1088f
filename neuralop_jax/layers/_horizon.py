"""Paths that drive a differential equation, and what a solve may ask of them beyond their ends: nothing."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from neuralop_jax.errors import ModelInputError
from neuralop_jax.layers._control import Control

Range = tuple[Array, Array]


def range_of(driven: PyTree) -> Range | None:
    """The times that every path in a tree covers, of this library or of Diffrax, methods of paths too; `None` without paths."""
    is_path = lambda leaf: isinstance(leaf, Control | diffrax.AbstractPath)
    paths = [leaf for leaf in jax.tree.leaves(driven, is_leaf=is_path) if is_path(leaf)]
    paths = [path for path in paths if not isinstance(path, diffrax.AbstractBrownianPath)]
    if not paths:
        return None
    ends = [(path.knots[0], path.knots[-1]) if isinstance(path, Control) else (path.t0, path.t1) for path in paths]
    starts, ends = (jnp.stack([jnp.asarray(jax.lax.stop_gradient(end)) for end in side]) for side in zip(*ends, strict=True))
    return starts.max(), ends.min()


def covers(times_of_paths: Range, times: Array) -> Array:
    """Whether no time lies outside by more than the rounding of times."""
    start, end = times_of_paths
    slack = 4 * jnp.finfo(times.dtype).eps * jnp.abs(times).max()
    return ~((times.min() < start - slack) | (times.max() > end + slack))


def check_horizon(driven: PyTree, ts: Array) -> None:
    """Raises `ModelInputError` if a path ends before the last time, or starts behind the first, where that is known."""
    known = range_of(driven)
    if known is None or isinstance(ts, Tracer) or any(isinstance(end, Tracer) for end in known) or covers(known, ts):
        return
    covered, asked = ((float(a), float(b)) for a, b in (known, (np.min(ts), np.max(ts))))
    raise ModelInputError(
        f"the control covers {covered[0]:g} to {covered[1]:g}, the times go from {asked[0]:g} to {asked[1]:g}. Shorten the "
        "horizon, or give later observations."
    )


class Held(eqx.Module):
    """`field`, with the ends of the paths that it reads held: some implicit stages lie beyond the end of their step."""

    field: Callable[..., PyTree]

    def __call__(self, t: Any, z: PyTree, args: Any) -> PyTree:
        known = range_of((self.field, args))
        if known is not None:
            t = jnp.asarray(t)
            first, last = (end.astype(t.dtype) for end in known)  # which may round them to outside
            first = jnp.where(first < known[0], jnp.nextafter(first, jnp.inf), first)
            last = jnp.where(last > known[1], jnp.nextafter(last, -jnp.inf), last)
            t = jnp.where(t > last, last, jnp.where(t < first, first, t))
        return self.field(t, z, args)
