import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import DiagonalForcing, FourierBasis, KolmogorovForcing, NavierStokes
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid


def torus(shape=(16, 16), extent=((0.0, 1.0), (0.0, 1.0)), **options):
    return Grid(shape, extent, ("periodic", "periodic"), **options)


GRIDS = [torus((16, 16)), torus((15, 18), ((0.0, 1.0), (1.0, 3.5))), torus((18, 15), ((-1.0, 2.0), (0.0, 1.0)))]


def velocity_by_fft(w, grid):
    """The velocity from the vorticity, by complex transforms."""
    k = [2 * np.pi * np.fft.fftfreq(n, 1 / n) / (b - a) for n, (a, b) in zip(w.shape, grid.extent)]
    kx, ky = np.meshgrid(*k, indexing="ij")
    square = np.where(kx**2 + ky**2 == 0, np.inf, kx**2 + ky**2)
    psi = np.fft.fft2(w) / square
    return np.fft.ifft2(1j * ky * psi).real, np.fft.ifft2(-1j * kx * psi).real


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_advection_equals_velocity_times_gradient_on_a_finer_grid(grid, band_limited, on_fine_grid, nonlinear_field):
    w = band_limited(grid)

    def advection(w, slope):
        u, v = velocity_by_fft(w[0], grid)
        return -(u * slope(0) + v * slope(1))

    expected = on_fine_grid(w, grid, advection)
    np.testing.assert_allclose(nonlinear_field(NavierStokes(0.0), w, grid), expected, atol=1e-12 * abs(expected).max())


