"""One interface to the two ways of computing a truncated spectral transform, and the rule that chooses between them."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from neuralop_jax.kernels._dft import dft_forward, dft_inverse
from neuralop_jax.kernels._divided_transform import pencil_forward, pencil_inverse, summed_forward, summed_inverse
from neuralop_jax.kernels._fft import fft_forward, fft_inverse
from neuralop_jax.kernels._modes import is_known
from neuralop_jax.kernels._space import is_divided

Transform = Literal["auto", "fft", "dft"]


def prefers_matrix_products(kept: Sequence[int], shape: Sequence[int], *, real: bool, platform: str) -> bool:
    r"""Whether a truncated transform is faster by matrix products than by the FFT.

    Matrix products win where few of the wavenumbers are kept: on every axis $M \le N/4$, or $M \le N/2$ on axes of up to 64
    points, where an FFT cannot amortize its passes. (Measured on CPU for 2-D fields of 32 to 512 points per axis.) On TPU,
    where FFTs are slow and matrix units fast, also up to $M \le N/2$ on every axis.

    **Arguments:**

    - `kept`: the size of the block of coefficients, as `kept_modes` gives it. $M$ is its entry, but on the last axis of real
        data, where $K$ columns stand for $M = 2(K - 1)$ wavenumbers.
    - `shape`: $N$ per axis.
    - `real`: whether the field is real.
    - `platform`: `"cpu"`, `"gpu"` or `"tpu"`, as `jax.default_backend()` says.

    !!! example

        ```python
        from neuralop_jax.kernels import kept_modes, prefers_matrix_products

        def prefers(modes, points, platform):
            kept = kept_modes((modes, modes), (points, points), real=True)
            return prefers_matrix_products(kept, (points, points), real=True, platform=platform)

        assert prefers(16, 128, "cpu") and prefers(32, 64, "cpu")  # an eighth of the wavenumbers, and half of few
        assert not prefers(64, 128, "cpu") and prefers(64, 128, "tpu")  # half of many
        ```
    """
    total = [*kept[:-1], 2 * (kept[-1] - 1) if real else kept[-1]]
    lenient = platform == "tpu"
    return all(4 * m <= n or (2 * m <= n and (lenient or n <= 64)) for m, n in zip(total, shape, strict=True))


def _by_matrix_products(transform: Transform, kept: Sequence[int], shape: Sequence[int], real: bool) -> bool:
    if transform == "auto" and is_known(*shape):
        return prefers_matrix_products(kept, shape, real=real, platform=jax.default_backend())
    return transform != "fft"  # an FFT has a length, a symbol has none


def forward_transform(
    u: Inexact[Array, "channels *batch_space"], kept: Sequence[int], *, transform: Transform = "auto"
) -> Float[Array, "2 *modes_batch channels"]:
    """The kept Fourier coefficients of `u`: see `fft_forward`. `transform` names the algorithm; `"auto"` picks the faster.

    Of a divided field they are the same on all devices. Then `"fft"` is the FFT of whole lines, `"auto"` and `"dft"` sum products
    over the devices, which moves the kept coefficients alone (see `_divided_transform`).

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import forward_transform, inverse_transform

        u = jnp.sin(2 * jnp.pi * jnp.arange(16) / 16)[None]
        fine = inverse_transform(forward_transform(u, (4,)), (32,), real=True)
        assert jnp.allclose(fine[:, ::2], u, atol=1e-6)
        ```
    """
    real, shape = not jnp.iscomplexobj(u), u.shape[u.ndim - len(kept) :]
    if not is_divided():
        algorithm = dft_forward if _by_matrix_products(transform, kept, shape, real) else fft_forward
        return algorithm(u, kept)
    by_products = len(kept) == 1 or _by_matrix_products(transform, kept[1:], shape[1:], real)
    divided = pencil_forward if transform == "fft" else summed_forward
    return divided(u, kept, dft_forward if by_products else fft_forward)


def inverse_transform(
    coefficients: Float[Array, "2 *modes_batch channels"], shape: Sequence[int], *, real: bool, transform: Transform = "auto"
) -> Inexact[Array, "channels *batch_space"]:
    """The field with the given Fourier coefficients on a grid of `shape`, or the block that is here: see `fft_inverse`."""
    kept = coefficients.shape[1 : 1 + len(shape)]
    if not is_divided():
        algorithm = dft_inverse if _by_matrix_products(transform, kept, shape, real) else fft_inverse
        return algorithm(coefficients, shape, real=real)
    by_products = len(kept) == 1 or _by_matrix_products(transform, kept[1:], shape[1:], real)
    divided = pencil_inverse if transform == "fft" else summed_inverse
    return divided(coefficients, shape, dft_inverse if by_products else fft_inverse, real=real)
