"""Coordinates as extra channels, so that an operator that commutes with shifts can learn one that does not."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax.kernels import is_divided, is_known, own_part, whole_shape


def append_coordinates(
    u: Inexact[Array, "channels *batch_space"], num_dims: int, *, endpoint: bool = False
) -> Inexact[Array, "more *batch_space"]:
    """The channels of `u` followed by one channel per space axis, the last `num_dims`, with its coordinate on (0, 1).

    With `endpoint` the last point lies on 1, as in the first FNO's scripts; without it at $1 - 1/N$, as on a periodic grid.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import append_coordinates

        assert append_coordinates(jnp.zeros((1, 4)), 1)[1].tolist() == [0, 0.25, 0.5, 0.75]
        ```
    """
    shape = whole_shape(u.shape[-num_dims:])
    first, *others = ((np if is_known(n) else jnp).linspace(0, 1, n, endpoint=endpoint) for n in shape)
    numbers = np if is_known(*shape) and not is_divided() else jnp  # as constants where they can be
    coordinates = numbers.stack(numbers.meshgrid(own_part(first, 0), *others, indexing="ij"))
    samples = numbers.expand_dims(coordinates, tuple(range(1, u.ndim - num_dims)))
    return jnp.concatenate([u, jnp.broadcast_to(jnp.asarray(samples, u.dtype), (num_dims, *u.shape[1:]))])


def periodic_features(y: Float[Array, "dims *points"], number: int) -> Float[Array, "more *points"]:
    r"""$\cos 2\pi k y,\ \sin 2\pi k y$ for $k = 1 \dots$ `number`, in place of coordinates on the unit box: what is computed from
    them has period one along every axis.

    The order is that of the published scripts: cosines of all axes, then sines, for each $k$.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import periodic_features

        assert periodic_features(jnp.zeros((2, 1)), 1)[:, 0].tolist() == [1, 1, 0, 0]
        ```
    """
    angles = [2 * np.pi * k * y for k in range(1, number + 1)]
    return jnp.concatenate([f(angle) for angle in angles for f in (jnp.cos, jnp.sin)])


def grid_points(shape: Sequence[int], *, endpoint: bool) -> np.ndarray:
    """The coordinates of the points of a grid on the unit box, `(dimensions, points)`, the last axis running fastest.

    With `endpoint` the first and the last point of every axis lie on 0 and 1; without it the last lies on $1 - 1/N$.

    !!! example

        ```python
        from neuralop_jax.layers import grid_points

        assert grid_points((2, 2), endpoint=True).tolist() == [[0, 0, 1, 1], [0, 1, 0, 1]]
        ```
    """
    axes = [np.linspace(0, 1, n, endpoint=endpoint) for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(axes), -1)
