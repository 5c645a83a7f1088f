"""Gaussian random fields: their statistics, and that a key means one function whatever the grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.data._random_fields import GaussianRandomField
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid

BURGERS = {"sigma": 25.0, "tau": 5.0, "gamma": 2.0}
VORTICITY = GaussianRandomField(7.0**1.5, 7.0, 2.5)
DARCY = GaussianRandomField(3.0, 3.0, 2.0, boundary="neumann")


def periodic(points, length=1.0, dims=1):
    return Grid((points,) * dims, ((0.0, length),) * dims, ("periodic",) * dims)


def centers(points, dims=2):
    return Grid((points,) * dims, centered=(True,) * dims)


def draw(field, grid, number, seed=0):
    keys = jax.random.split(jax.random.key(seed), number)
    return np.asarray(jax.jit(jax.vmap(lambda key: field.sample(grid, key=key)))(keys))[:, 0]


@pytest.mark.parametrize(
    ("length", "measure", "variance", "by_mode"),
    [
        (1.0, "lebesgue", 0.35233, (0.30066, 0.03736, 0.00864)),
        (2 * np.pi, "lebesgue", 1.0908, tuple(e / np.pi for e in (0.92456, 0.74316, 0.54066))),
        (2 * np.pi, "unit", 6.8540, tuple(2 * e for e in (0.92456, 0.74316, 0.54066))),
    ],
)
def test_statistics_of_burgers(length, measure, variance, by_mode):
    field, grid = GaussianRandomField(**BURGERS, measure=measure), periodic(256, length)
    u = draw(field, grid, 4000)
    assert abs(u.mean(axis=1)).max() < 1e-6
    assert abs((u**2).mean() / variance - 1) < 0.04
    modes = 2 * abs(np.fft.rfft(u, axis=1, norm="forward")[:, 1:4]) ** 2
    np.testing.assert_allclose(modes.mean(axis=0), by_mode, rtol=0.06)
    assert abs(field.variance(periodic(8192, length)) / variance - 1) < 1e-4


def test_closed_form_of_the_variance():
    t = 5.0
    sum_over_k = 0.5 * (1 / np.tanh(t / 2) / (4 * t**3) + 1 / (8 * t**2 * np.sinh(t / 2) ** 2) - 1 / t**4)
    variance = GaussianRandomField(**BURGERS).variance(periodic(8192))
    assert abs(variance / (2 * 625 * sum_over_k) - 1) < 1e-9


def test_statistics_of_vorticity():
    w = draw(VORTICITY, periodic(32, dims=2), 2000)
    assert abs(w.std() / 0.1852 - 1) < 0.03
    assert abs(VORTICITY.variance(periodic(256, dims=2)) ** 0.5 / 0.18523 - 1) < 1e-4
    prefactor_of_the_paper = GaussianRandomField(7.0**0.75, 7.0, 2.5)
    assert abs(prefactor_of_the_paper.variance(periodic(256, dims=2)) ** 0.5 / 0.04304 - 1) < 1e-3


def test_statistics_of_darcy():
    g = draw(DARCY, centers(32), 4000)
    assert abs((g**2).mean() / 0.0853 - 1) < 0.03
    assert abs(DARCY.variance(Grid((421, 421))) / 0.085313 - 1) < 1e-4
    without_factor = GaussianRandomField(1.0, 3.0, 2.0, boundary="neumann")
    assert abs(without_factor.variance(Grid((421, 421))) / 0.0094792 - 1) < 1e-4


def test_threshold_of_darcy_takes_half():
    g = draw(DARCY, Grid((43, 43)), 500)
    assert abs((g >= 0).mean() - 0.5) < 0.02


@pytest.mark.parametrize(("coarse", "dims"), [(8, 1), (9, 2), (8, 2), (6, 3)])
def test_twice_the_resolution_adds_modes_only(coarse, dims):
    field, key = GaussianRandomField(**BURGERS, zero_mean=False), jax.random.key(3)
    spectra = []
    for points in (coarse, 2 * coarse):
        u = field.sample(periodic(points, 2.0, dims), key=key)[0]
        kept = np.arange(-((coarse - 1) // 2), (coarse + 1) // 2)
        spectra.append(np.fft.fftn(u, norm="forward")[np.ix_(*(kept,) * dims)])
    assert abs(spectra[0]).min() > 0
    np.testing.assert_allclose(spectra[1], spectra[0], rtol=1e-10, atol=1e-14)


FUNCTIONS = {
    "periodic": lambda k, x: np.cos(2 * np.pi * k * x) if k >= 0 else np.sin(2 * np.pi * k * x),
    "neumann": lambda k, x: np.cos(np.pi * k * x),
    "dirichlet": lambda k, x: np.sin(np.pi * k * x),
}


@pytest.mark.parametrize("boundary", FUNCTIONS)
def test_values_are_those_of_one_function_on_every_grid(boundary):
    field = GaussianRandomField(2.0, 3.0, 1.0, boundary=boundary, zero_mean=False, max_wavenumber=4)
    numbers = {"periodic": range(-4, 5), "neumann": range(5), "dirichlet": range(1, 5)}[boundary]
    box, key = ((1.0, 3.0), (-1.0, 0.5)), jax.random.key(5)

    def table(x, interval):
        start, end = interval
        return np.stack([FUNCTIONS[boundary](k, (x - start) / (end - start)) for k in numbers], axis=1)

    def tables(grid):
        return [table(x, interval) for x, interval in zip(grid.coordinates(), box, strict=True)]

    fine = Grid((40, 33), box, endpoint=(False, True))
    left, right = (np.linalg.pinv(t) for t in tables(fine))
    coefficients = left @ np.asarray(field.sample(fine, key=key)[0]) @ right.T
    assert abs(coefficients).min() > 1e-3
    for grid in (
        Grid((21, 10), box, endpoint=(True, False)),
        Grid((9, 16), box, ("periodic", "open"), endpoint=(False, True), centered=(True, False)),
    ):
        first, second = tables(grid)
        np.testing.assert_allclose(field.sample(grid, key=key)[0], first @ coefficients @ second.T, atol=1e-12)


def test_coefficients_are_independent():
    field = GaussianRandomField(1.0, 1.0, 0.0, zero_mean=False, max_wavenumber=1)
    u = draw(field, periodic(3, dims=2), 4000).reshape(4000, 9)
    covariance = u.T @ u / 4000 / 9  # white coefficients of nine modes are white on nine points
    assert abs(covariance - np.eye(9)).max() < 5 * np.sqrt(2 / 4000)
    assert abs(u.mean(axis=0)).max() < 5 * 3 / np.sqrt(4000)


def test_constant_mode_is_left_out_only_if_asked():
    with_mean = GaussianRandomField(2.0, 2.0, 1.0, zero_mean=False)
    means = draw(with_mean, periodic(16), 4000).mean(axis=1)
    assert abs(means.var() / (2.0**2 / 2.0**2) - 1) < 0.06
    both = jax.random.key(1)
    difference = with_mean.sample(periodic(16), key=both) - GaussianRandomField(2.0, 2.0, 1.0).sample(periodic(16), key=both)
    np.testing.assert_allclose(difference, difference[0, 0], atol=1e-12)


def test_single_precision():
    field, grid = GaussianRandomField(**BURGERS), periodic(64)
    assert field.sample(grid, key=jax.random.key(0)).dtype == jnp.float64
    keys = jax.random.split(jax.random.key(0), 2000)
    u = jax.vmap(lambda key: field.sample(grid, key=key, dtype=jnp.float32))(keys)
    assert u.dtype == jnp.float32 and abs((u**2).mean() / 0.35233 - 1) < 0.06


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "sigma must be finite and > 0, got 0.0"),
        ({"tau": -1.0}, "tau must be finite and >= 0, got -1.0"),
        ({"tau": 0.0, "zero_mean": False}, "infinite variance"),
        ({"max_wavenumber": 0}, "max_wavenumber"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ConfigError, match=message):
        GaussianRandomField(**{**BURGERS, **changes})
