import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import AxisNodes, interpolate
from neuralop_jax.layers import BiasFunction, FieldNorm, Prolongation

run = eqx.filter_jit(lambda layer, *inputs: layer(*inputs))
_NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "periodic": "wrap"}
_GRIDS = [(0, (8,), 4), (0, (8,), 3), (0, (10, 8), 4), (1, (9, 11), 3), (0, (7, 9), 3), (0, (4, 6, 4), 4)]


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def by_zero_stuffing(u, weight, first, shape, mode):
    """The same operator as its formula says it: zeros between the coarse values, then a convolution."""
    size, dims = weight.shape[-1], len(shape)
    stuffed = np.zeros((len(u), *shape))
    stuffed[(slice(None), *(slice(first, first + 2 * n, 2) for n in u.shape[1:]))] = u
    padded = np.pad(stuffed, ((0, 0), *((size - 2, 1),) * dims), mode=mode)
    v = np.zeros((len(weight), *shape))
    for offset in np.ndindex(*(size,) * dims):
        window = padded[(slice(None), *(slice(o, o + n) for o, n in zip(offset, shape, strict=True)))]
        v += np.tensordot(weight[(..., *(size - 1 - o for o in offset))], window, 1)
    return v


@pytest.mark.parametrize(
    ("boundary", "first", "shape", "size"),
    [(b, *grid) for b in _NUMPY_MODES for grid in _GRIDS if b != "periodic" or grid[1][0] % 2 == 0],
)
def test_prolongation_is_a_convolution_of_the_field_with_zeros_between(boundary, first, shape, size):
    u = draw(0, 2, *((n + 1) // 2 - first for n in shape))
    layer = Prolongation(len(shape), 2, 3, kernel_size=size, first=first, boundary=boundary, key=jax.random.key(1))
    wanted = by_zero_stuffing(u, np.asarray(layer.weight, float), first, shape, _NUMPY_MODES[boundary])
    np.testing.assert_allclose(run(layer, jnp.asarray(u), shape), wanted, atol=1e-12)


def test_linear_interpolation_is_a_prolongation(compiled):
    layer = Prolongation(2, 1, 1, kernel_size=3, first=1, key=jax.random.key(0))
    hat = [0.5, 1.0, 0.5]
    layer = eqx.tree_at(lambda m: m.weight, layer, jnp.asarray(np.outer(hat, hat)[None, None]))
    axes = [AxisNodes(9, "dirichlet"), AxisNodes(7, "dirichlet")]
    found, wanted = compiled(lambda u: (layer(u, (9, 7))[0], interpolate(u[0], axes)), jnp.asarray(draw(1, 1, 4, 3)))
    np.testing.assert_allclose(found, wanted, atol=1e-14)


def test_beyond_the_edge_the_last_value_is_repeated():
    layer = Prolongation(1, 1, 1, kernel_size=4, boundary="replicate", key=jax.random.key(0))
    layer = eqx.tree_at(lambda m: m.weight, layer, jnp.asarray(np.ones((1, 1, 4))))
    np.testing.assert_array_equal(run(layer, jnp.asarray([[1.0, 2.0, 5.0]]), (6,)), [[2, 3, 3, 7, 7, 10]])


def test_samples_behind_the_channels_are_each_prolonged(compiled):
    layer = Prolongation(2, 2, 3, boundary="reflect", key=jax.random.key(0))
    call = lambda u: layer(u, (6, 9))
    together, mapped = compiled(lambda u: (call(u), jax.vmap(call, 1, 1)(u)), jnp.asarray(draw(1, 2, 4, 3, 5)))
    np.testing.assert_allclose(together, mapped, atol=1e-12)
    with pytest.raises(ConfigError, match="kernel_size"):
        Prolongation(2, 1, 1, kernel_size=5, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("boundary", "values", "wanted"),
    [
        ("zeros", [4.0, 0.0, 4.0], [0, 2, 4, 2, 0, 2, 4, 2, 0]),
        ("reflect", [4.0, 0.0, 2.0], [4, 3, 2, 1, 0, 0.5, 1, 1.5, 2]),
        ("replicate", [4.0], [4] * 9),
        ("periodic", [0.0, 3.0, 0.0], [0, 1, 2, 3, 2, 1, 0, 0, 0]),
    ],
)
def test_bias_function_is_linear_between_its_values(boundary, values, wanted):
    layer = BiasFunction(1, 1, points=len(values), boundary=boundary)
    layer = eqx.tree_at(lambda m: m.values, layer, jnp.asarray([values]))
    u = np.arange(18.0).reshape(1, 2, 9)
    np.testing.assert_allclose(run(layer, jnp.asarray(u)) - u, np.broadcast_to(wanted, (1, 2, 9)), atol=1e-13)


def test_bias_function_is_the_product_of_hats_along_the_axes_on_every_grid():
    layer = BiasFunction(2, 1, points=1)
    layer = eqx.tree_at(lambda m: m.values, layer, jnp.asarray([[[3.0]]]))
    for shape in ((5, 9), (9, 17)):
        hats = [1 - np.abs(np.linspace(-1, 1, n)) for n in shape]
        np.testing.assert_allclose(run(layer, jnp.asarray(np.zeros((1, *shape))))[0], 3 * np.outer(*hats), atol=1e-14)


def test_field_norm_has_mean_zero_and_variance_one_for_each_sample(compiled):
    scale, shift = draw(1, 2, 2, 4, 5)
    layer = eqx.tree_at(lambda m: (m.weight, m.bias), FieldNorm(2, (2, 4, 5)), (jnp.asarray(scale), jnp.asarray(shift)))
    every = lambda u: (FieldNorm(2)(u), layer(u[:, 0]), layer(u), jax.vmap(layer, 1, 1)(u))
    v, first, together, mapped = compiled(every, jnp.asarray(3 + 2 * draw(0, 2, 3, 4, 5)))
    np.testing.assert_allclose(v.mean((0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(v.var((0, 2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(first, v[:, 0] * scale + shift, atol=1e-12)
    np.testing.assert_allclose(together, mapped, atol=1e-12)
