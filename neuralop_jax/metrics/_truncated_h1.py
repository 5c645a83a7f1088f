"""The spectral norm that weighs wavenumbers up to a largest one, and those beyond it no more than the mean."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax._typing import Field
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import is_divided, on_lines, own_part, whole_shape
from neuralop_jax.metrics._field import relative


def truncated_h1(
    prediction: Field, target: Field, grid: Grid | None = None, *, k_max: int | None = 20, joint: bool = False
) -> Float[Array, " values"]:
    r"""$\lVert w\hat e\rVert/\lVert w\hat y\rVert$ with $w(k)^2 = 1 + \sum_i [\lvert k_i\rvert < k_\text{max}]\, k_i^2$ of the
    discrete Fourier transforms $\hat e$, $\hat y$.

    Wavenumbers are integers, waves per axis, without the $2\pi$ of a derivative. Every axis is taken as periodic, whatever it is:
    the jump between the ends of another fills the tail of the spectrum, which the truncation keeps from dominating.

    **Arguments:** as in `relative_l2`, but for

    - `k_max`: from here on the wavenumber of an axis does not count; `None` counts all.

    **Returns:** as in `relative_l2`.

    **Source:** He, Liu, Xu 2023, arXiv:2310.19809, training loss and "H1 error" of the published code. Differs: with `k_max=None`
    on an odd number $N$ of points, that code weighs the wavenumber $(N - 1)/2$ as $(N + 1)/2$.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.metrics import truncated_h1

        x = jnp.arange(64) / 64
        target, error = jnp.ones((1, 64)), jnp.sqrt(2) * jnp.cos(2 * jnp.pi * 3 * x)
        assert jnp.allclose(truncated_h1(target + error, target), jnp.sqrt(10), atol=1e-4)
        ```
    """
    return relative(lambda u: _weighted(u, k_max), prediction - target, target, joint)


def _weighted(u: Inexact[Array, "channels *space"], k_max: int | None) -> Inexact[Array, "channels *space"]:
    shape = whole_shape(u.shape[1:])
    square = np.ones(shape)
    for axis, points in enumerate(shape):
        k = np.rint(np.fft.fftfreq(points, 1 / points))
        counted = np.abs(k) < (np.inf if k_max is None else k_max)
        square += np.expand_dims((counted * k) ** 2, [other for other in range(square.ndim) if other != axis])
    dtype = jnp.promote_types(u.dtype, jnp.float32)
    spectrum = _transform(u.astype(dtype))
    return spectrum * jnp.asarray(own_part(np.sqrt(square)[None], 1), spectrum.real.dtype)


def _transform(u: Array) -> Array:
    """The transform over all space axes; blocks of a divided field give blocks of wavenumbers."""
    axes = tuple(range(1, u.ndim))
    if not is_divided():
        return jnp.fft.fftn(u, axes=axes, norm="ortho")
    spectrum = jnp.fft.fftn(u, axes=axes[1:], norm="ortho") if axes[1:] else u
    return on_lines(lambda lines, axis: jnp.fft.fft(lines, axis=axis, norm="ortho"), spectrum, 1)
