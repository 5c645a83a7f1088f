"""A bias that is a function of space: learned on a coarse grid, the same function on every finer one."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import own_part, whole_shape
from neuralop_jax.kernels._convolve import BOUNDARY_RULES


class BiasFunction(eqx.Module):
    r"""$v_c = u_c + B_c(x)$, where $B_c$ is (bi-, tri-)linear between learned values on a coarse grid; zero at the start.

    **Arguments:**

    - `num_dims`: space axes.
    - `channels`: size.
    - `points`: learned values per axis.
    - `boundary`: `"zeros"` makes $B$ vanish at the first and last point of each axis, `"periodic"` continues it around;
      otherwise the outermost learned values belong to these points.

    **Raises:** `ConfigError` for another boundary.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import BiasFunction

        layer = BiasFunction(2, 3, points=4)
        assert layer(jnp.ones((3, 16, 17))).shape == (3, 16, 17)
        ```
    """

    values: Float[Array, "channels *points"]
    boundary: str = eqx.field(static=True)

    def __init__(self, num_dims: int, channels: int, *, points: int = 8, boundary: str = "zeros"):
        one_of("boundary", boundary, BOUNDARY_RULES, ConfigError)
        self.values = jnp.zeros((channels, *(points,) * num_dims))
        self.boundary = boundary

    def __call__(self, u: Float[Array, "channels *batch_space"]) -> Float[Array, "channels *batch_space"]:
        """The field with the bias added; several samples stand between channels and space."""
        dims = self.values.ndim - 1
        field = self.values.astype(u.dtype)
        for axis, points in enumerate(whole_shape(u.shape[u.ndim - dims :]), 1):
            hats = _hats(points, field.shape[axis], self.boundary)
            weights = jnp.asarray(own_part(hats, 0) if axis == 1 else hats, u.dtype)
            field = jnp.moveaxis(jnp.tensordot(weights, field, (1, axis)), 0, axis)
        return u + jnp.expand_dims(field, range(1, u.ndim - dims))


def _hats(points: int, values: int, boundary: str) -> np.ndarray:
    """At `points` grid points the `values` piecewise linear functions that are 1 at one node and 0 at the others."""
    if boundary == "periodic":
        x, nodes = np.arange(points) / points, np.arange(values + 1) / values
    else:
        x = np.arange(points) / max(points - 1, 1)
        nodes = np.linspace(0, 1, values + 2) if boundary == "zeros" else np.linspace(0, 1, max(values, 2))
    hats = np.stack([np.interp(x, nodes, node) for node in np.eye(len(nodes))], 1)
    if boundary == "periodic":
        hats[:, 0] += hats[:, -1]
        return hats[:, :-1]
    if boundary == "zeros":
        return hats[:, 1:-1]
    return hats if values > 1 else hats.sum(1, keepdims=True)
