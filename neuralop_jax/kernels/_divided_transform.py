r"""The truncated spectral transforms of a field that is divided along its first space axis.

The other axes are transformed where they are. Along the divided one there are two ways. Of $K$ coefficients, $R$ of them for each
wavenumber of the divided axis, with $C$ channels, $B$ samples, $N$ points on that axis and $D$ devices, in numbers per layer:

*Sums of products.* Each device multiplies its block by its columns of the small DFT matrix, and the kept coefficients are summed
over the devices. On the way back every device has all coefficients, and computes its block. A training step has two sums of
$2KCB$, in the transform and in the gradient of the inverse one; nothing else is moved.

*Pencils.* Devices exchange blocks for whole lines, transform these by the FFT, and gather the kept coefficients. A training step
has four exchanges of $2RCBN/D$, one gathering and one sum of $2KCB$. That saves arithmetic where nearly all wavenumbers are kept;
as a sum moves twice its size, it saves bytes only if $4N/D$ is less than the wavenumbers kept, and never more than a quarter.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax.kernels._dft import complex_pairs, complex_sum, forward_table, inverse_table
from neuralop_jax.kernels._fft import fft_forward, fft_inverse
from neuralop_jax.kernels._lines import to_blocks, to_lines
from neuralop_jax.kernels._modes import compute_type
from neuralop_jax.kernels._space import everywhere, gathered, own_part, own_points, space_size, space_sum

_HIGHEST = jax.lax.Precision.HIGHEST
Forward = Callable[[Array, Sequence[int]], Array]
Inverse = Callable[..., Array]


def summed_forward(
    u: Inexact[Array, "channels *batch_space"], kept: Sequence[int], others: Forward
) -> Float[Array, "2 *modes_batch channels"]:
    """As `fft_forward`, the same on all devices, by sums of products; `others` transforms the axes that are not divided."""
    points, half = space_size() * u.shape[u.ndim - len(kept)], len(kept) == 1 and not jnp.iscomplexobj(u)
    c = _with_parts(u, others, kept)  # (2, *kept[1:], *batch, points, channels), without the two if `half`
    table = own_part(jnp.asarray(forward_table(kept[0], points, half=half), c.dtype), -1)
    product = jnp.tensordot(table, c, ((2,), (c.ndim - 2,)), precision=_HIGHEST)
    return space_sum(product if half else complex_sum(product))


def summed_inverse(
    coefficients: Float[Array, "2 *modes_batch channels"], shape: Sequence[int], others: Inverse, *, real: bool
) -> Inexact[Array, "channels *batch_space"]:
    """As `fft_inverse`, the block of a grid of `shape` that is here, by products."""
    half = real and len(shape) == 1
    modes, table = inverse_table(coefficients.shape[1], shape[0], half=half)
    c = everywhere(coefficients)[:, modes]
    table = own_part(jnp.asarray(table, c.dtype), -1)
    c = jnp.tensordot(c if half else complex_pairs(c), table, ((0, 1), (0, 1)), precision=_HIGHEST)
    c = jnp.moveaxis(c, -1, -2)  # (2, *kept[1:], *batch, points, channels), without the two if `half`
    return _without_parts(c, shape, others, real=real)


def pencil_forward(
    u: Inexact[Array, "channels *batch_space"], kept: Sequence[int], others: Forward
) -> Float[Array, "2 *modes_batch channels"]:
    """As `fft_forward`, the same on all devices, by an FFT of whole lines."""
    c = _with_parts(u, others, kept)
    c = c if len(kept) == 1 and not jnp.iscomplexobj(u) else c[0] + 1j * c[1]
    rows = (*c.shape[:-2], c.shape[-1])
    lines = fft_forward(to_lines(c, -2), kept[:1])  # (2, kept[0], lines)
    return gathered(lines, 2)[..., : int(np.prod(rows))].reshape(2, kept[0], *rows)


def pencil_inverse(
    coefficients: Float[Array, "2 *modes_batch channels"], shape: Sequence[int], others: Inverse, *, real: bool
) -> Inexact[Array, "channels *batch_space"]:
    """As `fft_inverse`, the block of a grid of `shape` that is here, by an FFT of whole lines."""
    half, rows = real and len(shape) == 1, coefficients.shape[2:]
    c = everywhere(coefficients).reshape(2, coefficients.shape[1], -1)
    c = own_part(jnp.pad(c, ((0, 0), (0, 0), (0, -c.shape[-1] % space_size()))), 2)
    block = (*rows[:-1], own_points(shape[0]), rows[-1])
    c = to_blocks(fft_inverse(c, shape[:1], real=half), block, -2)
    return _without_parts(c if half else jnp.stack([c.real, c.imag]), shape, others, real=real)


def _with_parts(u: Array, others: Forward, kept: Sequence[int]) -> Array:
    """The coefficients over the other axes, `(2, *kept[1:], *batch, points, channels)`.

    If there are none, and the field is real, it is `(*batch, points, channels)`.
    """
    if len(kept) > 1:
        return others(u, kept[1:])
    u = jnp.moveaxis(u, 0, -1)
    return (jnp.stack([u.real, u.imag]) if jnp.iscomplexobj(u) else u).astype(compute_type(u.dtype))


def _without_parts(c: Array, shape: Sequence[int], others: Inverse, *, real: bool) -> Array:
    """Undoes `_with_parts`."""
    if len(shape) > 1:
        return others(c, shape[1:], real=real)
    return jnp.moveaxis(c if real else c[0] + 1j * c[1], -1, 0)
