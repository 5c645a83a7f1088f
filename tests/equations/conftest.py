"""Random fields of known modes, and products computed without the tables of the package."""

import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.grids import Grid


def _modes(shape):
    """The integer wavenumbers of a full Fourier transform, one array per axis."""
    return np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in shape), indexing="ij")


@pytest.fixture
def band_limited():
    """`band_limited(grid, channels, largest)`: a random field of the modes |m_j| <= largest, or < N_j/3."""

    def draw(grid: Grid, channels: int = 1, largest: float | None = None, seed: int = 0):
        spectrum = np.fft.fftn(np.random.default_rng(seed).normal(size=(channels, *grid.shape)), axes=range(1, grid.num_dims + 1))
        for m, n in zip(_modes(grid.shape), grid.shape):
            spectrum = spectrum * ((3 * abs(m) < n) if largest is None else (abs(m) <= largest))
        field = np.fft.ifftn(spectrum, axes=range(1, grid.num_dims + 1)).real
        return jnp.asarray(field / field.std())

    return draw


@pytest.fixture
def on_fine_grid():
    """`on_fine_grid(u, grid, function, degree)`: `function` of u and its derivative operator on three times as many points,
    brought back to the modes |m_j| < N_j/(degree + 1) of the grid."""

    def compute(u, grid: Grid, function, degree: int = 2):
        axes = tuple(range(1, grid.num_dims + 1))
        fine = tuple(3 * n for n in grid.shape)
        places = np.ix_(*(np.arange(-((n - 1) // 2), (n - 1) // 2 + 1) for n in grid.shape))
        wide = np.zeros((len(u), *fine), complex)
        wide[(slice(None), *places)] = np.fft.fftn(u, axes=axes, norm="forward")[(slice(None), *places)]
        k = [2 * np.pi * m / (b - a) for m, (a, b) in zip(_modes(fine), grid.extent)]
        real = lambda c: np.fft.ifftn(c, axes=axes, norm="forward").real
        values = function(real(wide), lambda axis: real(1j * k[axis] * wide))
        narrow = np.zeros(values.shape[:1] + grid.shape, complex)
        narrow[(slice(None), *places)] = np.fft.fftn(values, axes=axes, norm="forward")[(slice(None), *places)]
        for m, n in zip(_modes(grid.shape), grid.shape):
            narrow = narrow * ((degree + 1) * abs(m) < n)
        return real(narrow)

    return compute


@pytest.fixture
def nonlinear_field(compiled):
    """`nonlinear_field(equation, u, grid)`: the nonlinear term at the points of the grid."""
    from neuralop_jax.equations import FourierBasis

    def compute(equation, u, grid: Grid):
        basis = FourierBasis(grid)
        return compiled(lambda u: basis.field(equation.nonlinear(basis.coefficients(u), basis)), u)

    return compute
