"""Random waves of the coordinates, from which a network learns where it is."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.layers._untrained import Buffer


class FourierFeatures(eqx.Module):
    r"""$\gamma(x) = [\sin(2\pi B^\top x), \cos(2\pi B^\top x)]$ with untrained wavenumbers $B_{ij} \sim \mathcal N(0, \sigma^2)$.

    **Arguments:**

    - `num_dims`: space axes.
    - `features`: their number, even: half sines, half cosines.
    - `scale`: $\sigma$, in waves per unit length. *Good values:* 1 to 8.
    - `extent`: lengths $L_i$ of a periodic box: every wavenumber is rounded to a multiple of $1/L_i$; `None` leaves them.
    - `key`: draws $B$.

    **Source:** Tancik et al. 2020, arXiv:2006.10739, section 6.1.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import FourierFeatures

        features = FourierFeatures(1, 8, extent=(2.0,), key=jax.random.key(0))
        assert jnp.allclose(features([jnp.zeros(1)]), features([jnp.full(1, 2.0)]), atol=1e-4)  # period 2
        ```
    """

    wavenumbers: Buffer

    def __init__(self, num_dims: int, features: int, *, scale: float = 1.0, extent: Sequence[float] | None = None, key: PRNGKey):
        drawn = scale * jax.random.normal(key, (num_dims, features // 2))
        if extent is not None:
            lengths = jnp.asarray(extent, drawn.dtype)[:, None]
            drawn = jnp.round(drawn * lengths) / lengths
        self.wavenumbers = Buffer(drawn)

    def __call__(self, coordinates: Sequence[Float[Array, " _points"]]) -> Float[Array, "features *space"]:
        """The features on the grid whose axes have these coordinates, in their type but at least single precision.

        Sums of angles are turned into products of one-axis waves, which are cheaper than sines at every point.
        """
        real = jnp.result_type(jnp.float32, coordinates[0].dtype)  # angles reach hundreds of radians
        sine, cosine = jnp.zeros((0,)), jnp.zeros((0,))
        for axis, (x, b) in enumerate(zip(coordinates, self.wavenumbers.value, strict=True)):
            angles = 2 * jnp.pi * b.astype(real)[:, None] * x.astype(real)[None]
            s, c = jnp.sin(angles), jnp.cos(angles)
            if axis == 0:
                sine, cosine = s, c
            else:
                s, c = (f.reshape(len(f), *(1,) * (sine.ndim - 1), -1) for f in (s, c))
                sine, cosine = sine[..., None] * c + cosine[..., None] * s, cosine[..., None] * c - sine[..., None] * s
        return jnp.concatenate([sine, cosine])
