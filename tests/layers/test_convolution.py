import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate

from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import _convolve, convolve
from neuralop_jax.layers import Convolution

_SCIPY_MODES = {"zeros": "constant", "reflect": "mirror", "periodic": "wrap"}


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("boundary", _SCIPY_MODES)
@pytest.mark.parametrize("shape", [(9,), (6, 7), (4, 5, 6)])
def test_every_boundary_is_that_of_scipy(boundary, shape, compiled):
    layer = Convolution(len(shape), 2, 3, boundary=boundary, key=jax.random.key(0))
    u = draw(1, 2, *shape)
    wanted = [
        sum(correlate(u[c], np.asarray(weight[c], float), mode=_SCIPY_MODES[boundary]) for c in range(2)) + bias
        for weight, bias in zip(np.asarray(layer.weight), np.asarray(layer.bias))
    ]
    np.testing.assert_allclose(compiled(layer, jnp.asarray(u)), np.stack(wanted), atol=1e-6)


def test_samples_behind_the_channels_are_each_convolved(compiled):
    layer = Convolution(2, 2, 3, stride=2, boundary="reflect", key=jax.random.key(0))
    together, mapped = compiled(lambda u: (layer(u), jax.vmap(layer, 1, 1)(u)), jnp.asarray(draw(1, 2, 4, 8, 9)))
    np.testing.assert_allclose(together, mapped, atol=1e-6)
    assert together.shape == (3, 4, 4, 5)


def test_a_stride_takes_every_second_point(compiled):
    options = ({"padding": 1}, {"stride": 2, "padding": 1}, {"padding": ((2, 0), (0, 2))})
    every = lambda u, weight: [convolve(u, weight, **some, boundary="periodic") for some in options]
    whole, second, one_sided = compiled(every, jnp.asarray(draw(1, 2, 8, 7)), jnp.asarray(draw(0, 3, 2, 3, 3)))
    np.testing.assert_allclose(second, whole[:, ::2, ::2], atol=1e-12)
    np.testing.assert_allclose(one_sided, np.roll(whole, (1, -1), (1, 2)), atol=1e-12)


def test_periodic_convolutions_commute_with_shifts(compiled):
    layer = Convolution(2, 1, 2, boundary="periodic", key=jax.random.key(0))
    shift = lambda u: np.roll(u, (3, 1), (1, 2))
    u = draw(1, 1, 8, 6)
    found, of_shifted = (compiled(layer, jnp.asarray(v)) for v in (u, shift(u)))
    np.testing.assert_allclose(of_shifted, shift(found), atol=1e-6)


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
def test_products_of_matrices_are_the_convolution_of_xla(shape, kernel, stride, channels, compiled):
    """What all axes read is gathered where there is one channel, what the last one reads where there are more."""
    before, after = channels
    u, weight = jnp.asarray(draw(1, before, 4, *shape)), jnp.asarray(draw(0, after, before, *kernel))
    both = lambda u, weight: [f(u, weight, stride) for f in (_convolve._by_products, _convolve._by_convolution)]
    ours, theirs = compiled(both, u, weight)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
