import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import FourierBasis, KuramotoSivashinsky
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid

GRIDS = [Grid((n,), ((-3.0, 29.0),), ("periodic",)) for n in (48, 49)]


@pytest.mark.parametrize("viscosity", [1.0, 0.4])
@pytest.mark.parametrize("form", ["derivative", "integral"])
def test_small_waves_grow_at_their_rate(form, viscosity):
    """The linear part of the right-hand side, in closed form, for every mode below the Nyquist limit."""
    grid, equation = GRIDS[0], KuramotoSivashinsky(viscosity, form)
    x = jnp.asarray(grid.coordinates()[0])
    for mode in (1, 4, 8, 23):
        q = 2 * np.pi * mode / 32
        wave = jnp.cos(q * x + 0.3)[None]
        slope = jax.jvp(lambda u: equation.rhs(u, grid), (0 * wave,), (wave,))[1]
        np.testing.assert_allclose(slope, (q**2 - viscosity * q**4) * wave, atol=1e-11 * max(1, q**4))
        np.testing.assert_allclose(equation.growth_rate(q), q**2 - viscosity * q**4, rtol=1e-14)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_products_equal_those_of_a_finer_grid(grid, band_limited, on_fine_grid, nonlinear_field):
    u = band_limited(grid)
    for form, product in (
        ("derivative", lambda u, slope: -u * slope(0)),
        ("integral", lambda u, slope: -0.5 * slope(0) ** 2),
    ):
        expected = on_fine_grid(u, grid, product)
        found = nonlinear_field(KuramotoSivashinsky(form=form), u, grid)
        np.testing.assert_allclose(found, expected, atol=1e-12 * abs(expected).max())


@pytest.mark.parametrize("form", ["derivative", "integral"])
def test_modes_beyond_the_limit_have_no_part_in_products(form, nonlinear_field):
    x = GRIDS[0].coordinates()[0] * 2 * np.pi / 32
    u = jnp.asarray(np.cos(16 * x + 0.2) + np.sin(19 * x) + np.cos(24 * x))[None]
    assert abs(nonlinear_field(KuramotoSivashinsky(form=form), u, GRIDS[0])).max() < 1e-12


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_the_slope_of_a_solution_of_the_integral_form_solves_the_derivative_form(grid, band_limited):
    basis, h = FourierBasis(grid), band_limited(grid)
    d = lambda u: basis.field(basis.derivative(basis.coefficients(u), 0))
    integral, derivative = KuramotoSivashinsky(0.7, "integral"), KuramotoSivashinsky(0.7)
    expected = derivative.rhs(d(h), grid)
    np.testing.assert_allclose(d(integral.rhs(h, grid)), expected, atol=1e-12 * abs(expected).max())
    np.testing.assert_allclose(integral.speed(h, grid), derivative.speed(d(h), grid), rtol=1e-12)


@pytest.mark.parametrize("largest", [None, 100])
def test_the_mean_is_kept_and_the_energy_budget_closes(largest, band_limited):
    """Half the integral of u^2 changes by that of u_x^2 - nu u_xx^2; the products move energy between modes only."""
    grid, equation = GRIDS[1], KuramotoSivashinsky(0.7)
    basis, u = FourierBasis(grid), band_limited(grid, largest=largest) + 0.4
    u_t = equation.rhs(u, grid)
    rate = jax.jvp(lambda u: equation.invariants(u, grid)["momentum"], (u,), (u_t,))[1]
    c = basis.coefficients(u)
    slope, curvature = basis.field(basis.derivative(c, 0)), basis.field(basis.laplacian[None] * c)
    production = 32.0 * (slope**2 - 0.7 * curvature**2).mean()
    assert abs(rate) < 1e-13 * abs(production)
    np.testing.assert_allclose(32.0 * (u * u_t).mean(), production, rtol=1e-12)
    assert KuramotoSivashinsky(form="integral").invariants(u, grid) == {}


def test_viscosity_may_be_traced_and_single_precision_stays_single(band_limited):
    grid, u = GRIDS[0], band_limited(GRIDS[0], largest=6)
    loss = lambda nu: (KuramotoSivashinsky(nu).rhs(u, grid) ** 3).mean()
    np.testing.assert_allclose(jax.grad(loss)(1.1), (loss(1.1 + 1e-5) - loss(1.1 - 1e-5)) / 2e-5, rtol=1e-7)
    many = jax.vmap(lambda nu: KuramotoSivashinsky(nu).rhs(u, grid))(jnp.asarray([0.1, 0.3]))
    np.testing.assert_allclose(many[1], KuramotoSivashinsky(0.3).rhs(u, grid), atol=1e-11)
    for form in ("derivative", "integral"):
        equation = KuramotoSivashinsky(form=form)
        single, double = (equation.rhs(u.astype(kind), grid) for kind in (jnp.float32, jnp.float64))
        assert single.dtype == jnp.float32 and abs(single - double).max() < 3e-4 * abs(double).max()
        assert equation.speed(u.astype(jnp.float32), grid).dtype == jnp.float32


def test_wrong_grids_are_refused():
    with pytest.raises(SolverError, match="KuramotoSivashinsky has 1 space dimensions"):
        KuramotoSivashinsky().rhs(jnp.ones((1, 8, 8)), Grid((8, 8), boundary=("periodic", "periodic")))
    with pytest.raises(SolverError, match="periodic on every axis"):
        KuramotoSivashinsky().rhs(jnp.ones((1, 8)), Grid((8,), boundary=("open",)))
