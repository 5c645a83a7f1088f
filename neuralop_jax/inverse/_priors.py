"""What is believed of a field before anything is measured: the terms that make an inverse problem well posed."""

import abc
import itertools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._typing import RealField
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.inverse._cosines import amplitudes, eigenvalues, from_amplitudes, volume


class AbstractPrior(eqx.Module):
    """A penalty of fields $m$ on a grid, $-\\log$ of a density, and coordinates in which it is well scaled.

    Integrals are approximated on the grid, so that weights mean the same on every grid. `invert` minimizes over the coordinates
    $w$ of $m = $ `field(w)`; they do not move the minimum, but make the number of iterations independent of the grid.
    """

    grid: eqx.AbstractVar[Grid]
    mean: eqx.AbstractVar[RealField | float]

    @abc.abstractmethod
    def __call__(self, m: RealField) -> Float[Array, ""]:
        """The penalty of a field `(1, *space)`."""

    @abc.abstractmethod
    def field(self, w: RealField) -> RealField:
        """The field of the coordinates `w`, of the same shape: affine, one-to-one, the mean for zero."""

    @abc.abstractmethod
    def coordinates(self, m: RealField) -> RealField:
        """The coordinates of a field, the inverse of `field`."""


class Tikhonov(AbstractPrior):
    r"""The quadratic penalty $R(m) = \tfrac\omega2\int\big|(1 - \ell^2\Delta)^{s/2}(m - \mu)\big|^2$ with normal derivative zero.

    Order $s = 0$ is $\tfrac\omega2\|m - \mu\|_{L^2}^2$, and $s = 1$ is
    $\tfrac\omega2\int (m - \mu)^2 + \ell^2|\nabla(m - \mu)|^2$, the $H^1$ norm. $R$ is
    minus the logarithm of the density of `data.GaussianRandomField(sigma, tau, gamma, boundary="neumann")` for $s = $ `gamma`,
    $\ell = 1/$`tau` and $\omega = $ `tau**(2 * gamma) / sigma**2`. Derivatives are taken of the cosine series; periodic axes have
    the Fourier series.

    In the coordinates, $R = \tfrac12|w|^2$: a standard normal $w$ gives a sample of the prior.

    **Arguments:**

    - `grid`: the grid of the fields.
    - `order`: $s$, any number $\ge 0$. *Good values*: 1, or 2 for smooth fields; 0 alone does not smooth, and in two dimensions
        samples are functions only for $s > 1$.
    - `weight`: $\omega > 0$, for $s = 0$ one over the variance of a cell of unit volume.
    - `length`: $\ell > 0$ in the unit of the grid, below which the field is smooth. *Good values*: a third of the box.
    - `mean`: $\mu$, a number or a field.

    **Raises:** `ConfigError` for a value out of range.

    **Source:** Stuart, Acta Numerica 19 (2010), doi:10.1017/S0962492910000061, section 6; Lindgren, Rue, Lindström,
    J. R. Stat. Soc. B 73 (2011).

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.inverse import Tikhonov

        grid = Grid((33,))
        wave = jnp.cos(jnp.pi * jnp.asarray(grid.coordinates()[0]))[None]
        assert jnp.isclose(Tikhonov(grid, order=1.0, length=0.5)(wave), 0.25 * (1 + (0.5 * jnp.pi) ** 2))
        ```
    """

    grid: Grid = eqx.field(static=True)
    order: float = eqx.field(static=True, default=1.0)
    weight: float = 1.0
    length: float = eqx.field(static=True, default=1.0)
    mean: RealField | float = 0.0

    def __check_init__(self):
        if self.order < 0 or not self.length > 0:
            raise ConfigError(f"Tikhonov needs order >= 0 and length > 0, got {self.order} and {self.length}.")
        _check_weight("Tikhonov", self.weight)

    def __call__(self, m: RealField) -> Float[Array, ""]:
        return 0.5 * jnp.sum(self.coordinates(m) ** 2)

    def field(self, w: RealField) -> RealField:
        return self.mean + from_amplitudes(w / self._scale(w), self.grid)

    def coordinates(self, m: RealField) -> RealField:
        return amplitudes(m - self.mean, self.grid) * self._scale(m)

    def _scale(self, like: Array) -> Array:
        """The square roots of the penalties of the functions of the basis, times two."""
        symbol = volume(self.grid) * (1 + self.length**2 * eigenvalues(self.grid)) ** self.order
        return jnp.sqrt(self.weight * jnp.asarray(symbol, like.dtype))[None]


