"""The truncated spectral transforms as products with small real matrices: no full spectrum is formed.

With $M$ of $N$ modes per axis, the product costs $O(NM)$ per line against $O(N\\log N)$ for the FFT, runs at the speed of
matrix products, shards without collectives and has matrix products as gradient. It agrees with `_fft` to round-off.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax.kernels._modes import compute_type, wavenumbers

_HIGHEST = jax.lax.Precision.HIGHEST  # a transform in TensorFloat-32 would lose the agreement between resolutions


def dft_forward(u: Inexact[Array, "channels *space"], kept: Sequence[int]) -> Float[Array, "2 *modes channels"]:
    """As `fft_forward`, by matrix products, last axis first."""
    shape, real = u.shape[1:], not jnp.iscomplexobj(u)
    dtype = compute_type(u.dtype)
    waves = [wavenumbers(m, half=real and i == len(kept) - 1) for i, m in enumerate(kept)]
    tables = [_exponentials(k, n, -1) / n for k, n in zip(waves, shape, strict=True)]
    if real:  # (channels, *space) -> (channels, *space but the last, 2, modes)
        count = kept[-1]
        table = jnp.asarray(tables[-1].reshape(2 * count, -1).T, dtype)
        c = jnp.matmul(u.astype(dtype), table, precision=_HIGHEST)
        c = c.reshape(*c.shape[:-1], 2, count)
        done = 1
    else:
        c = jnp.stack([u.real, u.imag], axis=u.ndim).astype(dtype)[..., None]
        c, done = jnp.moveaxis(c, -2, -1)[..., 0, :], 0  # (channels, *space, 2)
    for axis in reversed(range(len(shape) - done)):
        c = _contract_axis(c, jnp.asarray(tables[axis], dtype), 1 + axis)
    return jnp.moveaxis(c, 0, -1)


def _contract_axis(c: Array, table: Array, axis: int) -> Array:
    """Transforms the last remaining space axis: `(channels, ..., n, 2, *done)` -> `(channels, ..., 2, modes, *done)`."""
    product = jnp.tensordot(table, c, ((2,), (axis,)), precision=_HIGHEST)  # (2, modes, channels, ..., 2, *done)
    cosine, sine = product[0], product[1]
    pair = 1 + axis  # the axis of real and imaginary part within cosine and sine, behind (modes, channels, ...)
    real = _take(cosine, pair, 0) - _take(sine, pair, 1)
    imaginary = _take(cosine, pair, 1) + _take(sine, pair, 0)
    return jnp.moveaxis(jnp.stack([real, imaginary]), (0, 1), (axis, axis + 1))


def dft_inverse(
    coefficients: Float[Array, "2 *modes channels"], shape: Sequence[int], *, real: bool
) -> Inexact[Array, "channels *space"]:
    """As `fft_inverse`, by matrix products, first axis first."""
    dims = len(shape)
    dtype = coefficients.dtype
    c = jnp.moveaxis(coefficients, 0, dims)  # (*modes, 2, channels)
    for axis, points in enumerate(shape):
        half = real and axis == dims - 1
        waves = wavenumbers(c.shape[0], half=half)
        if half:
            inside = waves <= points // 2
        else:
            inside = (waves >= -(points // 2)) & (waves < points - points // 2)
        first = int(np.argmax(inside))
        c, waves = c[first : first + int(inside.sum())], waves[inside]
        exponentials = _exponentials(waves, points, 1)  # (2, modes, points)
        if half:
            once = (waves == 0) | (2 * waves == points)
            table = np.stack([exponentials[0], -exponentials[1]], 1) * np.where(once, 1.0, 2.0)[:, None, None]
            table = jnp.asarray(table.reshape(-1, points), dtype)
            # (modes, 2, channels, *space) -> (channels, *space, modes * 2) @ table
            flat = jnp.moveaxis(c, (0, 1), (-2, -1)).reshape(*c.shape[2:], -1)
            return jnp.matmul(flat, table, precision=_HIGHEST)
        pair = dims - axis  # axis of real and imaginary part in c
        turned = jnp.stack([-_take(c, pair, 1), _take(c, pair, 0)], pair)
        both = jnp.stack([c, turned])  # (2, modes, ..., 2, channels, *space)
        c = jnp.tensordot(both, jnp.asarray(exponentials, dtype), ((0, 1), (0, 1)), precision=_HIGHEST)
    return c[0] + 1j * c[1]


def _exponentials(waves: np.ndarray, points: int, sign: int) -> np.ndarray:
    """Real and imaginary part of $e^{\\pm 2\\pi i k n/N}$, `(2, modes, points)`, with the phase reduced exactly."""
    phase = 2 * np.pi * (np.outer(waves, np.arange(points)) % points) / points
    return np.stack([np.cos(phase), sign * np.sin(phase)])


def _take(a: Array, axis: int, index: int) -> Array:
    return jax.lax.index_in_dim(a, index, axis, keepdims=False)
