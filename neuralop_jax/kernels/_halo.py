"""Points of a divided axis that other devices hold: next to a block, or any window of the whole axis."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from neuralop_jax.kernels._patches import inside
from neuralop_jax.kernels._space import SPACE, gathered, own_part, own_points, space_size


def beyond(
    u: Inexact[Array, "..."], axis: int, before: int, after: int, boundary: str
) -> tuple[Inexact[Array, "..."], Inexact[Array, "..."]]:
    """The points of the divided `axis` next to the block `u`: `before` points that come before it and `after` that come after.

    Every neighbor sends only these points. At the ends of the whole axis they are what `boundary` says, one of `BOUNDARY_RULES`.
    A block that is too small to be reflected or to have its last value repeated by one device is gathered: it is smaller than
    what is asked for.
    """
    points, index = u.shape[axis], jax.lax.axis_index(SPACE)
    ends = []
    for width, forward in ((before, True), (after, False)):
        if boundary in ("zeros", "periodic"):
            ends.append(_received(u, axis, width, forward, wraps=boundary == "periodic"))
        elif width < points:
            mirrored = boundary == "reflect"
            first = (1 if mirrored else 0) if forward else (points - 1 - width if mirrored else points - 1)
            filling = jax.lax.slice_in_dim(u, first, first + (width if mirrored else 1), axis=axis)
            filling = jnp.flip(filling, axis) if mirrored else jnp.repeat(filling, width, axis)
            received = _received(u, axis, width, forward, wraps=False)
            ends.append(jnp.where(index == (0 if forward else space_size() - 1), filling, received))
        else:
            starts = points * np.arange(space_size()) + (-width if forward else points)
            table = inside(starts[:, None] + np.arange(width), points * space_size(), boundary)
            ends.append(jnp.take(gathered(u, axis), own_part(table, 0)[0], axis, mode="clip"))
    return ends[0], ends[1]


def window(
    u: Inexact[Array, "..."], axis: int, first: int, points: int, *, step: int | None = None, boundary: str = "zeros"
) -> Inexact[Array, "..."]:
    r"""The points $f + is, \dots, f + is + p - 1$ of the whole divided axis on device $i$, of which `u` is the block here.

    **Arguments:**

    - `axis`: of `u`.
    - `first`, `points`: $f$ and $p$.
    - `step`: $s$, the points of a block if left out: every block is widened alike.
    - `boundary`: what is beyond the ends of the whole axis, one of `BOUNDARY_RULES`.
    """
    block = u.shape[axis]
    step = block if step is None else step
    drift = (space_size() - 1) * (step - block)  # by how much more the last window is shifted against its block than the first
    before, after = max(0, -first, -first - drift), max(0, first + points - block, first + drift + points - block)
    left, right = beyond(u, axis, before, after, boundary)
    wide = jnp.concatenate([left, u, right], axis) if before or after else u
    start = before + first
    if step != block:
        return jax.lax.dynamic_slice_in_dim(wide, start + (step - block) * jax.lax.axis_index(SPACE), points, axis)
    return jax.lax.slice_in_dim(wide, start, start + points, axis=axis)


def redivided(u: Inexact[Array, "..."], axis: int, before: int, after: int) -> Inexact[Array, "..."]:
    """The whole divided axis with `before` and `after` more zeros at its ends, or fewer points if negative, in equal blocks.

    Of $N$ points on $D$ devices, `u` has the $N/D$ of this block on `axis`, the result $(N + b + a)/D$, with `before` $b$ and
    `after` $a$. Only inside of a `shard_map` over a mesh with the axis `"space"`.

    **Raises:** `ValueError` if the devices cannot share what results evenly.

    Below, one device pads as `jnp.pad` does. Of more devices each has a longer block then, which begins elsewhere in the domain:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import redivided

        n, blocks, mesh = jax.device_count(), PartitionSpec("space"), Mesh(jax.devices(), ("space",))
        on_blocks = lambda function: jax.shard_map(function, mesh=mesh, in_specs=blocks, out_specs=blocks)
        u = jnp.arange(1.0, 4 * n + 1)
        padded = on_blocks(lambda u: redivided(u, 0, 2 * n, n))(u)
        assert (padded == jnp.pad(u, (2 * n, n))).all()
        assert (on_blocks(lambda u: redivided(u, 0, -2 * n, -n))(padded) == u).all()
        ```
    """
    if before == after == 0:
        return u
    points = own_points(space_size() * u.shape[axis] + before + after)
    return window(u, axis, -before, points, step=points)


def _received(u: Array, axis: int, width: int, forward: bool, *, wraps: bool) -> Array:
    """The `width` points before a block if `forward`, else after it; zeros where there is no device, unless the axis `wraps`."""
    size, points, parts, hop = space_size(), u.shape[axis], [], 1
    while width > 0:
        count = min(width, points)
        start = points - count if forward else 0
        part = jax.lax.slice_in_dim(u, start, start + count, axis=axis)
        parts.append(jax.lax.ppermute(part, SPACE, _pairs(size, hop if forward else -hop, wraps)))
        width, hop = width - count, hop + 1
    if not parts:
        return jax.lax.slice_in_dim(u, 0, 0, axis=axis)
    return jnp.concatenate(parts[::-1] if forward else parts, axis)


def _pairs(size: int, hop: int, wraps: bool) -> Sequence[tuple[int, int]]:
    return [(device, (device + hop) % size) for device in range(size) if wraps or 0 <= device + hop < size]