class TotalVariation(AbstractPrior):
    r"""The smoothed total variation $R(m) = \omega\int\sqrt{|\nabla m|^2 + \varepsilon^2} - \varepsilon$.

    It is for piecewise constant fields: a jump costs its height times its length, however steep it is. $\varepsilon$ rounds the
    corner at $\nabla m = 0$. In every cell of the grid the integrand is the mean over its corners, with the differences along
    the edges that meet there: no wave of the grid goes unseen, as it would with one central difference per cell.

    $R$ does not see constants. Coordinates are those of the $H^1$ norm, with the longest side of the box as length.

    **Arguments:**

    - `grid`: the grid of the fields.
    - `weight`: $\omega > 0$.
    - `smoothing`: $\varepsilon > 0$, the slope below which $R$ is quadratic. *Good values*: a tenth of the slopes of the field
        away from its jumps; the smaller, the more iterations.
    - `mean`: where `invert` starts; it is not in the penalty.

    **Raises:** `ConfigError` for a value out of range, or a grid with a single point on an axis.

    **Source:** Rudin, Osher, Fatemi, Physica D 60 (1992); Acar, Vogel, Inverse Problems 10 (1994), for the smoothing.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.grids import Grid
        from neuralop_jax.inverse import TotalVariation

        grid = Grid((33, 33))
        step = jnp.where(jnp.asarray(grid.coordinates()[0]) > 0.5, 3.0, 1.0)
        field = jnp.broadcast_to(step[None, :, None], (1, 33, 33))
        assert abs(TotalVariation(grid, smoothing=1e-3)(field) - 2) < 0.01
        ```
    """

    grid: Grid = eqx.field(static=True)
    weight: float = 1.0
    smoothing: float = 0.1
    mean: RealField | float = 0.0

    def __check_init__(self):
        _check_weight("TotalVariation", self.weight)
        if not self.smoothing > 0:
            raise ConfigError(f"TotalVariation.smoothing must be positive, got {self.smoothing}.")
        if min(self.grid.shape) < 2:
            raise ConfigError(f"TotalVariation needs two points on every axis, got a grid of {self.grid.shape}.")

    def __call__(self, m: RealField) -> Float[Array, ""]:
        axes = range(1, m.ndim)
        wraps = [kind == "periodic" for kind in self.grid.boundary]
        m = jnp.pad(m, [(0, 0), *((0, int(wrap)) for wrap in wraps)], mode="wrap")
        slopes = [jnp.diff(m, axis=axis) / h for axis, h in zip(axes, self.grid.spacing, strict=True)]
        total = jnp.zeros((), m.dtype)
        for corner in itertools.product((slice(0, -1), slice(1, None)), repeat=m.ndim - 1):
            squares = jnp.asarray(self.smoothing, m.dtype) ** 2
            for axis, slope in zip(axes, slopes, strict=True):
                squares = squares + slope[(slice(None), *(slice(None) if k == axis else corner[k - 1] for k in axes))] ** 2
            total = total + jnp.sum(jnp.sqrt(squares) - self.smoothing)
        return self.weight * total * float(np.prod(self.grid.spacing)) * 0.5 ** (m.ndim - 1)

    def field(self, w: RealField) -> RealField:
        return self._metric().field(w)

    def coordinates(self, m: RealField) -> RealField:
        return self._metric().coordinates(m)

    def _metric(self) -> Tikhonov:
        longest = max(right - left for left, right in self.grid.extent)
        return Tikhonov(self.grid, length=longest, mean=self.mean)


def _check_weight(name: str, weight: float) -> None:
    if isinstance(weight, int | float) and not weight > 0:
        raise ConfigError(f"{name}.weight must be positive, got {weight}.")
