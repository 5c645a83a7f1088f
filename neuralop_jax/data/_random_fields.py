"""Gaussian random fields: initial conditions, forcings and coefficients, the same functions on every grid."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._config_values import Bounds, check_fields
from neuralop_jax._typing import PRNGKey, RealField
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid


@dataclasses.dataclass(frozen=True)
class GaussianRandomField:
    r"""The Gaussian random field $\mathcal N\big(0,\ \sigma^2(-\Delta + \tau^2)^{-\gamma}\big)$ on a box, by its eigenfunctions.

    $u = \sum_m \sqrt{\lambda_m / M}\ \xi_m\, \varphi_m$ with independent standard normal $\xi_m$, eigenvalues
    $\lambda_m = \sigma^2(|\kappa_m|^2 + \tau^2)^{-\gamma}$ and products $\varphi_m$ of functions of mean square one, one for each
    axis of length $L$:

    - `"periodic"`: $1$, $\sqrt2\cos(2\pi m x/L)$ and, for negative $m$, $\sqrt2\sin(2\pi|m|x/L)$; $\kappa = 2\pi m/L$;
    - `"neumann"`: $1$ and $\sqrt2\cos(\pi m x/L)$; $\kappa = \pi m/L$;
    - `"dirichlet"`: $\sqrt2\sin(\pi m x/L)$; $\kappa = \pi m/L$.

    **One function on all grids.** The number $\xi_m$ is drawn from the key and the signed wavenumber $m$ alone, so that a finer
    grid adds modes and leaves the others as they are. Values are those of the series at the points, whether a grid includes
    its right end, excludes it or consists of centers of cells.

    **Normalization.** $M$ is the volume of the box for `measure="lebesgue"`: the operator acts on $L^2$ with its usual inner
    product, which is what the formula says. For `measure="unit"` $M = 1$: the inner product is the mean, as in code that
    draws the coefficients of $\sqrt2\cos$ and $\sqrt2\sin$ with deviation $\sqrt{\lambda_m}$. Both agree on a box of volume 1;
    on $(0, 2\pi)$ they differ by the factor $2\pi$ in variance: 1.09 against 6.85 for Burgers' initial data.

    **Arguments:**

    - `sigma`: $\sigma > 0$, the amplitude.
    - `tau`: $\tau \ge 0$, an inverse length: modes below it are about equally strong.
    - `gamma`: $\gamma$, the decay. Samples have a finite variance on ever finer grids if $\gamma$ exceeds half the dimension.
    - `boundary`: which eigenfunctions.
    - `zero_mean`: leaves out the constant mode.
    - `measure`: the normalization.
    - `max_wavenumber`: the largest $|m|$ per axis; by default all below the Nyquist limit of the grid.

    **Good values:** Burgers `(25, 5, 2)` and the vorticity of Navier-Stokes `(7**1.5, 7, 2.5)`, periodic; the logarithm or the
    thresholded sign of a permeability `(3, 3, 2)`, `"neumann"`.

    **Raises:** `ConfigError` for a value out of range, or $\tau = 0$ with a constant mode, whose variance is then infinite.

    **Source:** Li et al. 2021, arXiv 2010.08895.

    !!! example

        ```python
        import jax
        from neuralop_jax.data import GaussianRandomField
        from neuralop_jax.grids import Grid

        field, key = GaussianRandomField(sigma=3.0, tau=3.0, gamma=2.0, boundary="neumann", max_wavenumber=20), jax.random.key(0)
        coarse = field.sample(Grid((22, 22)), key=key)
        fine = field.sample(Grid((64, 64)), key=key)
        assert abs(fine[:, ::3, ::3] - coarse).max() < 1e-5
        ```
    """

    sigma: Annotated[float, Bounds(above=0.0)]
    tau: Annotated[float, Bounds(at_least=0.0)]
    gamma: Annotated[float, Bounds(at_least=0.0)]
    boundary: Literal["periodic", "neumann", "dirichlet"] = "periodic"
    zero_mean: bool = True
    measure: Literal["lebesgue", "unit"] = "lebesgue"
    max_wavenumber: Annotated[int, Bounds(at_least=1.0)] | None = None

    def __post_init__(self):
        check_fields(self, "GaussianRandomField")
        if self.tau == 0 and not self.zero_mean and self.boundary != "dirichlet":
            raise ConfigError(
                "GaussianRandomField.tau must be > 0 with zero_mean=False, got 0: the constant mode would have infinite variance."
            )

    def sample(self, grid: Grid, *, key: PRNGKey, dtype: jnp.dtype | type | None = None) -> RealField:
        """One field on a grid; `jax.vmap` over keys draws many.

        **Arguments:**

        - `grid`: its box is the domain; what it says of the boundary is not used.
        - `key`: which field.
        - `dtype`: float32 or float64, by default the one of `jnp.zeros(())`. The two draw different numbers.

        **Returns:** `(1, *space)`.
        """
        return self._sample(grid, jnp.zeros((), dtype).dtype, key)

    def variance(self, grid: Grid) -> float:
        """The variance of the samples on a grid, averaged over the box."""
        return float((self._deviations(grid) ** 2).sum())

    @functools.partial(jax.jit, static_argnums=(0, 1, 2))
    def _sample(self, grid: Grid, dtype: jnp.dtype, key: PRNGKey) -> RealField:
        numbers = self._wavenumbers(grid)
        values = _draw(key, numbers, dtype) * jnp.asarray(self._deviations(grid), dtype)
        for axis, wavenumbers in enumerate(numbers):
            values = self._evaluate(values, axis, wavenumbers, grid)
        return values[None].astype(dtype)

    def _wavenumbers(self, grid: Grid) -> list[np.ndarray]:
        """The signed wavenumbers per axis: those below the Nyquist limit, whose mode would not be seen whole."""
        numbers = []
        for points in _points_per_length(grid):
            last = (points - 1) // 2 if self.boundary == "periodic" else points - 1
            last = last if self.max_wavenumber is None else min(last, self.max_wavenumber)
            first = {"periodic": -last, "neumann": 0, "dirichlet": 1}[self.boundary]
            numbers.append(np.arange(first, last + 1))
        return numbers

    def _deviations(self, grid: Grid) -> np.ndarray:
        """The standard deviation of every coefficient, in float64."""
        lengths = [right - left for left, right in grid.extent]
        half_waves = 2 if self.boundary == "periodic" else 1
        numbers = np.meshgrid(*self._wavenumbers(grid), indexing="ij")
        squares = sum((half_waves * np.pi * m / length) ** 2 for m, length in zip(numbers, lengths, strict=True))
        constant = np.all([m == 0 for m in numbers], axis=0)
        symbol = np.where(constant & self.zero_mean, 1.0, squares + self.tau**2)
        deviations = np.where(constant & self.zero_mean, 0.0, self.sigma * symbol ** (-self.gamma / 2))
        return deviations / math.sqrt(math.prod(lengths)) if self.measure == "lebesgue" else deviations

    def _evaluate(self, c: Array, axis: int, wavenumbers: np.ndarray, grid: Grid) -> Array:
        """The series along one axis at its points: an inverse FFT over the period, one length or, reflected, two."""
        points = _points_per_length(grid)[axis]
        period = points if self.boundary == "periodic" else 2 * points
        c = jnp.moveaxis(c, axis, -1)
        if self.boundary == "periodic":
            middle = len(wavenumbers) // 2
            constant, waves = c[..., middle : middle + 1], c[..., middle + 1 :] - 1j * c[..., :middle][..., ::-1]
        elif self.boundary == "neumann":
            constant, waves = c[..., :1], c[..., 1:] + 0j
        else:
            constant, waves = jnp.zeros((*c.shape[:-1], 1), c.dtype), -1j * c
        spectrum = jnp.concatenate([constant + 0j, waves * math.sqrt(0.5)], axis=-1)
        if grid.centered[axis]:
            turned = np.exp(1j * np.pi * np.arange(spectrum.shape[-1]) / period)
            spectrum = spectrum * jnp.asarray(turned, spectrum.dtype).reshape(*(1,) * (c.ndim - 1), -1)
        values = jnp.fft.irfft(spectrum, n=period, axis=-1, norm="forward")
        return jnp.moveaxis(values[..., np.arange(grid.shape[axis]) % period], -1, axis)


def _points_per_length(grid: Grid) -> list[int]:
    """How often the spacing of each axis goes into its length."""
    return [max(n - closed, 1) for n, closed in zip(grid.shape, grid.endpoint, strict=True)]


def _draw(key: PRNGKey, numbers: Sequence[np.ndarray], dtype: jnp.dtype) -> Float[Array, "..."]:
    """A standard normal number for every wavenumber, which depends on the key and this wavenumber alone."""
    if not numbers:
        return jax.random.normal(key, (), dtype)
    codes = jnp.asarray(2 * np.abs(numbers[0]) + (numbers[0] < 0), jnp.uint32)
    return jax.vmap(lambda code: _draw(jax.random.fold_in(key, code), numbers[1:], dtype))(codes)
