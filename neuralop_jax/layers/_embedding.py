"""Coordinates as extra channels, so that an operator that commutes with shifts can learn one that does not."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact


def append_coordinates(
    u: Inexact[Array, "channels *batch_space"], num_dims: int, *, endpoint: bool = False
) -> Inexact[Array, "more *batch_space"]:
    """The channels of `u` followed by one channel per space axis, the last `num_dims`, with its coordinate on (0, 1).

    With `endpoint` the last point lies on 1, as in the first FNO's scripts; without it at $1 - 1/N$, as on a periodic grid.
    """
    axes = [np.linspace(0, 1, n, endpoint=endpoint) for n in u.shape[-num_dims:]]
    coordinates = np.stack(np.meshgrid(*axes, indexing="ij"))
    samples = np.expand_dims(coordinates, tuple(range(1, u.ndim - num_dims)))
    return jnp.concatenate([u, jnp.broadcast_to(jnp.asarray(samples, u.dtype), (num_dims, *u.shape[1:]))])
