"""A small network over the channels, the same at every point: lifting, projection, and the mixing inside a block."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Inexact

from neuralop_jax._typing import PRNGKey
from neuralop_jax.layers._activation import activation
from neuralop_jax.layers._pointwise import Pointwise


class ChannelMLP(eqx.Module):
    """Affine maps through `sizes` channels with the activation between them.

    **Arguments:**

    - `sizes`: channels before, between and after the maps; two entries make one affine map without activation.
    - `activation`: its name in `ACTIVATIONS`.
    - `complex_data`: complex maps and split activation.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import ChannelMLP

        layer = ChannelMLP((2, 8, 3), key=jax.random.key(0))
        u = jax.random.normal(jax.random.key(1), (2, 8, 8))
        assert jnp.allclose(layer(u)[:, ::2], layer(u[:, ::2]), atol=1e-6)  # every point by itself
        ```
    """

    layers: tuple[Pointwise, ...]
    activation: str = eqx.field(static=True)

    def __init__(self, sizes: Sequence[int], *, activation: str = "gelu", complex_data: bool = False, key: PRNGKey):
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = zip(sizes[:-1], sizes[1:], keys, strict=True)
        self.layers = tuple(Pointwise(a, b, complex_data=complex_data, key=k) for a, b, k in pairs)
        self.activation = activation

    def __call__(self, u: Inexact[Array, "channels *points"]) -> Inexact[Array, "out *points"]:
        v = u.reshape(len(u), -1)  # matrices: XLA then stores an activation once, see FourierBlock
        for layer in self.layers[:-1]:
            v = activation(self.activation, layer(v))
        return self.layers[-1](v).reshape(-1, *u.shape[1:])
