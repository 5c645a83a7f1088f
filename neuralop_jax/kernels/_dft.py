"""The truncated spectral transforms as products with small real matrices: no full spectrum is formed.

With $M$ of $N$ modes per axis, the product costs $O(NM)$ per line against $O(N\\log N)$ for the FFT, runs at the speed of
matrix products, shards without collectives and has matrix products as gradient. It agrees with `_fft` to round-off.

Every product is one of two plain matrices: the axis that is contracted stands last, the axis that results stands first, and
back. Neither direction, nor its gradient, then has to transpose a field in memory.

The number of points may be a symbol of `jax.export`: the program then computes the tables, for grids that hold all kept modes.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax.kernels._modes import compute_type, is_known, wavenumbers

_HIGHEST = jax.lax.Precision.HIGHEST  # a transform in TensorFloat-32 would lose the agreement between resolutions


def dft_forward(u: Inexact[Array, "channels *batch_space"], kept: Sequence[int]) -> Float[Array, "2 *modes_batch channels"]:
    """As `fft_forward`, by matrix products, last axis first."""
    dims, real, dtype = len(kept), not jnp.iscomplexobj(u), compute_type(u.dtype)
    c = u.astype(dtype) if real else jnp.stack([u.real, u.imag]).astype(dtype)
    for axis in reversed(range(dims)):
        points, half = u.shape[u.ndim - dims + axis], real and axis == dims - 1
        product = _last_to_first(c, jnp.asarray(forward_table(kept[axis], points, half=half), dtype))
        c = product if half else complex_sum(product)  # (2, modes of this axis, modes of later axes, channels, ...)
    return jnp.moveaxis(c, 1 + dims, -1)


def dft_inverse(
    coefficients: Float[Array, "2 *modes_batch channels"], shape: Sequence[int], *, real: bool
) -> Inexact[Array, "channels *batch_space"]:
    """As `fft_inverse`, by matrix products, first axis first."""
    dims, dtype = len(shape), coefficients.dtype
    c = jnp.moveaxis(coefficients, -1, 1 + dims)
    for axis, points in enumerate(shape):
        half = real and axis == dims - 1
        modes, table = inverse_table(c.shape[1], points, half=half)
        c = c[:, modes]
        c = _first_to_last(c if half else complex_pairs(c), jnp.asarray(table, dtype))
    return c if real else c[0] + 1j * c[1]


def forward_table(kept: int, points: int, *, half: bool) -> np.ndarray | Array:
    """The real and imaginary part of $e^{-2\\pi i k n/N}/N$ for the kept wavenumbers of an axis, `(2, kept, points)`."""
    return _exponentials(wavenumbers(kept, half=half), points, -1) / points


def inverse_table(kept: int, points: int, *, half: bool) -> tuple[slice, np.ndarray | Array]:
    """Which of the kept wavenumbers an axis can represent, and what each contributes to a real product, `(2, modes, points)`.

    Of a halved axis that is the contribution of the wavenumber and its negative.
    """
    waves, first, count = wavenumbers(kept, half=half), 0, kept
    if is_known(points):
        inside = waves <= points // 2 if half else (waves >= -(points // 2)) & (waves < points - points // 2)
        first, count = int(np.argmax(inside)), int(inside.sum())
    waves = waves[first : first + count]
    table = _exponentials(waves, points, 1)
    if half:
        numbers = np if is_known(points) else jnp
        once = (waves == 0) | (2 * waves == numbers.asarray(points))
        table = table * numbers.where(once, 1.0, 2.0)[None, :, None] * np.array([1.0, -1.0])[:, None, None]
    return slice(first, first + count), table


def _last_to_first(c: Array, table: Array) -> Array:
    """`(*rows, points)` by a table `(2, modes, points)`: `(2, modes, *rows)`."""
    product = jnp.matmul(table.reshape(-1, table.shape[-1]), c.reshape(-1, c.shape[-1]).T, precision=_HIGHEST)
    return product.reshape(*table.shape[:-1], *c.shape[:-1])


def _first_to_last(c: Array, table: Array) -> Array:
    """`(2, modes, *rows)` by a table `(2, modes, points)`: `(*rows, points)`."""
    flat = c.reshape(table.shape[0] * table.shape[1], -1)
    product = jnp.matmul(flat.T, table.reshape(-1, table.shape[-1]), precision=_HIGHEST)
    return product.reshape(*c.shape[2:], table.shape[-1])


def complex_sum(products: Array) -> Array:
    """Cosine and sine products of both parts, `(2, modes, 2, *rows)`, as one complex result, `(2, modes, *rows)`."""
    cosine, sine = products
    return jnp.stack([cosine[:, 0] - sine[:, 1], cosine[:, 1] + sine[:, 0]])


def complex_pairs(c: Array) -> Array:
    """What cosines and sines multiply in both parts of a complex product: `(2, modes, *rows)` to `(2, modes, 2, *rows)`."""
    real, imaginary = c
    return jnp.stack([jnp.stack([real, imaginary], 1), jnp.stack([-imaginary, real], 1)])


def _exponentials(waves: np.ndarray, points: int, sign: int) -> np.ndarray | Array:
    """Real and imaginary part of $e^{\\pm 2\\pi i k n/N}$, `(2, modes, points)`, with the phase reduced exactly."""
    numbers: Any = np if is_known(points) else jnp
    phase = 2 * np.pi * (numbers.outer(waves, numbers.arange(points)) % points) / points
    return numbers.stack([numbers.cos(phase), sign * numbers.sin(phase)])
