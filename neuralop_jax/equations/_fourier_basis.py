"""Real fields on a periodic grid as Fourier series: coefficients, wavenumbers, derivatives, de-aliasing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.kernels._modes import compute_type


@dataclasses.dataclass(frozen=True)
class FourierBasis:
    r"""The Fourier series $u(x) = \sum_k \hat u_k e^{i k\cdot x}$, $k_j \in \frac{2\pi}{L_j}\mathbb Z$, of real periodic fields.

    Coefficients are those of `jax.numpy.fft.rfftn`: the last axis is halved, nothing is scaled. All tables are float64 NumPy
    arrays, so that an equation with Python numbers as parameters is set up in double precision whatever it runs in.

    **Arguments:**

    - `grid`: a grid that is periodic on every axis.

    **Raises:** `SolverError` if an axis is not periodic.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import FourierBasis
        from neuralop_jax.grids import Grid

        grid = Grid((32,), ((0.0, 6.283185307179586),), ("periodic",))
        basis = FourierBasis(grid)
        x = jnp.asarray(grid.coordinates()[0])
        slope = basis.field(basis.derivative(basis.coefficients(jnp.sin(x)[None]), 0))
        assert jnp.allclose(slope, jnp.cos(x), atol=1e-5)
        ```
    """

    grid: Grid

    def __post_init__(self):
        if set(self.grid.boundary) != {"periodic"}:
            raise SolverError(
                f"a Fourier basis needs a grid that is periodic on every axis, got boundaries {self.grid.boundary}. "
                'Make it with Grid(..., boundary=("periodic", ...)).'
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the coefficients of one channel."""
        return (*self.grid.shape[:-1], self.grid.shape[-1] // 2 + 1)

    @property
    def wavenumbers(self) -> tuple[np.ndarray, ...]:
        r"""The angular wavenumbers $k_j = 2\pi m_j/L_j$ of every axis, each shaped to broadcast against coefficients."""
        return self._tables(lambda m, n, length: 2 * np.pi * m / length)

    @property
    def slopes(self) -> tuple[np.ndarray, ...]:
        r"""The wavenumbers of odd derivatives: as `wavenumbers`, but 0 at the Nyquist mode, whose sine vanishes on the grid."""
        return self._tables(lambda m, n, length: 2 * np.pi * m / length * (2 * np.abs(m) != n))

    @property
    def laplacian(self) -> np.ndarray:
        r"""The symbol $-|k|^2$ of the Laplacian."""
        return -np.asarray(sum(k**2 for k in self.wavenumbers)).reshape(self.shape)

    @property
    def alias_free(self) -> np.ndarray:
        r"""1 on the modes $|m_j| < N_j/3$, else 0: products of two fields of such modes are exact on them (the 2/3 rule)."""
        return self.alias_free_for(2)

    def alias_free_for(self, degree: int) -> np.ndarray:
        r"""1 on the modes $|m_j| < N_j/(p + 1)$, else 0: products of $p$ fields of such modes are exact on them; `degree` $p$."""
        kept = self._tables(lambda m, n, length: (degree + 1) * np.abs(m) < n)
        return np.asarray(np.prod(np.broadcast_arrays(*kept), axis=0), np.float64).reshape(self.shape)

    def coefficients(self, u: Float[Array, "channels *space"]) -> Complex[Array, "channels *modes"]:
        """The Fourier coefficients of a field."""
        return jnp.fft.rfftn(u.astype(compute_type(u.dtype)), axes=self._axes)

    def field(self, c: Complex[Array, "channels *modes"]) -> Float[Array, "channels *space"]:
        """The field with these Fourier coefficients."""
        return jnp.fft.irfftn(c, s=self.grid.shape, axes=self._axes)

    def derivative(self, c: Complex[Array, "channels *modes"], axis: int) -> Complex[Array, "channels *modes"]:
        """The coefficients of the derivative along one axis."""
        return multiply_i(self.slopes[axis], c)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.grid.num_dims, 0))

    def _tables(self, entry) -> tuple[np.ndarray, ...]:
        """`entry(m, N, L)` of the integer wavenumbers of each axis, shaped to broadcast."""
        tables = []
        for axis, (n, (left, right)) in enumerate(zip(self.grid.shape, self.grid.extent, strict=True)):
            last = axis == self.grid.num_dims - 1
            m = np.arange(n // 2 + 1) if last else np.fft.ifftshift(np.arange(-(n // 2), n - n // 2))
            tables.append(entry(m, n, right - left).reshape(*(-1 if a == axis else 1 for a in range(self.grid.num_dims))))
        return tuple(tables)


def multiply(factor: np.ndarray | Array, c: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """A real factor times coefficients, part by part: half the work of a product of two complex numbers."""
    factor = _like(factor, c)
    return jax.lax.complex(factor * c.real, factor * c.imag)


def multiply_i(factor: np.ndarray | Array, c: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """The imaginary number `i * factor` times coefficients."""
    factor = _like(factor, c)
    return jax.lax.complex(-factor * c.imag, factor * c.real)


def multiply_symbol(symbol: np.ndarray | Array, c: Complex[Array, "..."]) -> Complex[Array, "..."]:
    """A real or complex factor times coefficients."""
    if jnp.iscomplexobj(symbol):
        real, imaginary = _like(jnp.real(symbol), c), _like(jnp.imag(symbol), c)
        return jax.lax.complex(real * c.real - imaginary * c.imag, real * c.imag + imaginary * c.real)
    return multiply(symbol, c)


def _like(factor: np.ndarray | Array, c: Array) -> Array:
    """The factor in the precision of the coefficients, with leading axes of length one."""
    factor = jnp.asarray(factor, c.real.dtype)
    return factor.reshape(*(1,) * (c.ndim - factor.ndim), *factor.shape)
