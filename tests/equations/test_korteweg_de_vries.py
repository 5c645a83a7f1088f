import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import KortewegDeVries
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid

BOX = Grid((1536,), ((-50.0, 50.0),), ("periodic",))
FORMS = [KortewegDeVries(), KortewegDeVries(nonlinearity=1.0, dispersion=0.5), KortewegDeVries(-6.0, 2.0)]


@pytest.mark.parametrize("n", [48, 49])
def test_products_and_symbol(n, band_limited, on_fine_grid, nonlinear_field):
    grid, equation = Grid((n,), ((0.0, 5.0),), ("periodic",)), KortewegDeVries(2.5, 0.3)
    u = band_limited(grid)
    expected = on_fine_grid(u, grid, lambda u, slope: -2.5 * u * slope(0))
    np.testing.assert_allclose(nonlinear_field(equation, u, grid), expected, atol=1e-12 * abs(expected).max())
    k, x = 2 * np.pi * 7 / 5, jnp.asarray(grid.coordinates()[0])
    wave = lambda phase: jnp.cos(k * x + phase)[None]
    slope = jax.jvp(lambda u: equation.rhs(u, grid), (0 * wave(0.2),), (wave(0.2),))[1]
    np.testing.assert_allclose(slope, -0.3 * k**3 * wave(0.2 + 1.5 * np.pi), atol=1e-11 * k**3)
    beyond = jnp.asarray(np.cos(2 * np.pi / 5 * 17 * x) + np.sin(2 * np.pi / 5 * 20 * x))[None]
    assert abs(nonlinear_field(equation, beyond, grid)).max() < 1e-12


@pytest.mark.parametrize("n", [48, 49])
def test_mass_momentum_and_energy_are_kept(n, band_limited):
    grid, equation = Grid((n,), ((0.0, 5.0),), ("periodic",)), KortewegDeVries(2.5, 0.3)
    u = band_limited(grid) + 0.3
    u_t = equation.rhs(u, grid)
    values, rates = jax.jvp(lambda u: equation.invariants(u, grid), (u,), (u_t,))
    assert set(values) == {"mass", "momentum", "energy"}
    for name, value in values.items():
        assert abs(rates[name]) < 1e-13 * max(abs(value), 1.0) * abs(u_t).max(), name


@pytest.mark.parametrize("equation", FORMS, ids=lambda e: f"{e.nonlinearity},{e.dispersion}")
@pytest.mark.parametrize("t", [0.1])
def test_one_two_and_three_solitons_solve_the_equation_through_their_collision(equation, t):
    for speeds, positions in (((1.5,), (1.0,)), ((4.0, 1.5), (-1.0, 1.0)), ((4.0, 2.5, 1.5), (0.0, 1.0, 0.5))):
        solution = functools.partial(equation.solitons, BOX, speeds=speeds, positions=positions)
        u, u_t = jax.jvp(solution, (t,), (1.0,))
        assert abs(u_t).max() > 0.1
        assert abs(equation.residual(u, u_t, BOX)).max() < 1e-8 * abs(u_t).max()


def test_one_soliton_is_the_square_of_a_hyperbolic_secant_with_known_invariants():
    """With alpha = 6, delta = 1: mass 2 sqrt(c), momentum c^(3/2)/3, energy -c^(5/2)/5."""
    c, x = 2.3, BOX.coordinates()[0]
    u = KortewegDeVries().solitons(BOX, 0.7, speeds=(c,), positions=(-2.0,))
    np.testing.assert_allclose(u[0], 0.5 * c / np.cosh(0.5 * np.sqrt(c) * (x - c * 0.7 + 2.0)) ** 2, rtol=1e-11)
    values = KortewegDeVries().invariants(u, BOX)
    np.testing.assert_allclose(values["mass"], 2 * c**0.5, rtol=1e-12)
    np.testing.assert_allclose(values["momentum"], c**1.5 / 3, rtol=1e-12)
    np.testing.assert_allclose(values["energy"], -(c**2.5) / 5, rtol=1e-12)


def test_a_collision_shifts_the_fast_soliton_ahead_and_the_slow_one_back():
    """By 2/kappa_i log((kappa_1 + kappa_2)/(kappa_1 - kappa_2)) in all, and nothing else."""
    grid = Grid((4096,), ((-100.0, 100.0),), ("periodic",))
    x, equation, fast, slow = grid.coordinates()[0], KortewegDeVries(), 4.0, 1.0
    shift = np.log((2.0 + 1.0) / (2.0 - 1.0))
    alone = lambda c, place: 0.5 * c / np.cosh(0.5 * np.sqrt(c) * (x - place)) ** 2
    before = equation.solitons(grid, -15.0, speeds=(fast, slow), positions=(0.0, 0.0))[0]
    after = equation.solitons(grid, 15.0, speeds=(fast, slow), positions=(0.0, 0.0))[0]
    np.testing.assert_allclose(before, alone(fast, -60.0) + alone(slow, -15.0 + 2 * shift / 1.0), atol=1e-12)
    np.testing.assert_allclose(after, alone(fast, 60.0 + 2 * shift / 2.0) + alone(slow, 15.0), atol=1e-12)


def test_parameters_may_be_traced_and_single_precision_stays_single(band_limited):
    grid = Grid((32,), ((0.0, 5.0),), ("periodic",))
    u = band_limited(grid)
    loss = lambda alpha, delta: (KortewegDeVries(alpha, delta).rhs(u, grid) ** 2).mean()
    slopes = jax.grad(loss, (0, 1))(2.0, 0.3)
    np.testing.assert_allclose(slopes[0], (loss(2.0 + 1e-4, 0.3) - loss(2.0 - 1e-4, 0.3)) / 2e-4, rtol=1e-7)
    np.testing.assert_allclose(slopes[1], (loss(2.0, 0.3 + 1e-4) - loss(2.0, 0.3 - 1e-4)) / 2e-4, rtol=1e-7)
    single, double = (KortewegDeVries().rhs(u.astype(kind), grid) for kind in (jnp.float32, jnp.float64))
    assert single.dtype == jnp.float32 and abs(single - double).max() < 1e-4 * abs(double).max()
    assert all(v.dtype == jnp.float32 for v in KortewegDeVries().invariants(u.astype(jnp.float32), grid).values())
    np.testing.assert_allclose(KortewegDeVries(-2.0).speed(u, grid), [2 * abs(u).max()], rtol=1e-14)


def test_wrong_solitons_and_grids_are_refused():
    equation = KortewegDeVries()
    for speeds, positions in (((1.0, 1.0), (0.0, 1.0)), ((-1.0,), (0.0,)), ((1.0,), (0.0, 1.0)), ((), ())):
        with pytest.raises(SolverError, match="positive, different speeds and a position for each") as caught:
            equation.solitons(BOX, 0.0, speeds=speeds, positions=positions)
        assert "\n" not in str(caught.value)
    with pytest.raises(SolverError, match="KortewegDeVries has 1 space dimensions"):
        equation.rhs(jnp.ones((1, 8, 8)), Grid((8, 8), boundary=("periodic", "periodic")))
