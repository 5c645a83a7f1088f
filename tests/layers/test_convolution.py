import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate

from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import _convolve, convolve
from neuralop_jax.layers import Convolution

_SCIPY_MODES = {"zeros": "constant", "reflect": "mirror", "periodic": "wrap"}


@pytest.mark.parametrize("boundary", _SCIPY_MODES)
@pytest.mark.parametrize("shape", [(9,), (6, 7), (4, 5, 6)])
def test_every_boundary_is_that_of_scipy(boundary, shape):
    layer = Convolution(len(shape), 2, 3, boundary=boundary, key=jax.random.key(0))
    u = np.asarray(jax.random.normal(jax.random.key(1), (2, *shape)))
    wanted = [
        sum(correlate(u[c], np.asarray(layer.weight[o, c], float), mode=_SCIPY_MODES[boundary]) for c in range(2)) + layer.bias[o]
        for o in range(3)
    ]
    np.testing.assert_allclose(layer(jnp.asarray(u)), np.stack(wanted), atol=1e-6)


def test_samples_behind_the_channels_are_each_convolved():
    layer = Convolution(2, 2, 3, stride=2, boundary="reflect", key=jax.random.key(0))
    u = jax.random.normal(jax.random.key(1), (2, 4, 8, 9))
    np.testing.assert_allclose(layer(u), jax.vmap(layer, 1, 1)(u), atol=1e-6)
    assert layer(u).shape == (3, 4, 4, 5)


def test_a_stride_takes_every_second_point():
    weight = jax.random.normal(jax.random.key(0), (3, 2, 3, 3))
    u = jax.random.normal(jax.random.key(1), (2, 8, 7))
    whole = convolve(u, weight, padding=1, boundary="periodic")
    np.testing.assert_allclose(convolve(u, weight, stride=2, padding=1, boundary="periodic"), whole[:, ::2, ::2], atol=1e-12)
    one_sided = convolve(u, weight, padding=((2, 0), (0, 2)), boundary="periodic")
    np.testing.assert_allclose(one_sided, jnp.roll(whole, (1, -1), (1, 2)), atol=1e-12)


def test_periodic_convolutions_commute_with_shifts():
    layer = Convolution(2, 1, 2, boundary="periodic", key=jax.random.key(0))
    u = jax.random.normal(jax.random.key(1), (1, 8, 6))
    np.testing.assert_allclose(layer(jnp.roll(u, (3, 1), (1, 2))), jnp.roll(layer(u), (3, 1), (1, 2)), atol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="boundary"):
        Convolution(2, 1, 1, boundary="circular", key=jax.random.key(0))
    for padding in (0, 1):
        with pytest.raises(ValueError, match="boundary must be one of 'zeros', 'reflect', 'replicate', 'periodic', got 'wrap'"):
            convolve(jnp.ones((1, 4)), jnp.ones((1, 1, 3)), padding=padding, boundary="wrap")
    layer = Convolution(1, 1, 1, boundary="reflect", key=jax.random.key(0))
    with pytest.raises(ValueError, match="needs more points"):
        layer(jnp.ones((1, 1)))


@pytest.mark.parametrize(("shape", "kernel", "stride"), [((9,), (3,), 1), ((9, 8), (3, 2), 2), ((5, 6, 7), (3, 3, 3), 1)])
@pytest.mark.parametrize("channels", [(1, 3), (4, 2)])
def test_products_of_matrices_are_the_convolution_of_xla(shape, kernel, stride, channels):
    """What all axes read is gathered where there is one channel, what the last one reads where there are more."""
    before, after = channels
    weight = jax.random.normal(jax.random.key(0), (after, before, *kernel))
    u = jax.random.normal(jax.random.key(1), (before, 4, *shape))
    ours, theirs = (f(u, weight, stride) for f in (_convolve._by_products, _convolve._by_convolution))
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
