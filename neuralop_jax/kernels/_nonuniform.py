"""Fourier sums over scattered points: from values at points to coefficients, and from coefficients to values at points."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.kernels._modes import compute_type, wavenumbers

_HIGHEST = jax.lax.Precision.HIGHEST


def points_to_modes(
    u: Float[Array, "channels *batch_points"], x: Float[Array, "dims *batch_or_points"], kept: Sequence[int]
) -> Float[Array, "2 *modes_batch channels"]:
    r"""$\hat u_k = \frac1N \sum_{n} u(x_n)\, e^{-2\pi i k \cdot x_n}$ for the kept wavenumbers of a real function.

    On the points of a uniform grid on the unit box these are the coefficients of `forward_transform`.

    **Arguments:**

    - `u`: values at points, `(channels, points)`, or of several functions, `(channels, batch, points)`.
    - `x`: coordinates in units of the period, `(dims, points)` for all functions or `(dims, batch, points)` for each its own.
    - `kept`: wavenumbers per axis, in the order of `wavenumbers`; the last axis holds those from 0 on.

    **Returns:** real and imaginary parts, `(2, *modes, *batch, channels)`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import points_to_modes

        x = jnp.arange(8.0)[None] / 8
        c = points_to_modes(jnp.cos(2 * jnp.pi * x), x, (3,))
        assert jnp.allclose(c[0, :, 0], jnp.array([0, 0.5, 0]), atol=1e-6)
        ```
    """
    cosine, sine = _waves(x, kept)
    values = (u / u.shape[-1]).astype(cosine.dtype)
    sums = "cbn,mbn->mbc" if x.ndim > 2 else "c...n,mn->m...c"
    total = jnp.stack([jnp.einsum(sums, values, wave, precision=_HIGHEST) for wave in (cosine, -sine)])
    return total.reshape(2, *kept, *total.shape[2:])


def modes_to_points(
    coefficients: Float[Array, "2 *modes_batch channels"], x: Float[Array, "dims *batch_or_points"]
) -> Float[Array, "channels *batch_points"]:
    r"""$u(x_n) = \operatorname{Re} \sum_k s_k\, \hat u_k\, e^{2\pi i k \cdot x_n}$: the real function of these coefficients.

    $s_k = 2$ for wavenumbers above 0 on the halved last axis, which stand for their negatives too, and 1 for 0. On the points of
    a uniform grid that is `inverse_transform`, with one exception: where the last axis has an even number $N$ of points and the
    coefficients go up to $k = N/2$, this wavenumber and its negative are the same on the grid, which counts it once.

    **Arguments:**

    - `coefficients`: real and imaginary parts in the order of `points_to_modes`, `(2, *modes, channels)`, or of several
        functions, `(2, *modes, batch, channels)`.
    - `x`: coordinates in units of the period, `(dims, points)` for all functions or `(dims, batch, points)` for each its own.

    **Returns:** values at the points, `(channels, points)` or `(channels, batch, points)`, in single precision at least.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import modes_to_points, points_to_modes

        wave = lambda x: 1 + jnp.cos(2 * jnp.pi * x) - jnp.sin(2 * jnp.pi * 2 * x)
        grid, scattered = jnp.arange(8.0)[None] / 8, jnp.array([[0.03, 0.41, 0.77]])
        coefficients = points_to_modes(wave(grid), grid, (3,))
        assert jnp.allclose(modes_to_points(coefficients, scattered), wave(scattered), atol=1e-5)  # between the grid's points
        ```
    """
    dims = len(x)
    kept, samples = coefficients.shape[1 : 1 + dims], coefficients.shape[1 + dims : -1]
    cosine, sine = _waves(x, kept)
    doubled = np.where(np.arange(kept[-1]) == 0, 1.0, 2.0).reshape(*(1,) * dims, -1, *(1,) * (coefficients.ndim - dims - 1))
    real, imaginary = (coefficients * jnp.asarray(doubled, coefficients.dtype)).astype(cosine.dtype)
    rows = lambda part: part.reshape(-1, *samples, part.shape[-1])  # noqa: E731
    sums = "mbc,mbn->cbn" if x.ndim > 2 else "m...c,mn->c...n"
    product = lambda part, wave: jnp.einsum(sums, rows(part), wave, precision=_HIGHEST)  # noqa: E731
    return product(real, cosine) - product(imaginary, sine)


def _waves(x: Array, kept: Sequence[int]) -> tuple[Array, Array]:
    r"""$\cos 2\pi k \cdot x$ and $\sin 2\pi k \cdot x$, `(modes, *batch, points)`, as products of waves along one axis each."""
    x = x.astype(compute_type(x.dtype))
    cosine, sine = jnp.ones((1, *x.shape[1:]), x.dtype), jnp.zeros((1, *x.shape[1:]), x.dtype)
    for axis, number in enumerate(kept):
        k = jnp.asarray(wavenumbers(number, half=axis == len(kept) - 1), x.dtype)
        angles = 2 * jnp.pi * jnp.expand_dims(k, tuple(range(1, x.ndim))) * x[axis][None]
        c, s = jnp.cos(angles)[None], jnp.sin(angles)[None]
        before_c, before_s = cosine[:, None], sine[:, None]
        both = before_c * c - before_s * s, before_s * c + before_c * s
        cosine, sine = (wave.reshape(-1, *x.shape[1:]) for wave in both)
    return cosine, sine
