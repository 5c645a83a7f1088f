"""Priors: closed forms, the same value on every grid, coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.data import GaussianRandomField
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.inverse import Tikhonov, TotalVariation

BOX = ((0.0, 2.0), (0.0, 1.0))
GRIDS = {
    "ends included": Grid((9, 12), BOX),
    "cell centers": Grid((8, 7), BOX, ("neumann", "neumann"), centered=(True, True)),
    "periodic": Grid((8, 7), BOX, ("periodic", "periodic")),
    "half open": Grid((8, 7), BOX, endpoint=(False, False)),
}


def points(grid):
    return np.meshgrid(*grid.coordinates(), indexing="ij")


@pytest.fixture
def value(compiled):
    """`value(prior, field)`, as NumPy gives the field."""
    return lambda prior, field: compiled(prior, jnp.asarray(field))


@pytest.mark.parametrize("order", [0.0, 1.0, 2.0, 1.5])
@pytest.mark.parametrize("name", GRIDS)
def test_tikhonov_of_an_eigenfunction(name, order, value):
    grid = GRIDS[name]
    x, y = (x - x[0, 0] + (h / 2 if name in ("cell centers", "half open") else 0) for x, h in zip(points(grid), grid.spacing))
    waves = 2 if name == "periodic" else 1
    field = 0.5 + 3 * np.cos(waves * np.pi * x / 2) * np.cos(2 * np.pi * y)
    symbol = 1 + 0.3**2 * ((waves * np.pi / 2) ** 2 + (2 * np.pi) ** 2)
    prior = Tikhonov(grid, order=order, weight=7.0, length=0.3, mean=0.5)
    np.testing.assert_allclose(value(prior, field[None]), 0.5 * 7 * 2 * 9 / 4 * symbol**order, rtol=1e-12)


def test_tikhonov_converges_to_the_integral_of_a_field_with_slopes_at_the_boundary(value):
    """H1 of x^2 on (0, 1): 1/2 (1/5 + 4/3), whose cosine series has the slope as a sine series."""
    errors = [abs(value(Tikhonov(grid), points(grid)[0][None] ** 2) - 23 / 30) for grid in (Grid((n,)) for n in (33, 65, 129))]
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx([1, 1], abs=0.1)


def test_samples_of_the_random_field_have_standard_normal_coordinates(compiled):
    grid = Grid((17, 17))
    field = GaussianRandomField(2.0, 4.0, 1.5, boundary="neumann", zero_mean=False)
    prior = Tikhonov(grid, order=1.5, weight=4.0**3 / 2.0**2, length=0.25)
    draw = lambda key: prior.coordinates(field.sample(grid, key=key))[0, :16, :16]
    w = compiled(lambda key: jax.vmap(draw)(jax.random.split(key, 400)), jax.random.key(0))
    np.testing.assert_allclose(np.mean(w**2), 1.0, rtol=0.02)
    np.testing.assert_allclose(np.mean(w**2, axis=0), np.ones((16, 16)), atol=0.4)


@pytest.mark.parametrize("name", GRIDS)
def test_coordinates_and_their_inverse(name, compiled):
    grid = GRIDS[name]
    m, w, mean = (jnp.asarray(x) for x in np.random.default_rng(0).normal(size=(3, 1, *grid.shape)))
    priors = (Tikhonov(grid, order=2.0, weight=3.0, length=0.4, mean=mean), TotalVariation(grid, mean=mean))
    both_ways = lambda m, w, p: (p.field(p.coordinates(m)), p.coordinates(p.field(w)), p.field(jnp.zeros_like(w)))
    for fields in compiled(lambda m, w: [both_ways(m, w, prior) for prior in priors], m, w):
        for found, wanted, atol in zip(fields, (m, w, mean), (1e-12, 1e-11, 1e-14)):
            np.testing.assert_allclose(found, wanted, atol=atol)


@pytest.mark.parametrize("shape", [(17,), (17, 12), (5, 6, 7)])
def test_total_variation_of_a_ramp_is_exact(shape, value):
    grid = Grid(shape)
    slopes = np.arange(1.0, 1 + len(shape))
    ramp = sum(s * x for s, x in zip(slopes, points(grid)))[None]
    expected = 2.5 * (np.sqrt(slopes @ slopes + 0.04) - 0.2)
    np.testing.assert_allclose(value(TotalVariation(grid, weight=2.5, smoothing=0.2), ramp), expected, rtol=1e-12)


def test_total_variation_of_a_bump_converges_and_sees_no_direction(value):
    """f = (1 - r^2)^2 within r < 1: the integral of |f'| over the plane is 2 pi that of f over (0, 1), by parts."""
    exact, errors = 2 * np.pi * 8 / 15, []
    for n in (31, 61, 121):
        grid = Grid((n, n), ((-1.5, 1.5), (-1.5, 1.5)))
        r2 = sum(x**2 for x in points(grid))
        errors.append(abs(value(TotalVariation(grid, smoothing=1e-6), np.maximum(1 - r2, 0)[None] ** 2) - exact))
    assert errors[-1] < 2e-3 and (np.log2(np.divide(errors[:-1], errors[1:])) > 1.3).all()  # the slope has a kink at r = 0


def test_total_variation_of_jumps_and_of_the_finest_wave(value, compiled):
    for grid in (Grid((11, 5)), Grid((101, 5))):
        jump = 2.0 * (points(grid)[0] > 0.4)[None]
        assert value(TotalVariation(grid, smoothing=1e-4), jump) == pytest.approx(2, rel=1e-3)
    grid = Grid((8, 8), boundary=("periodic", "periodic"))
    board = (-1.0) ** (np.arange(8)[:, None] + np.arange(8)[None, :])
    assert value(TotalVariation(grid, smoothing=1e-4), board[None]) == pytest.approx(16 * np.sqrt(2), rel=1e-4)
    gradient = compiled(lambda m: jax.grad(TotalVariation(grid))(m), jnp.asarray(np.ones((1, 8, 8))))
    np.testing.assert_allclose(gradient, 0, atol=1e-14)


def test_what_is_refused():
    grid = Grid((4, 4))
    for make, words in (
        (lambda: Tikhonov(grid, order=-1.0), "order >= 0"),
        (lambda: Tikhonov(grid, length=0.0), "length > 0"),
        (lambda: Tikhonov(grid, weight=0.0), "Tikhonov.weight must be positive"),
        (lambda: TotalVariation(grid, weight=-1.0), "TotalVariation.weight must be positive"),
        (lambda: TotalVariation(grid, smoothing=0.0), "smoothing must be positive"),
        (lambda: TotalVariation(Grid((4, 1))), "two points on every axis"),
    ):
        with pytest.raises(ConfigError, match=words):
            make()
