"""How the energy of a field is distributed over wavenumbers."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.grids import Grid


def energy_spectrum(u: Float[Array, "channels *space"], grid: Grid | None = None) -> Float[Array, "channels bins"]:
    r"""$E_k = \sum_{k \le |\kappa| + 1/2 < k+1} |\hat u_\kappa|^2$ per channel: the mean square of `u` by integer wavenumber.

    The bins add up to the mean of $u^2$ (Parseval). On periodic axes $\hat u$ is the Fourier transform; on others that of the
    even extension, at half-integer wavenumbers, so that the jump across the boundary does not fill the tail.

    **Arguments:**

    - `u`: one field.
    - `grid`: only its boundaries matter; without one no axis is periodic.
    """
    dims = u.ndim - 1
    periodic = [grid is not None and kind == "periodic" for kind in (grid.boundary if grid else ("open",) * dims)]
    axes = tuple(range(1, dims + 1))
    for axis, wraps in zip(axes, periodic, strict=True):
        if not wraps:
            u = jnp.concatenate([u, jnp.flip(u, axis)], axis)
    energy = jnp.abs(jnp.fft.fftn(u, axes=axes, norm="forward")) ** 2
    waves = [np.fft.fftfreq(n, 1 / n) / (1 if p else 2) for n, p in zip(u.shape[1:], periodic, strict=True)]
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*waves, indexing="ij")))
    bins = np.floor(radius + 0.5).astype(int).ravel()
    return jnp.zeros((u.shape[0], bins.max() + 1), energy.dtype).at[:, bins].add(energy.reshape(u.shape[0], -1))
