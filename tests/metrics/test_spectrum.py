import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.grids import Grid
from neuralop_jax.metrics import band_error, energy_spectrum, relative_l2


@pytest.mark.parametrize("boundary", [("periodic", "periodic"), ("dirichlet", "open"), ("periodic", "neumann")])
@pytest.mark.parametrize("shape", [(8, 12), (9, 7)])
def test_the_bins_add_up_to_the_mean_square(getkey, shape, boundary):
    u = jax.random.normal(getkey(), (2, *shape))
    found = energy_spectrum(u, Grid(shape, boundary=boundary))
    np.testing.assert_allclose(found.sum(1), jnp.mean(u**2, (1, 2)), rtol=1e-12)


def test_parseval_in_one_and_three_dimensions_without_a_grid(getkey):
    for shape in ((11,), (4, 5, 6)):
        u = jax.random.normal(getkey(), (1, *shape))
        np.testing.assert_allclose(energy_spectrum(u).sum(), jnp.mean(u**2), rtol=1e-12)


@pytest.mark.parametrize(("k", "m"), [(0, 0), (3, 0), (-3, 4), (1, 1), (5, -5)])
def test_a_single_wave_lies_in_one_bin(k, m):
    x, y = np.meshgrid(np.arange(16) / 16, np.arange(16) / 16, indexing="ij")
    u = jnp.asarray(3 * np.cos(2 * np.pi * (k * x + m * y)))[None]
    found = energy_spectrum(u, Grid((16, 16), boundary=("periodic", "periodic")))[0]
    wanted = np.zeros(len(found))
    wanted[int(np.floor(np.hypot(k, m) + 0.5))] = 9.0 if k == m == 0 else 4.5
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_wavenumbers_count_waves_per_longest_side():
    """Three waves on a side half as long are six on the longest."""
    grid = Grid((16, 16), ((0.0, 4.0), (0.0, 2.0)), ("periodic", "periodic"))
    u = jnp.asarray(np.sin(2 * np.pi * 3 * np.arange(16) / 16) * np.ones((16, 1)))
    np.testing.assert_allclose(energy_spectrum(u[None], grid)[0, 6], 0.5, rtol=1e-12)


@pytest.mark.parametrize(("waves", "bin"), [(1, 1), (2, 1), (3, 2), (10, 5)])
def test_half_waves_of_the_cosine_transform(waves, bin):
    """cos(pi m (j + 1/2)/N) is m/2 waves on the box; halves are rounded up, so that bin 0 holds the mean alone."""
    u = jnp.cos(jnp.pi * waves * (jnp.arange(20) + 0.5) / 20)[None]
    found = energy_spectrum(u, Grid((20,)))[0]
    np.testing.assert_allclose(found, np.where(np.arange(len(found)) == bin, 0.5, 0.0), atol=1e-12)


def test_a_jump_at_the_boundary_does_not_fill_the_tail():
    """Of a ramp the cosine transform falls as k^-4, the Fourier transform, which sees the jump, as k^-2."""
    u = (jnp.arange(1024) / 1024)[None]
    closed, wrapped = (energy_spectrum(u, Grid((1024,), boundary=(kind,)))[0] for kind in ("open", "periodic"))
    np.testing.assert_allclose(np.log2(closed[64] / closed[128]), 4, atol=0.1)
    np.testing.assert_allclose(np.log2(wrapped[64] / wrapped[128]), 2, atol=0.1)


def test_single_precision_stays():
    u = jnp.ones((1, 8, 8), jnp.float32)
    assert energy_spectrum(u).dtype == band_error(2 * u, u).dtype == jnp.float32


def test_bands_add_up_to_the_relative_error(getkey):
    prediction, target = jax.random.normal(getkey(), (2, 2, 24, 24))
    bands = band_error(prediction, target)
    assert bands.shape == (2, 3)
    np.testing.assert_allclose(jnp.sqrt(jnp.sum(bands**2, 1)), relative_l2(prediction, target), rtol=1e-12)
    grid = Grid((32,), boundary=("periodic",))
    x = jnp.arange(32) / 32
    error, target = 0.1 * jnp.sin(2 * jnp.pi * 5 * x)[None], jnp.sin(2 * jnp.pi * x)[None]
    np.testing.assert_allclose(band_error(target + error, target, grid)[0], [0, 0.1, 0], atol=1e-12)
    np.testing.assert_allclose(band_error(target + error, target, grid, edges=(6,))[0], [0.1, 0], atol=1e-12)
    both = jnp.concatenate([target, 0 * target])
    joint = band_error(both + jnp.concatenate([error, error]), both, grid, joint=True)
    np.testing.assert_allclose(joint, [[0, 0.1 * np.sqrt(2), 0]], atol=1e-12)