def test_modes_beyond_the_limit_have_no_part_in_products(nonlinear_field):
    grid = torus()
    x, y = np.meshgrid(*grid.coordinates(), indexing="ij")
    w = jnp.asarray(np.cos(2 * np.pi * 6 * x + 1) + np.sin(2 * np.pi * 7 * y) + np.cos(2 * np.pi * (6 * x - 7 * y)))[None]
    assert abs(nonlinear_field(NavierStokes(0.0), w, grid)).max() < 1e-12


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_velocity_is_free_of_divergence_and_its_curl_is_the_vorticity(grid, band_limited, compiled):
    w = band_limited(grid)
    basis = FourierBasis(grid)

    def slopes(w):
        c = basis.coefficients(NavierStokes(0.0).velocity(w, grid))
        return [[basis.field(basis.derivative(c[i : i + 1], axis)) for axis in (0, 1)] for i in (0, 1)]

    (u_x, u_y), (v_x, v_y) = compiled(slopes, w)
    assert abs(u_x + v_y).max() < 1e-12
    np.testing.assert_allclose(v_x - u_y, np.asarray(w) - np.mean(w), atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
@pytest.mark.parametrize("largest", [None, 100])
def test_energy_enstrophy_and_circulation_are_kept_without_viscosity(grid, largest, band_limited, compiled):
    equation = NavierStokes(viscosity=0.0)

    def change(w):
        w_t = equation.rhs(w, grid)
        return w_t, *jax.jvp(lambda w: equation.invariants(w, grid), (w,), (w_t,))

    w_t, values, rates = compiled(change, band_limited(grid, largest=largest))
    for name, rate in rates.items():
        assert abs(rate) < 1e-12 * abs(w_t).max() * values["enstrophy"], name


def test_viscosity_and_drag_take_their_share_of_the_energy(band_limited, compiled):
    grid = GRIDS[1]
    w = band_limited(grid)
    w = w - w.mean()  # the mean has enstrophy, but no velocity
    equation = NavierStokes(viscosity=0.02, drag=0.3)
    change = lambda w: jax.jvp(lambda w: equation.invariants(w, grid), (w,), (equation.rhs(w, grid),))
    values, rates = compiled(change, w)
    expected = -2 * 0.02 * values["enstrophy"] - 2 * 0.3 * values["energy"]
    np.testing.assert_allclose(rates["energy"], expected, rtol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_taylor_green_solves_the_equation(grid, compiled):
    def solution(t):
        return NavierStokes.taylor_green(grid, amplitude=2.0, t=t, viscosity=0.03)

    def moving(t):
        w, w_t = jax.jvp(solution, (t,), (1.0,))
        return w, NavierStokes(viscosity=0.03).residual(w, w_t, grid), solution(0.0)

    w, rest, start = compiled(moving, 0.4)
    assert abs(rest).max() < 1e-12
    rate = sum((2 * np.pi / (b - a)) ** 2 for a, b in grid.extent)
    np.testing.assert_allclose(w, np.exp(-0.03 * rate * 0.4) * start, rtol=1e-13)


def test_forcings_are_those_of_the_benchmarks():
    grid = torus((12, 16), ((0.0, 1.0), (0.0, 1.0)))
    x, y = np.meshgrid(*grid.coordinates(), indexing="ij")
    zero = jnp.zeros((1, 12, 16))
    source = NavierStokes(1e-3, forcing=DiagonalForcing()).rhs(zero, grid)
    np.testing.assert_allclose(source[0], 0.1 * (np.sin(2 * np.pi * (x + y)) + np.cos(2 * np.pi * (x + y))), atol=1e-14)
    grid = torus((12, 16), ((0.0, 2 * np.pi), (0.0, 2 * np.pi)))
    source = NavierStokes(1e-3, forcing=KolmogorovForcing()).rhs(zero, grid)
    np.testing.assert_allclose(source[0] + 0 * x, -4 * np.cos(4 * grid.coordinates()[1])[None] + 0 * x, atol=1e-13)


def test_laminar_kolmogorov_flow_is_steady():
    grid = torus((8, 24), ((0.0, 2 * np.pi), (0.0, 2 * np.pi)))
    y = grid.coordinates()[1]
    w = jnp.asarray(np.broadcast_to(-4 * np.cos(4 * y) / (0.02 * 16 + 0.1), (1, 8, 24)))
    assert abs(NavierStokes(0.02, 0.1, KolmogorovForcing()).rhs(w, grid)).max() < 1e-12


def test_speed_is_the_largest_velocity(band_limited):
    grid, w = GRIDS[1], band_limited(GRIDS[1])
    u, v = velocity_by_fft(np.asarray(w[0]), grid)
    np.testing.assert_allclose(NavierStokes(0.0).speed(w, grid), [abs(u).max(), abs(v).max()], rtol=1e-12)


def test_single_precision_stays_single(band_limited):
    grid, w = GRIDS[1], band_limited(GRIDS[1])
    equation = NavierStokes(1e-2, 0.1, KolmogorovForcing(mode=2))
    single = equation.rhs(w.astype(jnp.float32), grid)
    assert single.dtype == jnp.float32 and equation.speed(w.astype(jnp.float32), grid).dtype == jnp.float32
    assert all(value.dtype == jnp.float32 for value in equation.invariants(w.astype(jnp.float32), grid).values())
    double = equation.rhs(w, grid)
    assert abs(single - double).max() < 1e-5 * abs(double).max()


def test_parameters_may_be_traced(band_limited):
    grid, w = GRIDS[1], band_limited(GRIDS[1])

    def loss(nu, drag, amplitude):
        equation = NavierStokes(nu, drag, KolmogorovForcing(2, amplitude))
        return (equation.residual(w, 0.1 * w, grid) ** 2).mean()

    point = (1e-2, 0.1, 3.0)
    loss = jax.jit(loss)
    for i, slope in enumerate(jax.grad(loss, (0, 1, 2))(*point)):
        step = [1e-4 * (i == j) for j in range(3)]
        difference = (loss(*np.add(point, step)) - loss(*np.subtract(point, step))) / 2e-4
        np.testing.assert_allclose(slope, difference, rtol=1e-7)
    many = jax.vmap(lambda nu: NavierStokes(nu).rhs(w, grid))(jnp.asarray([0.0, 1e-2, 0.5]))
    np.testing.assert_allclose(many[2], NavierStokes(0.5).rhs(w, grid), rtol=1e-12)
    whole = jax.jit(lambda equation: equation.rhs(w, grid))(NavierStokes(*point[:2], KolmogorovForcing(2, 3.0)))
    np.testing.assert_allclose(whole, NavierStokes(*point[:2], KolmogorovForcing(2, 3.0)).rhs(w, grid), atol=1e-11)


def test_wrong_fields_and_grids_are_refused():
    equation = NavierStokes(1e-3)
    for u, grid, message in (
        (jnp.ones((1, 16)), Grid((16,), boundary=("periodic",)), "has 2 space dimensions"),
        (jnp.ones((2, 16, 16)), torus(), r"shape \(1, 16, 16\)"),
        (jnp.ones((1, 16, 15)), torus(), r"shape \(1, 16, 16\)"),
        (jnp.ones((1, 16, 16)), Grid((16, 16)), "periodic on every axis"),
    ):
        with pytest.raises(SolverError, match=message) as caught:
            equation.rhs(u, grid)
        assert "\n" not in str(caught.value)
