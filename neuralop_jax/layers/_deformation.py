"""A learned deformation of the plane, which moves scattered points to where a Fourier series suits them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers._mlp import MLP
from neuralop_jax.layers._pointwise import Pointwise

_CENTER = 1e-4


class Deformation(eqx.Module):
    r"""$\xi_i(x) = x_i\,(1 + f_i(x, p))$ with a network $f$ of the coordinates, the angle and the radius of a point of the plane.

    $f$ reads an affine map of these four features and their waves $\sin(2^j\pi\,\cdot)$, $\cos(2^j\pi\,\cdot)$ for
    $j = 0 \dots d/4 - 1$, beside an affine map of the parameters $p$ of the geometry where there are any, and has three hidden
    layers of $4d$ with tanh. Angle and radius are taken about the point $(10^{-4}, 10^{-4})$, where they have no derivative.

    **Arguments:**

    - `width`: $d$, a multiple of 4. *Good values:* 16 to 32; every four more add a wave twice as short.
    - `num_parameters`: length of $p$; 0 if all samples share the deformation.
    - `key`: initial weights.

    **Raises:** `ConfigError` for another width, or a negative number of parameters.

    **Source:** Li et al. 2023, arXiv:2207.05209, appendix, and its published code.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        from neuralop_jax.layers import Deformation

        deformation = Deformation(8, key=jax.random.key(0))
        assert deformation(jnp.ones((2, 50))).shape == (2, 50)
        ```
    """

    features: Pointwise
    mix: Pointwise
    network: MLP
    width: int = eqx.field(static=True)
    num_parameters: int = eqx.field(static=True)

    def __init__(self, width: int = 32, *, num_parameters: int = 0, key: PRNGKey):
        if width < 4 or width % 4:
            raise ConfigError(f"the width of a deformation must be a multiple of 4, got {width}.")
        if num_parameters < 0:
            raise ConfigError(f"num_parameters of a deformation must not be negative, got {num_parameters}.")
        first, second, third = jax.random.split(key, 3)
        self.features = Pointwise(4, width, key=first)
        self.mix = Pointwise(num_parameters or 3 * width, width if num_parameters else 4 * width, key=second)
        sizes = (*(4 * width,) * 4, 2)
        self.network = MLP(sizes, activations="tanh", initializer="pytorch", key=third)
        self.width, self.num_parameters = width, num_parameters

    def __call__(
        self, x: Float[Array, "2 *batch_points"], p: Float[Array, "*batch parameters"] | None = None
    ) -> Float[Array, "2 *batch_points"]:
        """The deformed points `(2, points)`, or `(2, batch, points)` with `p` `(batch, :)`; at least in single precision."""
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        away = x - _CENTER
        seen = jnp.concatenate([x, jnp.arctan2(away[1], away[0])[None], jnp.hypot(*away)[None]])
        octaves = jnp.asarray(np.pi * 2.0 ** np.arange(self.width // 4), x.dtype)
        angles = (seen[:, None] * octaves.reshape(1, -1, *(1,) * (x.ndim - 1))).reshape(self.width, *x.shape[1:])
        v = jnp.concatenate([self.features(seen), jnp.sin(angles), jnp.cos(angles)])
        if self.num_parameters == 0:
            v = self.mix(v)
        elif p is not None:
            code = jnp.broadcast_to(self.mix(p.astype(x.dtype).T)[..., None], (self.width, *p.shape[:-1], x.shape[-1]))
            v = jnp.concatenate([code, v])
        return x * (1 + self.network(v))
