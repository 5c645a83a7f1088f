"""Coordinates as extra channels, so that an operator that commutes with shifts can learn one that does not."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact


def append_coordinates(u: Inexact[Array, "channels *space"], *, endpoint: bool = False) -> Inexact[Array, "more *space"]:
    """The channels of `u` followed by one channel per axis with its coordinate on (0, 1).

    With `endpoint` the last point lies on 1, as in the first FNO's scripts; without it at $1 - 1/N$, as on a periodic grid.
    """
    axes = [np.linspace(0, 1, n, endpoint=endpoint) for n in u.shape[1:]]
    coordinates = np.stack(np.meshgrid(*axes, indexing="ij"))
    return jnp.concatenate([u, jnp.asarray(coordinates, u.dtype)])
