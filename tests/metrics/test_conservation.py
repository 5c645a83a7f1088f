import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.equations import NavierStokes
from neuralop_jax.grids import Grid
from neuralop_jax.metrics import energy_error, integral, invariant_drift, mass_error


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"boundary": ("periodic",)}, 3.0),  # the mean of 1 + cos over a period
        ({}, 3.0),
        ({"centered": (True,)}, 3.0),
        ({"endpoint": (False,)}, 3.0),
    ],
)
def test_integral_of_a_wave_and_its_mean(options, wanted):
    grid = Grid((12,), ((1.0, 4.0),), **options)
    u = 1 + np.cos(2 * np.pi * (grid.coordinates()[0] - 1) / 3)
    np.testing.assert_allclose(integral(jnp.asarray([u, 2 * u]), grid), [wanted, 2 * wanted], rtol=1e-12)


def test_integral_over_a_box_of_several_kinds_of_axes():
    """x y z^2 with what each rule is exact for: x linear (trapezoid), y linear (midpoint), a constant along the period."""
    grid = Grid((5, 4, 6), ((0.0, 2.0), (1.0, 3.0), (0.0, 5.0)), ("open", "open", "periodic"), centered=(False, True, False))
    x, y, _ = np.meshgrid(*grid.coordinates(), indexing="ij")
    np.testing.assert_allclose(integral(jnp.asarray(x * y)[None], grid), [2 * 4 * 5], rtol=1e-12)
    np.testing.assert_allclose(integral(jnp.ones((1, 4, 4))), [1])


def test_errors_of_mass_and_energy():
    x = 2 * np.pi * np.arange(16) / 16
    wave = jnp.asarray([np.sin(x), 2 + np.sin(x), 0 * x])
    moved = jnp.asarray([0.1 + np.sin(x - 1), 2.2 + np.sin(x), 0 * x + 0.3])
    np.testing.assert_allclose(mass_error(moved, wave), [0.1 / np.abs(np.sin(x)).mean(), 0.1, 0.3], rtol=1e-12)
    np.testing.assert_allclose(energy_error(moved, wave), [0.01 / 0.5, (4.84 - 4) / 4.5, 0.09], rtol=1e-10)


def test_taylor_green_vortices_lose_energy_and_enstrophy_at_their_rates():
    grid, equation = Grid((16, 16), ((0.0, 2 * np.pi),) * 2, ("periodic",) * 2), NavierStokes(viscosity=0.1)
    times = np.array([0.0, 1.0, 2.0])
    flow = jnp.stack([equation.taylor_green(grid, amplitude=2.0, t=t, viscosity=0.1) for t in times])
    drift = invariant_drift(flow, grid, equation.invariants)
    gone = np.exp(-2 * 0.1 * 2 * times) - 1  # twice the rate nu |k|^2 of the vorticity
    area = (2 * np.pi) ** 2
    np.testing.assert_allclose(drift["enstrophy"], 0.5 * area * 4 / 4 * gone, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(drift["energy"], 0.5 * area * 4 / 4 / 2 * gone, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(drift["circulation"], 0, atol=1e-12)
