"""Operations that need all points of a divided axis, such as an FFT: devices exchange points for rows, and back."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from neuralop_jax.kernels._space import SPACE, space_size


def on_lines(function: Callable[[Array, int], Array], u: Inexact[Array, "..."], axis: int) -> Inexact[Array, "..."]:
    r"""`function(u, axis)`, which works on every line along the divided `axis` by itself: devices do their shares of the lines.

    Only inside of a `shard_map` over a mesh with the axis `"space"`.

    **Arguments:**

    - `function`: is given whole lines, `(lines, points)`, and their axis, 1, and returns `(lines, new_points)`. Some of the lines
        may be zeros that fill up a share. The new points must be a multiple of the devices; else JAX raises `ValueError`.
    - `u`: the block that is here.
    - `axis`: of `u`.

    **Returns:** the block of the result that is here, of the shape of `u` but on `axis`.

    Below, the Fourier transform of $\cos 2\pi 3x$ on $N$ points, $N/2$ at the wavenumbers $\pm 3$. One device transforms the four
    lines by itself; of several, each transforms some of them and holds a block of every spectrum in the end:

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from jax.sharding import Mesh, PartitionSpec
        from neuralop_jax.kernels import on_lines

        points, blocks = 8 * jax.device_count(), PartitionSpec(None, "space")
        waves = jnp.broadcast_to(jnp.cos(2 * jnp.pi * 3 * jnp.arange(points) / points), (4, points))
        transform = lambda u: on_lines(lambda lines, axis: jnp.fft.fft(lines, axis=axis), u, 1)
        spectra = jax.shard_map(transform, mesh=Mesh(jax.devices(), ("space",)), in_specs=blocks, out_specs=blocks)(waves)
        wanted = jnp.zeros(points).at[jnp.array([3, -3])].set(points / 2)
        assert jnp.allclose(spectra, wanted, atol=1e-4)
        ```
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
