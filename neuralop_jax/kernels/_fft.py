"""Spectral transforms by the FFT: truncated forward and inverse, derivative, resampling by wavenumber."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from neuralop_jax.kernels._lines import on_lines
from neuralop_jax.kernels._modes import compute_type
from neuralop_jax.kernels._space import is_divided, whole_shape


def fft_forward(u: Inexact[Array, "channels *batch_space"], kept: Sequence[int]) -> Float[Array, "2 *modes_batch channels"]:
    r"""The coefficients $\hat u_k = \frac{1}{N}\sum_n u_n e^{-2\pi i\, k\cdot n/N}$ of the kept wavenumbers.

    **Arguments:**

    - `u`: a field, real or complex, with one to four space axes of any size, the last ones; samples, if any, stand between
        channels and space.
    - `kept`: coefficients per space axis as `kept_modes` counts them; the last axis is halved if `u` is real.

    **Returns:** real and imaginary parts, `(2, *kept, *batch, channels)`, wavenumbers ascending on every axis.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import dft_forward, dft_inverse, fft_forward, fft_inverse, kept_modes

        u = jnp.cos(2 * jnp.pi * jnp.arange(16) / 16)[None]
        kept = kept_modes((6,), (16,), real=True)
        c = fft_forward(u, kept)
        assert kept == (4,) and jnp.allclose(c[0, :, 0], jnp.asarray([0, 0.5, 0, 0]), atol=1e-6)
        assert jnp.allclose(fft_inverse(c, (16,), real=True), u, atol=1e-6)
        assert jnp.allclose(dft_inverse(dft_forward(u, kept), (16,), real=True), u, atol=1e-6)
        ```
    """
    dims, real = len(kept), not jnp.iscomplexobj(u)
    axes = tuple(range(u.ndim - dims, u.ndim))
    dtype = compute_type(u.dtype)
    u = u.astype(dtype if real else np.result_type(dtype, np.complex64))
    spectrum = jnp.fft.rfftn(u, axes=axes, norm="forward") if real else jnp.fft.fftn(u, axes=axes, norm="forward")
    for axis, count in zip(axes, kept, strict=True):
        half = real and axis == u.ndim - 1
        head = _along(axis, slice(0, count if half else count - count // 2))
        tail = _along(axis, slice(spectrum.shape[axis] - count // 2, None))
        spectrum = spectrum[head] if half else jnp.concatenate([spectrum[tail], spectrum[head]], axis)
    spectrum = spectrum.transpose(*axes, *range(1, u.ndim - dims), 0)
    return jnp.stack([spectrum.real, spectrum.imag])


def fft_inverse(
    coefficients: Float[Array, "2 *modes_batch channels"], shape: Sequence[int], *, real: bool
) -> Inexact[Array, "channels *batch_space"]:
    r"""The field $u_n = \sum_k \hat u_k e^{2\pi i\, k\cdot n/N}$ on a grid of `shape`, from the kept wavenumbers.

    Every wavenumber goes to its own place whatever the size of the grid; those beyond the grid's Nyquist limit are dropped.
    For real fields the halved axis stands for both signs: its column 0, and column $N/2$ of an even size, contribute their
    real part once, every other column twice the real part, as in the real inverse FFT.

    **Returns:** the field, `(channels, *batch, *shape)`, real if `real`.
    """
    dims = len(shape)
    spectrum = coefficients[0] + 1j * coefficients[1]
    rows = spectrum.ndim - dims
    spectrum = spectrum.transpose(spectrum.ndim - 1, *range(dims, spectrum.ndim - 1), *range(dims))
    for axis, points in enumerate(shape, start=rows):
        half = real and axis == spectrum.ndim - 1
        bins = points // 2 + 1 if half else points
        count = min(spectrum.shape[axis], bins)
        low = 0 if half else spectrum.shape[axis] // 2 - count // 2
        spectrum = spectrum[_along(axis, slice(low, low + count))]
        negative = 0 if half else count // 2
        zeros = jnp.zeros((*spectrum.shape[:axis], bins - count, *spectrum.shape[axis + 1 :]), spectrum.dtype)
        parts = [spectrum[_along(axis, slice(negative, None))], zeros, spectrum[_along(axis, slice(0, negative))]]
        spectrum = jnp.concatenate(parts, axis)
    axes = tuple(range(rows, spectrum.ndim))
    if real:
        return jnp.fft.irfftn(spectrum, s=tuple(shape), axes=axes, norm="forward")
    return jnp.fft.ifftn(spectrum, axes=axes, norm="forward")


def derivative(
    u: Inexact[Array, "channels *space"], axis: int, *, order: int = 1, extent: float = 1.0
) -> Inexact[Array, "channels *space"]:
    r"""The spectral derivative $\partial^n u/\partial x^n$ along one periodic axis: multiplication by $(2\pi i k/L)^n$.

    The Nyquist coefficient of an even size is dropped for odd $n$, since $\sin(\pi j)$ vanishes on the grid.

    **Arguments:**

    - `u`: one field on a periodic grid.
    - `axis`: the space axis, from 0.
    - `order`: $n \ge 0$.
    - `extent`: the period $L$, in the unit of length.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import derivative

        x = jnp.arange(16) / 16
        slope = derivative(jnp.sin(2 * jnp.pi * x)[None], 0)
        assert jnp.allclose(slope, 2 * jnp.pi * jnp.cos(2 * jnp.pi * x), atol=1e-4)
        ```
    """
    if axis == 0 and is_divided():
        return on_lines(lambda lines, along: _derivative(lines, along, order, extent), u, 1)
    return _derivative(u, axis + 1, order, extent)


def _derivative(u: Array, axis: int, order: int, extent: float) -> Array:
    if jnp.iscomplexobj(u):
        return _apply_to_parts(lambda part: _derivative(part, axis, order, extent), u)
    points, dtype = u.shape[axis], u.dtype
    k = np.arange(points // 2 + 1, dtype=np.float64)
    symbol = (2j * np.pi * k / extent) ** order
    if points % 2 == 0 and order % 2 == 1:
        symbol[-1] = 0
    spectrum = jnp.fft.rfft(u.astype(compute_type(dtype)), axis=axis)
    symbol = jnp.expand_dims(jnp.asarray(symbol, spectrum.dtype), _others(u.ndim, axis))
    return jnp.fft.irfft(spectrum * symbol, n=points, axis=axis).astype(dtype)


def resample(u: Inexact[Array, "channels *batch_space"], shape: Sequence[int]) -> Inexact[Array, "channels *new_batch_space"]:
    r"""The trigonometric interpolant of `u` on a periodic grid of `shape`: coefficients are padded or cropped by wavenumber.

    Exact to round-off for fields band-limited under both Nyquist limits. **Nyquist rule:** from an even size $N$ to a larger
    one the coefficient at $N/2$ is shared equally between $\pm N/2$; to a smaller even size $N'$ the coefficients at
    $\pm N'/2$ are added, so that shrinking by an integer factor equals sampling the band-limited part at every such point.

    **Arguments:**

    - `u`: a field, real or complex, whose last `len(shape)` axes are space, or the block of it that is here.
    - `shape`: points per axis of the new grid, over the same extent; of the whole one where it is divided.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.kernels import resample

        wave = lambda n: jnp.cos(2 * jnp.pi * 3 * jnp.arange(n) / n)[None]
        assert jnp.allclose(resample(wave(8), (20,)), wave(20), atol=1e-5)
        ```
    """
    if jnp.iscomplexobj(u):
        return _apply_to_parts(lambda part: resample(part, shape), u)
    dtype, first = u.dtype, u.ndim - len(shape)
    for axis, (points, target) in enumerate(zip(whole_shape(u.shape[first:]), shape, strict=True), start=first):
        if points != target:
            u = u.astype(compute_type(dtype))
            on_axis = lambda u, axis, target=target: _resampled(u, axis, target)  # noqa: E731
            u = on_lines(on_axis, u, axis) if axis == first and is_divided() else on_axis(u, axis)
    return u.astype(dtype)


def _resampled(u: Array, axis: int, target: int) -> Array:
    points = u.shape[axis]
    spectrum = jnp.fft.rfft(u, axis=axis, norm="forward")
    columns = min(points, target) // 2 + 1
    scale = np.ones(columns)
    if min(points, target) % 2 == 0:
        scale[-1] = 0.5 if points < target else 2.0
    kept = spectrum[_along(axis, slice(0, columns))]
    kept = kept * jnp.expand_dims(jnp.asarray(scale, spectrum.real.dtype), _others(u.ndim, axis))
    return jnp.fft.irfft(kept, n=target, axis=axis, norm="forward")


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part)


def _others(ndim: int, axis: int) -> tuple[int, ...]:
    return tuple(i for i in range(ndim) if i != axis)


def _apply_to_parts(function, u):
    return function(u.real) + 1j * function(u.imag)
