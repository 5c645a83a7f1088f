import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import FourierBasis
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid

BOXES = [
    ((12,), ((-1.0, 2.5),)),
    ((15,), ((0.0, 2 * np.pi),)),
    ((8, 9), ((0.0, 1.0), (1.0, 4.0))),
    ((9, 8), ((0.0, 3.0), (-1.0, 1.0))),
    ((7, 8, 9), ((0.0, 1.0), (0.0, 2.0), (1.0, 1.5))),
]


def periodic(shape, extent=(), centered=()):
    return Grid(shape, extent, ("periodic",) * len(shape), centered=centered)


def waves(grid, modes, orders):
    """A product of waves, each differentiated as often as `orders` says, in closed form."""
    factors = []
    for j, (x, (left, right), m, order) in enumerate(zip(grid.coordinates(), grid.extent, modes, orders)):
        k = 2 * np.pi * m / (right - left)
        factors.append(k**order * np.cos(k * x + 0.3 + j + order * np.pi / 2))
    return np.prod(np.meshgrid(*factors, indexing="ij"), axis=0)[None]


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("shape,extent", BOXES)
def test_derivatives_and_laplacian_of_waves(shape, extent, centered):
    grid = periodic(shape, extent, (centered,) * len(shape))
    basis = FourierBasis(grid)
    dims = len(shape)
    for modes in ((1, 2, 3)[:dims], (3, 3, 1)[:dims]):
        c = basis.coefficients(jnp.asarray(waves(grid, modes, (0,) * dims)))
        assert c.shape == (1, *basis.shape)
        total = 0.0
        for axis in range(dims):
            unit = np.eye(dims, dtype=int)[axis]
            exact = waves(grid, modes, unit)
            np.testing.assert_allclose(basis.field(basis.derivative(c, axis)), exact, atol=1e-12 * abs(exact).max())
            total = total + waves(grid, modes, 2 * unit)
        np.testing.assert_allclose(basis.field(basis.laplacian[None] * c), total, atol=1e-12 * abs(total).max())


@pytest.mark.parametrize("shape,extent", BOXES)
def test_coefficients_and_field_are_inverse(shape, extent):
    basis = FourierBasis(periodic(shape, extent))
    u = jnp.asarray(np.random.default_rng(0).normal(size=(2, *shape)))
    np.testing.assert_allclose(basis.field(basis.coefficients(u)), u, atol=1e-14)


def test_the_sine_of_the_nyquist_mode_has_no_slope_but_its_cosine_a_curvature():
    grid = periodic((8,), ((0.0, 2.0),))
    basis = FourierBasis(grid)
    nyquist = jnp.asarray((-1.0) ** np.arange(8))[None]
    c = basis.coefficients(nyquist)
    assert np.all(basis.field(basis.derivative(c, 0)) == 0)
    np.testing.assert_allclose(basis.field(basis.laplacian[None] * c), -((4 * np.pi) ** 2) * nyquist, rtol=1e-13)


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("n", [9, 11, 12, 13, 16, 18, 20])
def test_dealiased_products_are_exact_on_kept_modes_and_the_limit_is_sharp(n, degree):
    basis = FourierBasis(periodic((n,), ((0.0, 2 * np.pi),)))
    kept = basis.alias_free_for(degree)
    largest = int(kept.sum()) - 1
    x = basis.grid.coordinates()[0]

    def wrong(m):
        """What lands on the kept modes beside the mean and the harmonics that belong there."""
        power = np.cos(m * x) ** degree
        fine = np.cos(m * 2 * np.pi * np.arange(8 * n) / (8 * n)) ** degree
        exact = np.fft.rfft(fine, norm="forward")[: kept.size]
        return abs(kept * (np.fft.rfft(power, norm="forward") - exact)).max()

    assert max(wrong(m) for m in range(largest + 1)) < 1e-15
    beyond = largest + 1  # kept as well, it would meet its own alias
    assert degree * beyond >= n - beyond


def test_two_thirds_rule_in_two_dimensions(band_limited, on_fine_grid):
    grid = periodic((12, 15), ((0.0, 1.0), (0.0, 2.0)))
    basis = FourierBasis(grid)
    u = band_limited(grid)
    product = basis.field(basis.alias_free[None] * basis.coefficients(u * u))
    np.testing.assert_allclose(product, on_fine_grid(u, grid, lambda v, slope: v * v), atol=1e-12)
    assert basis.alias_free[3, 4] == 1 and basis.alias_free[4, 0] == 0 and basis.alias_free[0, 5] == 0


def test_precision_follows_the_field():
    basis = FourierBasis(periodic((8, 8)))
    for real, transformed in ((jnp.float32, jnp.complex64), (jnp.float64, jnp.complex128)):
        c = basis.coefficients(jnp.ones((1, 8, 8), real))
        assert c.dtype == transformed and basis.derivative(c, 0).dtype == transformed and basis.field(c).dtype == real


def test_axes_that_are_not_periodic_are_refused():
    with pytest.raises(SolverError, match="periodic on every axis, got boundaries .*dirichlet") as caught:
        FourierBasis(Grid((8, 8), boundary=("periodic", "dirichlet")))
    assert "\n" not in str(caught.value)
