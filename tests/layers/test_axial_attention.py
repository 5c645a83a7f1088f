"""Acceptance of the factorized attention: Kronecker products, rotary encoding, norm over heads, axis projections, costs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import AxisKernel, AxisProjection, FactorizedAttention
from neuralop_jax.layers._axial_attention import apply_axis_kernels, mean_over_others, normalize_heads

KEY = jax.random.key(0)
run = eqx.filter_jit(lambda layer, *inputs: layer(*inputs))
APPLY = jax.jit(lambda ks, v: (apply_axis_kernels(ks, v), apply_axis_kernels(ks, v, order=tuple(reversed(range(len(ks)))))))


def amplified(layer, factor):
    """The layer with its queries, so also its kernels, multiplied."""
    return eqx.tree_at(lambda m: [k.query.weight for k in m.axis_kernels], layer, replace_fn=lambda w: factor * w)


@pytest.mark.parametrize("sides", [(6,), (5, 7), (3, 4, 5)])
def test_equals_the_kronecker_product_in_any_order_of_axes(sides):
    """Acceptance 2."""
    heads, batch, channels, dims = 2, 3, 4, len(sides)
    keys = jax.random.split(KEY, dims + 1)
    kernels = [jax.random.normal(k, (heads, batch, n, n)) for k, n in zip(keys, sides, strict=False)]
    v = jax.random.normal(keys[-1], (heads, batch, *sides[:-1], channels, sides[-1]))
    w, reverse = APPLY(kernels, v)
    flat = lambda a: np.moveaxis(np.asarray(a), -2, 2).reshape(heads, batch, channels, -1)
    for head, sample in np.ndindex(heads, batch):
        dense = np.ones((1, 1))
        for kernel in kernels:
            dense = np.kron(dense, np.asarray(kernel)[head, sample])
        np.testing.assert_allclose(flat(w)[head, sample], flat(v)[head, sample] @ dense.T, atol=1e-11)
    np.testing.assert_allclose(reverse, w, atol=1e-11)


@pytest.mark.parametrize("options", [{}, {"period": 2.0}, {"softmax": True}])
def test_kernels_see_differences_of_positions(options):
    """Acceptance 3."""
    layer = AxisKernel(6, 2, 8, **options, key=KEY)
    phi, x, fourth = 30 * np.random.default_rng(0).normal(size=(6, 9)), np.linspace(0, 1, 9) ** 2, np.eye(9)[4]
    of = lambda layer, x: np.asarray(run(layer, jnp.asarray(phi), jnp.asarray(x)))
    kernel = of(layer, x)
    np.testing.assert_allclose(of(layer, x + 0.37), kernel, atol=1e-10)
    moved = of(layer, x + 0.01 * fourth) - kernel
    assert abs(moved[:, 4]).max() > 1e-4 * abs(kernel).max()
    again = of(layer, x + 2 * fourth) - kernel  # one point, a whole period on
    assert (abs(again).max() < 1e-10) == ("period" in options)
    without = AxisKernel(6, 2, 8, rotary=False, key=KEY)
    np.testing.assert_array_equal(of(without, x), of(without, 2 * x))


def test_kernel_in_closed_form():
    """One head of two channels: the angle between points is 64 times their distance; weights multiply columns."""
    layer = AxisKernel(2, 1, 2, scaling=3.0, key=KEY)
    eye = jnp.asarray(np.eye(2))
    layer = eqx.tree_at(lambda m: (m.query.weight, m.source.weight), layer, (eye, eye))
    phi, x, weights = np.stack([np.ones(4), np.zeros(4)]), np.linspace(0, 1, 4), np.asarray([1.0, 2, 3, 4])
    of = lambda layer, *inputs: run(layer, *map(jnp.asarray, inputs))[0]
    np.testing.assert_allclose(of(layer, phi, x, weights), 3 * np.cos(64 * (x[:, None] - x)) * weights, atol=1e-12)
    soft = AxisKernel(2, 1, 2, softmax=True, rotary=False, key=KEY)
    np.testing.assert_allclose(of(soft, 0 * phi, x, weights), np.tile(weights / 10, (4, 1)), atol=1e-12)


def test_scale_of_the_kernels_does_not_matter():
    """Acceptance 4."""
    layer = FactorizedAttention(2, 6, 5, heads=2, head_width=4, key=KEY)
    u, axes = jax.random.normal(KEY, (6, 8, 9)), (jnp.linspace(0, 1, 8), jnp.linspace(0, 1, 9))
    layer = amplified(layer, 1e4)  # so that the variance is far above the epsilon of the norm
    call = eqx.filter_jit(lambda m: (m(u, axes), m.kernels(u, axes)))
    (v, kernels), (w, stronger) = call(layer), call(amplified(layer, 10))
    assert jnp.linalg.norm(v - w) < 1e-4 * jnp.linalg.norm(v)
    for kernel, strong in zip(kernels, stronger, strict=True):
        np.testing.assert_allclose(strong, 10 * kernel, rtol=1e-10)
    assert v.shape == (5, 8, 9) and kernels[1].shape == (2, 1, 9, 9)


def test_scaling_is_the_published_one_unless_it_is_given():
    def of(**options):
        return FactorizedAttention(2, 4, 4, heads=1, head_width=4, **options, key=KEY).axis_kernels[1].scaling

    assert of() == 1 and of(softmax=True) == 8**-0.5 and of(kernel_multiplier=5) == 20**-0.5
    assert of(scaling=2.0) == of(scaling=2.0, softmax=True) == of(scaling=2.0, kernel_multiplier=5) == 2


def test_norm_of_a_head_is_over_its_channels_and_the_domain(compiled):
    v = compiled(normalize_heads, jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 4, 5, 6)) * 7 + 2))
    np.testing.assert_allclose(np.mean(v, (2, 3, 4)), 0, atol=1e-12)
    np.testing.assert_allclose(np.var(v, (2, 3, 4), ddof=1), 1, rtol=1e-8)


@pytest.mark.parametrize("centered, order", [(False, 1), (True, 2)])
def test_projections_converge_with_the_grid(centered, order):
    """Acceptance 5: at common points; on cell centers the mean is the midpoint rule."""
    project = AxisProjection(4, 3, key=KEY)
    fields = lambda x, y: jnp.stack([jnp.exp(a * x[:, None] + y[None] ** 2) + jnp.sin(3 * y[None] - a) for a in range(4)])

    @jax.jit
    def at(y):
        return project(mean_over_others(fields(jnp.linspace(0, 1, 5), y)[:, None], 0))

    points = lambda n: (np.arange(n) + 0.5) / n if centered else np.linspace(0, 1, n)
    phi = [np.asarray(at(jnp.asarray(points(n)))) for n in (32, 64, 128, 1024)]
    errors = [abs(p - phi[-1]).max() for p in phi[:-1]]
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    assert errors[0] < 0.1 and np.all(np.abs(rates - order) < 0.15), (errors, rates)


def test_quadrature_weights_make_means_integrals(compiled):
    nodes, weights = np.polynomial.legendre.leggauss(6)
    u = (np.ones(4)[:, None] * nodes[None] ** 4)[None, None]
    means = lambda u, *weights: [mean_over_others(u, axis, weights) for axis in (0, 1)]
    first, second = compiled(means, *(jnp.asarray(a) for a in (u, np.ones(4), weights)))
    np.testing.assert_allclose(first, np.full((1, 1, 4), 0.2), atol=1e-12)
    np.testing.assert_allclose(second[0, 0], nodes**4, atol=1e-12)


def test_uniform_weights_change_nothing():
    layer = FactorizedAttention(2, 4, 4, heads=1, head_width=4, key=KEY)
    layer = amplified(layer, 1e6)
    u, axes = jax.random.normal(KEY, (4, 3, 5, 6)), (jnp.linspace(0, 1, 5), jnp.linspace(0, 1, 6))
    weights = jnp.full(5, 0.2), jnp.full(6, 1 / 6)
    both = eqx.filter_jit(lambda m: (m(u, axes, weights), m(u, axes)))(layer)
    np.testing.assert_allclose(*both, atol=1e-8)


def exponent(sizes, values):
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def test_costs_grow_as_promised():
    """Acceptance 7: by counts of the compiled program, from 32² to 256² points; full attention over all points beside it."""
    layer = FactorizedAttention(2, 8, 8, heads=2, head_width=4, key=KEY)

    def full(u):
        q = u.reshape(8, -1)
        return q @ jax.nn.softmax(q.T @ q)

    def costs(f, *arguments):
        compiled = jax.jit(f).lower(*arguments).compile()
        return compiled.cost_analysis()["flops"], compiled.memory_analysis().temp_size_in_bytes

    field = lambda n: jax.ShapeDtypeStruct((8, n, n), jnp.float32)
    sizes = (32, 64, 128, 256)
    axis = lambda n: (jax.ShapeDtypeStruct((n,), jnp.float32),) * 2
    flops, memory = zip(*(costs(lambda u, x: layer(u, x), field(n), axis(n)) for n in sizes), strict=True)
    assert exponent(sizes, flops) <= 3.2 and exponent(sizes, memory) <= 2.2, (flops, memory)
    flops = [costs(full, field(n))[0] for n in (16, 32, 64)]
    assert exponent((16, 32, 64), flops) >= 3.8, flops


def test_rotary_encoding_needs_pairs_of_channels():
    with pytest.raises(ConfigError, match="head_width 3 times kernel_multiplier 1, which is odd. Make one of them even"):
        FactorizedAttention(2, 8, 8, heads=2, head_width=3, kernel_multiplier=1, key=KEY)
