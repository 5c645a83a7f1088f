"""A field as overlapping patches, each with coarser and wider views of what surrounds it, and back.

Where devices share the domain, they share the rows of patches along its first axis: the patches of a block are on its device, and
what their windows hold of other blocks is exchanged.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from neuralop_jax.kernels._read_divided import read_divided
from neuralop_jax.kernels._space import is_divided, space_size, whole_shape


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

    Of a divided domain a device gets the points that its windows hold of other blocks: of the finest view the padding alone, of
    a coarser one the few points of that.

    **Arguments:**

    - `u`: samples behind the channels.
    - `levels`: $L$; there are $2^L$ patches per axis.
    - `padding`, `boundary`: one entry per space axis, as in `window_points`.

    **Raises:** as `window_points`; `ValueError` if devices cannot share the rows of patches evenly.

    **Source:** Kossaifi et al. 2023, arXiv:2310.00120; `MultigridPatching2D` of neuraloperator, whose numbers are equal for
    periodic planes. Differs: on $4^L$ points, where the windows of the coarsest level move by one point, that code finds one
    window too many and fails; where a window would move by part of a point, it leaves the part out and loses the center.
    """
    shape = whole_shape(u.shape[2:])
    own_patches(2**levels, len(shape))
    tables = [window_points(*axis) for axis in zip(shape, (levels,) * len(shape), padding, boundary, strict=True)]
    views = [_gathered(u, [table[level] for table in tables], boundary) for level in range(levels + 1)]
    return jnp.concatenate(views)


def cut(u: Shaped[Array, "channels samples *space"], patches: int) -> Shaped[Array, "channels patches *patch"]:
    r"""The field in `patches` parts per axis, without padding, in the order of `make_patches`: $(C, B, *S) \to (C, B n^d, *h)$.

    **Raises:** `ValueError` if an axis cannot be divided.
    """
    shape, here = u.shape[2:], own_patches(patches, u.ndim - 2)
    if any(n % count for n, count in zip(shape, here, strict=True)):
        raise ValueError(
            f"a field of {whole_shape(shape)} points cannot be cut into {patches} equal patches per axis. Crop or resample it, "
            "or take fewer."
        )
    sizes = [n // count for n, count in zip(shape, here, strict=True)]
    parts = u.reshape(*u.shape[:2], *(part for pair in zip(here, sizes, strict=True) for part in pair))
    return _patches_first(parts, len(here)).reshape(len(u), -1, *sizes)


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
    dims, here = len(padding), own_patches(patches, len(padding))
    v = v[(..., *(slice(q, n - q) for q, n in zip(padding, v.shape[2:], strict=True)))]
    size = v.shape[2:]
    parts = v.reshape(len(v), -1, *here, *size)
    order = [0, 1, *(axis for k in range(dims) for axis in (2 + k, 2 + dims + k))]
    return parts.transpose(order).reshape(*parts.shape[:2], *(count * n for count, n in zip(here, size, strict=True)))


def own_patches(patches: int, num_dims: int) -> tuple[int, ...]:
    """How many of the `patches` per axis are on this device, per axis; `ValueError` if devices cannot share the rows evenly."""
    if patches % space_size():
        raise ValueError(
            f"{patches} rows of patches cannot be divided evenly among {space_size()} devices. Use a number of devices that "
            f"divides {patches}, or more levels."
        )
    return (patches // space_size(), *(patches,) * (num_dims - 1))


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
    sizes = [*zip(own_patches(len(tables[0]), len(tables)), (table.shape[1] for table in tables), strict=True)]
    first = 2
    if is_divided():
        u, tables = _without_unread(u, tables)
        u, first = read_divided(u, 2, tables[0].reshape(space_size(), -1)), 3
    for axis in range(first, u.ndim):
        zeros = boundary[axis - 2] == "zeros"
        indices = tables[axis - 2].ravel()
        u = jnp.take(u, indices, axis=axis, mode="fill" if zeros else "clip", fill_value=0 if zeros else None)
    parts = u.reshape(*u.shape[:2], *(size for pair in sizes for size in pair))
    patches, window = zip(*sizes, strict=True)
    return _patches_first(parts, len(tables)).reshape(len(u), u.shape[1] * math.prod(patches), *window)


def _without_unread(u: Array, tables: Sequence[np.ndarray]) -> tuple[Array, list[np.ndarray]]:
    """The field without the points that no window holds, but along the divided axis, and where the windows find the others."""
    renumbered = [tables[0]]
    for axis, table in enumerate(tables[1:], start=3):
        read = np.unique(table[table < u.shape[axis]])
        u = jnp.take(u, read, axis=axis)
        renumbered.append(np.searchsorted(read, table))
    return u, renumbered


def _patches_first(parts: Array, dims: int) -> Array:
    """`(C, B, n, h, n, h, ...)` as `(C, B, n, n, ..., h, h, ...)`."""
    return parts.transpose(0, 1, *range(2, 2 + 2 * dims, 2), *range(3, 3 + 2 * dims, 2))
