import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from neuralop_jax.kernels import max_pool, upsample


@pytest.mark.parametrize("shape", [(5,), (1,), (3, 4), (2, 3, 4)])
def test_twice_the_points_are_interpolated_linearly(shape):
    u = np.random.default_rng(0).normal(size=(2, *shape))
    axes = [np.linspace(0, 1, n) if n > 1 else np.array([0.0, 1.0]) for n in shape]
    values = np.repeat(u, 2, 1) if shape == (1,) else u
    fine = np.stack(np.meshgrid(*[np.linspace(0, 1, 2 * n) for n in shape], indexing="ij"), -1)
    wanted = np.stack([RegularGridInterpolator(axes, v)(fine) for v in values])
    np.testing.assert_allclose(upsample(jnp.asarray(u), len(shape)), wanted, atol=1e-14)


def test_the_largest_of_pairs():
    u = np.random.default_rng(0).normal(size=(2, 5, 6))
    wanted = u[:, :4].reshape(2, 2, 2, 3, 2).max((2, 4))
    np.testing.assert_array_equal(max_pool(jnp.asarray(u), 2), wanted)
    np.testing.assert_array_equal(max_pool(jnp.asarray(u[0]), 1), u[0].reshape(5, 3, 2).max(2))


def test_of_equal_values_the_first_is_taken():
    u = jnp.asarray([[1.0, 2.0], [2.0, 2.0]])
    np.testing.assert_array_equal(jax.grad(lambda u: max_pool(u, 2).sum())(u), [[0, 1], [0, 0]])
