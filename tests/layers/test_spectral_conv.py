import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.kernels import kept_modes, wavenumbers
from neuralop_jax.layers import SpectralConv

run = eqx.filter_jit(lambda conv, u, shape=None: conv(u, shape))


def identity(channels, n_modes, **options):
    conv = SpectralConv(channels, channels, n_modes, bias=False, key=jax.random.key(0), **options)
    real, imaginary = (np.zeros(part.shape) for part in conv.weight)
    return eqx.tree_at(lambda c: c.weight, conv, (jnp.asarray(real + np.eye(channels)), jnp.asarray(imaginary)))


def field(shape, k):
    phase = sum(
        2 * np.pi * w * np.arange(n).reshape(-1, *(1,) * (len(shape) - 1 - i)) / n for i, (n, w) in enumerate(zip(shape, k))
    )
    return np.cos(phase + 0.4)


@pytest.mark.parametrize("transform", ["fft", "dft"])
@pytest.mark.parametrize(
    "shape, n_modes", [((16,), (7,)), ((15,), (8,)), ((12, 10), (6, 5)), ((9, 11), (5, 6)), ((8, 7, 9), (4, 3, 4))]
)
def test_identity_weights_are_the_sharp_filter(transform, shape, n_modes):
    """Acceptance 2: what is kept passes, what is not vanishes, and a wave without kept partner comes out at half amplitude."""
    conv = eqx.filter_jit(identity(1, n_modes, transform=transform))
    kept = kept_modes(n_modes, shape, real=True)
    full = [set(wavenumbers(m).tolist()) for m in kept[:-1]]
    for k in itertools.product(*(range(-(n // 2) + 1, (n + 1) // 2) for n in shape[:-1]), range(0, (shape[-1] + 1) // 2)):
        u = field(shape, k)
        plus = all(w in s for w, s in zip(k, full)) and k[-1] < kept[-1]
        minus = all(-w in s for w, s in zip(k, full)) and k[-1] < kept[-1]
        factor = float(plus) if k[-1] else (plus + minus) / 2
        np.testing.assert_allclose(conv(jnp.asarray(u)[None])[0], factor * u, atol=1e-12, err_msg=str(k))


@pytest.mark.parametrize("transform", ["fft", "dft"])
@pytest.mark.parametrize("shape, n_modes", [((10,), (6,)), ((8, 10), (5, 6)), ((6, 5, 7), (4, 3, 4))])
def test_random_weights_are_the_explicit_sum(transform, shape, n_modes):
    """Acceptance 3: against dense sums over the kept wavenumbers."""
    conv = SpectralConv(2, 3, n_modes, transform=transform, key=jax.random.key(1))
    u = np.random.default_rng(0).standard_normal((2, *shape))
    kept = kept_modes(n_modes, shape, real=True)
    weight = np.asarray(conv.weight[0]) + 1j * np.asarray(conv.weight[1])
    points = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"))
    out = np.zeros((3, *shape))
    waves = [wavenumbers(m, half=i == len(kept) - 1) for i, m in enumerate(kept)]
    for place in itertools.product(*map(range, kept)):
        k = np.array([w[p] for w, p in zip(waves, place)])
        mode = np.exp(2j * np.pi * np.tensordot(k, points, 1))
        coefficient = np.tensordot(u, mode.conj(), len(shape)) / np.prod(shape)
        once = k[-1] == 0 or 2 * k[-1] == shape[-1]
        out += (1 if once else 2) * np.real(np.multiply.outer(coefficient @ weight[place], mode))
    expected = out + np.asarray(conv.bias).reshape(-1, *(1,) * len(shape))
    several = np.stack([u, -2 * u, u[::-1]], 1)  # samples between channels and space
    one, together, mapped = eqx.filter_jit(lambda c, u: (c(u[:, 0]), c(u), jax.vmap(c, 1, 1)(u)))(conv, several)
    np.testing.assert_allclose(one, expected, atol=1e-12)
    np.testing.assert_allclose(together, mapped, atol=1e-12)


@pytest.mark.parametrize("transform", ["fft", "dft"])
def test_the_same_function_on_every_grid(transform):
    """Acceptance 4: band-limited input, twice the points, every second point."""
    conv = SpectralConv(1, 2, (6, 6), transform=transform, key=jax.random.key(2))
    fine = (field((24, 24), (2, -1)) + field((24, 24), (-3, 2)) * 0.5)[None]
    np.testing.assert_allclose(run(conv, fine)[:, ::2, ::2], run(conv, fine[:, ::2, ::2]), atol=1e-12)


@pytest.mark.parametrize("old, new", [(8, 16), (16, 8), (12, 20)])
def test_rescaling_keeps_wavenumbers(old, new):
    """Acceptance 4: the defect of the leading library, 0.92 there."""
    conv = identity(1, (6, 6))
    u = jnp.asarray(field((old, old), (-2, 1))[None], jnp.float32)
    assert abs(np.asarray(run(conv, u, (new, new)))[0] - field((new, new), (-2, 1))).max() < 1e-5


def test_initial_variance(compiled):
    """Acceptance 6: white noise of variance 1 comes out with variance 16.5/64."""
    conv = lambda key: SpectralConv(4, 4, (16,), bias=False, key=key)(jax.random.normal(jax.random.fold_in(key, 1), (4, 64)))
    outputs = compiled(lambda key: jax.vmap(conv)(jax.random.split(key, 400)), jax.random.key(3))
    assert abs(np.mean(outputs**2) / (16.5 / 64) - 1) < 0.05


@pytest.mark.parametrize("transform", ["fft", "dft"])
def test_complex_waves_pass_by_sign(transform):
    """Acceptance 9."""
    conv = identity(1, (5, 4), complex_data=True, transform=transform)
    x, y = np.meshgrid(np.arange(9) / 9, np.arange(8) / 8, indexing="ij")
    for k, l in itertools.product(range(-4, 5), range(-4, 4)):
        u = np.exp(2j * np.pi * (k * x + l * y))
        factor = float(-2 <= k <= 2 and -2 <= l <= 1)
        np.testing.assert_allclose(run(conv, u[None])[0], factor * u, atol=1e-12)


def test_derivative_in_the_weights():
    conv = identity(1, (6, 6))
    k = np.broadcast_to(wavenumbers(6)[:, None, None, None], (6, 4, 1, 1)) * 2 * np.pi
    conv = eqx.tree_at(lambda c: c.weight, conv, (jnp.asarray(np.zeros((6, 4, 1, 1))), jnp.asarray(k)))
    x = np.arange(16) / 16
    u = np.sin(2 * np.pi * (2 * x[:, None] - x))
    np.testing.assert_allclose(run(conv, u[None])[0], 4 * np.pi * np.cos(2 * np.pi * (2 * x[:, None] - x)), atol=1e-11)


@pytest.mark.parametrize("transform", ["fft", "dft"])
@pytest.mark.parametrize("separable", [False, True])
def test_gradients_by_finite_differences(transform, separable):
    conv = SpectralConv(2, 2, (3, 4), separable=separable, transform=transform, key=jax.random.key(4))
    u = jnp.asarray(np.random.default_rng(5).normal(size=(2, 5, 6)))
    arrays, static = eqx.partition(conv, eqx.is_array)
    call = jax.jit(lambda a, u: eqx.combine(a, static)(u))
    jax.test_util.check_grads(call, (arrays, u), order=1, modes=["fwd", "rev"])


def test_refusals():
    with pytest.raises(ConfigError, match="max_n_modes"):
        SpectralConv(1, 1, (8,), max_n_modes=(4,), key=jax.random.key(0))
    with pytest.raises(ConfigError, match="separable needs"):
        SpectralConv(1, 2, (8,), separable=True, key=jax.random.key(0))
