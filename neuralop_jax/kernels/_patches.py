"""A field as overlapping patches, each with coarser and wider views of what surrounds it, and back."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped


def window_points(points: int, levels: int, padding: int, boundary: str) -> np.ndarray:
    r"""Which points of an axis the windows hold: `[l, i, t]` is the index of point $t$ of patch $i$ in the view of level $l$.

    An axis of $N$ points has $n = 2^L$ patches of $h = N/n$ points. The view of level $l$ takes every $2^l$-th point. In units of
    its spacing it begins at $i h/2^l - \lceil (h - h/2^l)/2\rceil - q$ and has $h + 2q$ points, so that all views of a patch have
    one center, to half a point of the coarser one.

    **Arguments:**

    - `points`: $N$, a multiple of $4^L$: from patch to patch a window moves by $h/2^l$ of its points.
    - `levels`: $L$.
    - `padding`: $q$, points of the full field on each side.
    - `boundary`: what lies beyond the ends: `"periodic"`, `"reflect"` (mirrored at the end points),
      `"replicate"` (the last value again) or `"zeros"`, of index $N$.

    **Returns:** `(1 + levels, patches, h + 2 q)`.

    **Raises:** `ValueError` if a window would have to move by part of a point.

    !!! example

        ```python
        from neuralop_jax.kernels import window_points

        fine, coarse = window_points(8, 1, 1, "periodic")
        assert fine.tolist() == [[7, 0, 1, 2, 3, 4], [3, 4, 5, 6, 7, 0]]
        assert coarse.tolist() == [[4, 6, 0, 2, 4, 6], [0, 2, 4, 6, 0, 2]]
        ```
    """
    if points % 4**levels:
        fitting = 4**levels * -(-points // 4**levels)
        raise ValueError(
            f"patches with levels={levels} need a multiple of {4**levels} points on every axis, got {points}: a window would "
            f"move by part of a point. Resample the field to {fitting} points, or use fewer levels."
        )
    patches = 2**levels
    size, views = points // patches, []
    for stride in (2**level for level in range(levels + 1)):
        shift = size // stride
        start = np.arange(patches) * shift - -(-(size - shift) // 2) - padding
        views.append(stride * (start[:, None] + np.arange(size + 2 * padding)))
    return inside(np.stack(views), points, boundary)


def make_patches(
    u: Shaped[Array, "channels samples *space"], levels: int, padding: Sequence[int], boundary: Sequence[str]
) -> Shaped[Array, "views patches *window"]:
    r"""The patches of samples, with their coarser views as further channels: $(C, B, *S) \to (C(1 + L), B n^d, *(h + 2q))$.

    Channels are grouped by level, the finest first. Patches stand in the order of their samples, within a sample row by row. The
    indices are static, so that the transform is one gather per axis and level.

    **Arguments:**

    - `u`: samples behind the channels.
    - `levels`: $L$; there are $2^L$ patches per axis.
    - `padding`, `boundary`: one entry per space axis, as in `window_points`.

    **Raises:** as `window_points`.

    **Source:** Kossaifi et al. 2023, arXiv:2310.00120; `MultigridPatching2D` of neuraloperator, whose numbers are equal for
    periodic planes. Differs: on $4^L$ points, where the windows of the coarsest level move by one point, that code finds one
    window too many and fails; where a window would move by part of a point, it leaves the part out and loses the center.
    """
    shape = u.shape[2:]
    tables = [window_points(*axis) for axis in zip(shape, (levels,) * len(shape), padding, boundary, strict=True)]
    views = [_gathered(u, [table[level] for table in tables], boundary) for level in range(levels + 1)]
    return jnp.concatenate(views)


def cut(u: Shaped[Array, "channels samples *space"], patches: int) -> Shaped[Array, "channels patches *patch"]:
    r"""The field in `patches` parts per axis, without padding, in the order of `make_patches`: $(C, B, *S) \to (C, B n^d, *h)$.

    **Raises:** `ValueError` if an axis cannot be divided.
    """
    shape, dims = u.shape[2:], u.ndim - 2
    if any(n % patches for n in shape):
        raise ValueError(
            f"a field of {shape} points cannot be cut into {patches} equal patches per axis. Crop or resample it, or take fewer."
        )
    parts = u.reshape(*u.shape[:2], *(size for n in shape for size in (patches, n // patches)))
    return _patches_first(parts, dims).reshape(len(u), -1, *(n // patches for n in shape))


def stitch(
    v: Shaped[Array, "channels patches *window"], patches: int, padding: Sequence[int]
) -> Shaped[Array, "channels samples *space"]:
    """The fields whose `patches` per axis are given, after `padding` points are taken off on each side: undoes `make_patches`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import make_patches, stitch

        u = jnp.arange(2.0 * 3 * 8 * 12).reshape(2, 3, 8, 12)
        patches = make_patches(u, 1, (1, 2), ("periodic", "reflect"))
        assert patches.shape == (4, 12, 6, 10) and jnp.array_equal(stitch(patches[:2], 2, (1, 2)), u)
        ```
    """
    dims = len(padding)
    v = v[(..., *(slice(q, n - q) for q, n in zip(padding, v.shape[2:], strict=True)))]
    size = v.shape[2:]
    parts = v.reshape(len(v), -1, *(patches,) * dims, *size)
    order = [0, 1, *(axis for k in range(dims) for axis in (2 + k, 2 + dims + k))]
    return parts.transpose(order).reshape(*parts.shape[:2], *(patches * n for n in size))


def inside(indices: np.ndarray, points: int, boundary: str) -> np.ndarray:
    """Where to read instead of beyond the ends."""
    if boundary == "periodic":
        return indices % points
    if boundary == "reflect":
        period = max(2 * (points - 1), 1)
        folded = indices % period
        return np.where(folded < points, folded, period - folded)
    if boundary == "replicate":
        return np.clip(indices, 0, points - 1)
    return np.where((indices >= 0) & (indices < points), indices, points)


def _gathered(u: Array, tables: Sequence[np.ndarray], boundary: Sequence[str]) -> Array:
    """One view of every patch; index `points`, one past the end, reads zero."""
    for axis, (table, rule) in enumerate(zip(tables, boundary, strict=True), start=2):
        zeros = rule == "zeros"
        u = jnp.take(u, table.ravel(), axis=axis, mode="fill" if zeros else "clip", fill_value=0 if zeros else None)
    dims, window = len(tables), [table.shape[1] for table in tables]
    parts = u.reshape(*u.shape[:2], *(size for table in tables for size in table.shape))
    return _patches_first(parts, dims).reshape(len(u), u.shape[1] * math.prod(len(t) for t in tables), *window)


def _patches_first(parts: Array, dims: int) -> Array:
    """`(C, B, n, h, n, h, ...)` as `(C, B, n, n, ..., h, h, ...)`."""
    return parts.transpose(0, 1, *range(2, 2 + 2 * dims, 2), *range(3, 3 + 2 * dims, 2))
