import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ModelInputError
from neuralop_jax.layers import GridToPoints, PointsToGrid

KEY = jax.random.key(0)


def test_one_wave_keeps_its_wavenumber_to_the_points_and_back():
    """Only the weight of (2, 1) is not zero, so a wave of this wavenumber passes and every other one does not."""
    grid = np.stack(np.meshgrid(np.arange(8) / 8, np.arange(6) / 6, indexing="ij"))
    x = jax.random.uniform(KEY, (2, 11))
    wave = lambda y, k: jnp.cos(2 * jnp.pi * (k[0] * y[0] + k[1] * y[1]))[None]
    to_points, to_grid = (layer(1, 1, (8, 6), key=KEY) for layer in (GridToPoints, PointsToGrid))
    only = np.zeros((8, 4, 1, 1))
    only[2 + 4, 1] = 1  # rows are wavenumbers -4 to 3
    weight = jnp.asarray(only), jnp.zeros_like(only)
    to_points, to_grid = (eqx.tree_at(lambda m: m.weight, layer, weight) for layer in (to_points, to_grid))
    np.testing.assert_allclose(to_points(wave(grid, (2, 1)), x), wave(x, (2, 1)), atol=1e-12)
    np.testing.assert_allclose(to_points(wave(grid, (1, 1)), x), 0, atol=1e-12)
    flat = jnp.asarray(grid.reshape(2, -1))
    np.testing.assert_allclose(to_grid(wave(flat, (2, 1)), flat, (8, 6)), wave(grid, (2, 1)), atol=1e-12)


def test_a_grid_coarser_than_the_modes_is_refused():
    u, x = jnp.ones((1, 4, 8)), jnp.zeros((2, 5))
    with pytest.raises(ModelInputError, match=r"GridToPoints keeps n_modes=\(8, 6\) .* got \(4, 8\)"):
        GridToPoints(1, 1, (8, 6), key=KEY)(u, x)
    with pytest.raises(ModelInputError, match=r"PointsToGrid keeps n_modes=\(8, 6\) .* got \(8, 5\)"):
        PointsToGrid(1, 1, (8, 6), key=KEY)(jnp.ones((1, 5)), x, (8, 5))
