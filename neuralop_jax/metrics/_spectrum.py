"""How the energy of a field, and the error of a prediction, are distributed over wavenumbers."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._typing import RealField
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.kernels import is_divided, space_size


def energy_spectrum(u: RealField, grid: Grid | None = None) -> Float[Array, "channels bins"]:
    r"""$E_k = \sum_{k - 1/2 \le |\kappa| < k + 1/2} |\hat u_\kappa|^2$ of each channel: the mean of $u^2$ by wavenumber $k$.

    The bins add up to the mean of $u^2$ (Parseval). Along a periodic axis $\hat u$ is the discrete Fourier transform. Along any
    other it is the cosine transform (DCT-II), that is the Fourier transform of the even extension, with half-integer
    wavenumbers: the jump between the two ends of the box does not fill the tail of the spectrum, and no window is needed.

    **Arguments:**

    - `u`: one field.
    - `grid`: its boundaries and the proportions of its box; without one a cube that is not periodic.

    **Returns:** `(channels, bins)` in the square of the field's unit. $\kappa$ and so the number of the bin count waves per
    longest side of the box, $n h$ for $n$ points of spacing $h$. Above the Nyquist wavenumber of the coarsest axis a bin covers
    only the corners of the shell.

    **Raises:** `ConfigError` where devices share the domain.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import energy_spectrum

        grid = Grid((32,), boundary=("periodic",))
        u = 2 * jnp.sin(2 * jnp.pi * 3 * jnp.arange(32) / 32)
        assert jnp.allclose(energy_spectrum(u[None], grid)[0, 3], 2)
        ```
    """
    require_whole("a spectrum")
    grid = grid or Grid(u.shape[1:], endpoint=(False,) * (u.ndim - 1))
    wraps = [kind == "periodic" for kind in grid.boundary]
    for axis, periodic in enumerate(wraps, start=1):
        if not periodic:
            u = jax.scipy.fft.dct(u, axis=axis, norm="ortho")
    axes = tuple(axis for axis, periodic in enumerate(wraps, start=1) if periodic)
    energy = (jnp.abs(jnp.fft.fftn(u, axes=axes, norm="ortho")) if axes else u) ** 2 / math.prod(grid.shape)
    bins = _bins(grid).ravel()
    return jnp.zeros((u.shape[0], bins.max() + 1), energy.dtype).at[:, bins].add(energy.reshape(u.shape[0], -1))


def nyquist(grid: Grid) -> float:
    """The largest wavenumber that all axes of a grid resolve, in waves per longest side, as the bins of `energy_spectrum`.

    !!! example

        ```python
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import nyquist

        assert nyquist(Grid((32, 16), boundary=("periodic", "periodic"))) == 8.0
        ```
    """
    return max(n * h for n, h in zip(grid.shape, grid.spacing, strict=True)) / (2 * max(grid.spacing))


def band_error(
    prediction: RealField, target: RealField, grid: Grid | None = None, *, edges: Sequence[int] = (5, 13), joint: bool = False
) -> Float[Array, "values bands"]:
    r"""The part of the relative L2 error that lies in each band of wavenumbers: $\sqrt{\sum_{k \in B} E_k(e)/\sum_k E_k(y)}$.

    The squares of the bands add up to that of `relative_l2`.

    **Arguments:**

    - `prediction`, `target`, `grid`: as in `energy_spectrum`.
    - `edges`: the wavenumbers, ascending, at which a band ends and the next begins. *Good values*: (5, 13), the low, middle and
        high bands of PDEBench.
    - `joint`: the energies of all channels together, instead of bands for each.

    **Returns:** `(channels, len(edges) + 1)`, or `(1, len(edges) + 1)` if `joint`; infinite where the target vanishes.

    **Source:** Takamoto et al. 2022, arXiv:2210.07182, whose fRMSE is not divided by the target.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.metrics import band_error

        grid = Grid((64,), boundary=("periodic",))
        wave = lambda k: jnp.sin(2 * jnp.pi * k * jnp.arange(64) / 64)[None]
        bands = band_error(wave(1) + 0.1 * wave(8), wave(1), grid)
        assert jnp.allclose(bands, jnp.asarray([0.0, 0.1, 0.0]), atol=1e-5)
        ```
    """
    error, whole = energy_spectrum(prediction - target, grid), jnp.sum(energy_spectrum(target, grid), axis=-1, keepdims=True)
    if joint:
        error, whole = (jnp.sum(part, axis=0, keepdims=True) for part in (error, whole))
    limits = [0, *edges, error.shape[-1]]
    bands = [jnp.sum(error[:, low:high], axis=-1) for low, high in zip(limits[:-1], limits[1:], strict=True)]
    return jnp.sqrt(jnp.stack(bands, axis=-1) / whole)


def require_whole(what: str) -> None:
    """Raises `ConfigError` where devices share the domain."""
    if is_divided():
        raise ConfigError(
            f"{what} needs the whole field, which is divided among {space_size()} devices. Take it outside of the shard_map."
        )


def _bins(grid: Grid) -> np.ndarray:
    """The bin of every coefficient: its wavenumber, in waves per longest side, rounded (halves up)."""
    sides = [n * h for n, h in zip(grid.shape, grid.spacing, strict=True)]
    square = np.zeros(grid.shape)
    for axis, (points, side) in enumerate(zip(grid.shape, sides, strict=True)):
        periodic = grid.boundary[axis] == "periodic"
        waves = np.fft.fftfreq(points, 1 / points) if periodic else np.arange(points) / 2
        square += np.expand_dims((waves * max(sides) / side) ** 2, [other for other in range(grid.num_dims) if other != axis])
    return np.floor(np.sqrt(square) + 0.5).astype(int)
