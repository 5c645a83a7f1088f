"""Divergence, vorticity and spectra of flows with closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ModelInputError
from neuralop_jax.grids import Grid
from neuralop_jax.metrics import (
    divergence,
    energy_spectrum,
    enstrophy_spectrum,
    kinetic_energy_spectrum,
    relative_divergence,
    vorticity,
)

BOX = ((0.0, 2.0), (0.0, 3.0), (-1.0, 1.0))


def points(grid):
    return np.meshgrid(*grid.coordinates(), indexing="ij")


def taylor_green(grid, amplitude=3.0):
    """u = (A sin ax cos by, -(a/b) A cos ax sin by) for one wave on each side, free of divergence."""
    (x, y), (a, b) = points(grid), (2 * np.pi / (right - left) for left, right in grid.extent)
    return jnp.asarray([amplitude * np.sin(a * x) * np.cos(b * y), -a / b * amplitude * np.cos(a * x) * np.sin(b * y)]), a, b


@pytest.mark.parametrize("shape", [(16, 12), (15, 9)])
def test_taylor_green_vortices(shape):
    grid = Grid(shape, BOX[:2], ("periodic", "periodic"))
    u, a, b = taylor_green(grid)
    x, y = points(grid)
    w = 3.0 * (a**2 / b + b) * np.sin(a * x) * np.sin(b * y)
    np.testing.assert_allclose(vorticity(u, grid)[0], w, atol=1e-12)
    np.testing.assert_allclose(divergence(u, grid), 0, atol=1e-12)
    assert relative_divergence(u, grid) < 1e-14
    energy, enstrophy = kinetic_energy_spectrum(u, grid), enstrophy_spectrum(u, grid)
    bin = int(np.floor(np.hypot(1.0, 1.5) + 0.5))  # waves per longest side: 3/2 on the shorter
    np.testing.assert_allclose(energy[bin], 9 / 8 * (1 + (a / b) ** 2), rtol=1e-12)
    np.testing.assert_allclose(enstrophy[bin], 9 / 8 * (a**2 / b + b) ** 2, rtol=1e-12)
    np.testing.assert_allclose([energy.sum() - energy[bin], enstrophy.sum() - enstrophy[bin]], 0, atol=1e-12)


def test_a_curl_has_no_divergence_and_a_gradient_no_vorticity(getkey):
    """Of any potential in three dimensions, odd sizes and unequal sides included."""
    grid = Grid((8, 7, 9), BOX, ("periodic",) * 3)
    potential = jax.random.normal(getkey(), (3, *grid.shape))
    curl = vorticity(potential, grid)
    assert jnp.max(jnp.abs(curl)) > 10
    np.testing.assert_allclose(divergence(curl, grid), 0, atol=1e-10)
    slopes = jnp.concatenate([divergence(jnp.zeros_like(potential).at[axis].set(potential[0]), grid) for axis in range(3)])
    np.testing.assert_allclose(vorticity(slopes, grid), 0, atol=1e-10)


@pytest.mark.parametrize("boundary", [("periodic",) * 3, ("periodic", "dirichlet", "open")])
def test_spectra_add_up_to_mean_energy_and_enstrophy(getkey, boundary):
    grid = Grid((6, 7, 8), BOX, boundary)
    u = jax.random.normal(getkey(), (3, *grid.shape))
    np.testing.assert_allclose(kinetic_energy_spectrum(u, grid).sum(), jnp.mean(u**2) * 1.5, rtol=1e-12)
    w = vorticity(u, grid)
    np.testing.assert_allclose(enstrophy_spectrum(u, grid).sum(), jnp.mean(w**2) * 1.5, rtol=1e-12)
    np.testing.assert_allclose(enstrophy_spectrum(u, grid), 0.5 * energy_spectrum(w, grid).sum(0), rtol=1e-12)


def test_relative_divergence_of_pure_expansion_and_of_rest():
    """Of u = x all slopes are those of the expansion: the square root of the number of dimensions."""
    for dims in (1, 2, 3):
        grid = Grid((5, 6, 7)[:dims], BOX[:dims])
        np.testing.assert_allclose(relative_divergence(jnp.asarray(points(grid)), grid), dims**0.5, rtol=1e-12)
        assert relative_divergence(jnp.ones((dims, *grid.shape)), grid) == 0


def test_differences_at_open_ends_are_of_second_order():
    errors = []
    for n in (21, 41):
        grid = Grid((n, n), BOX[:2])
        errors.append(jnp.max(jnp.abs(divergence(taylor_green(grid)[0], grid))))
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 2, atol=0.15)


def test_other_fields_are_refused():
    grid = Grid((4, 4))
    for name, function in (("divergence", divergence), ("vorticity", vorticity)):
        with pytest.raises(ModelInputError, match=rf"{name} needs a velocity with one component per axis, \(2, \*space\), got"):
            function(jnp.ones((3, 4, 4)), grid)
    with pytest.raises(ModelInputError, match="two or three dimensions, got 1"):
        vorticity(jnp.ones((1, 4)), Grid((4,)))
