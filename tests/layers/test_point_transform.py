import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ModelInputError
from neuralop_jax.layers import GridToPoints, PointsToGrid

KEY = jax.random.key(0)


def test_one_wave_keeps_its_wavenumber_to_the_points_and_back(compiled):
    """Only the weight of (2, 1) is not zero, so a wave of this wavenumber passes and every other one does not."""
    grid = np.stack(np.meshgrid(np.arange(8) / 8, np.arange(6) / 6, indexing="ij"))
    x = np.random.default_rng(0).uniform(size=(2, 11))
    wave = lambda y, k: np.cos(2 * np.pi * (k[0] * y[0] + k[1] * y[1]))[None]
    to_points, to_grid = (layer(1, 1, (8, 6), key=KEY) for layer in (GridToPoints, PointsToGrid))
    only = np.zeros((8, 4, 1, 1))
    only[2 + 4, 1] = 1  # rows are wavenumbers -4 to 3
    weight = jnp.asarray(only), jnp.asarray(0 * only)
    to_points, to_grid = (eqx.tree_at(lambda m: m.weight, layer, weight) for layer in (to_points, to_grid))
    for k, passed in (((2, 1), wave(x, (2, 1))), ((1, 1), 0)):
        np.testing.assert_allclose(compiled(to_points, jnp.asarray(wave(grid, k)), jnp.asarray(x)), passed, atol=1e-12)
    flat = grid.reshape(2, -1)
    back = compiled(lambda u, x: to_grid(u, x, (8, 6)), jnp.asarray(wave(flat, (2, 1))), jnp.asarray(flat))
    np.testing.assert_allclose(back, wave(grid, (2, 1)), atol=1e-12)


def test_a_grid_coarser_than_the_modes_is_refused():
    u, x = jnp.ones((1, 4, 8)), jnp.zeros((2, 5))
    with pytest.raises(ModelInputError, match=r"GridToPoints keeps n_modes=\(8, 6\) .* got \(4, 8\)"):
        GridToPoints(1, 1, (8, 6), key=KEY)(u, x)
    with pytest.raises(ModelInputError, match=r"PointsToGrid keeps n_modes=\(8, 6\) .* got \(8, 5\)"):
        PointsToGrid(1, 1, (8, 6), key=KEY)(jnp.ones((1, 5)), x, (8, 5))
