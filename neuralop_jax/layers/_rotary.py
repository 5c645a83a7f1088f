"""Rotary position encoding: channel pairs turned by angles proportional to a physical coordinate."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_SHORTEST, _RATIO = 64.0, 10000.0


def rotary_frequencies(channels: int, *, period: float | None = None) -> Float[np.ndarray, " half"]:
    r"""The angular frequencies $64 \cdot 10000^{-2j/c}$, $j < c/2$, of an even number $c$ of `channels`, in radians per length.

    With a `period` $L$ each is rounded to the nearest multiple of $2\pi/L$, so that angles at $x$ and $x + L$ are equal; the
    lowest frequencies become zero.

    **Source:** Su et al. 2021, arXiv:2104.09864, equation 15, with the scale 64 of Li et al. 2023, arXiv:2305.17560.
    """
    # Single precision, as the published code keeps them.
    exponent = np.arange(0, channels, 2, dtype=np.float32) / np.float32(channels)
    frequencies = _SHORTEST * (np.float32(1) / np.float32(_RATIO) ** exponent).astype(np.float64)
    if period is None:
        return frequencies
    return np.round(frequencies * period / (2 * np.pi)) * (2 * np.pi / period)


def rotate(
    q: Float[Array, "heads channels *batch points"], x: Float[Array, " points"], frequencies: Float[Array, " half"]
) -> Float[Array, "heads channels *batch points"]:
    r"""`q` with channel pairs $(j, j + c/2)$ turned by the angles $f_j x$.

    Products $\langle q(x), k(y)\rangle$ of two fields turned in this way depend on positions through $x - y$ alone.

    **Arguments:**

    - `q`: an even number of channels on the second axis.
    - `x`: coordinates of the points, in the unit of length that `frequencies` refer to.
    """
    real = jnp.result_type(jnp.float32, x.dtype)  # angles reach hundreds of radians
    angles = frequencies.astype(real)[:, None] * x.astype(real)[None]
    shape = (1, angles.shape[0], *(1,) * (q.ndim - 3), angles.shape[1])
    cosine, sine = (f(angles).astype(q.dtype).reshape(shape) for f in (jnp.cos, jnp.sin))
    first, second = jnp.split(q, 2, axis=1)
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=1)
