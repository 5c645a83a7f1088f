import jax
import jax.export
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from neuralop_jax import kernels
from neuralop_jax.kernels import dft_inverse, fft_inverse, kept_modes, wavenumbers

# One program each: operation by operation every shape would compile a dozen.
fft_forward = jax.jit(kernels.fft_forward, static_argnums=1)
dft_forward = jax.jit(kernels.dft_forward, static_argnums=1)
resample = jax.jit(kernels.resample, static_argnums=1)
derivative = jax.jit(kernels.derivative, static_argnums=1, static_argnames=("order", "extent"))

CASES = [
    ((16,), (8,)),
    ((7,), (12,)),
    ((15, 13), (7, 5)),
    ((6, 7), (8, 8)),
    ((7, 9, 10), (4, 5, 6)),
    ((5, 6, 4, 7), (3, 4, 2, 6)),
]


def draw(shape, complex_data, seed=0):
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((2, *shape))
    return jnp.asarray(u + 1j * rng.standard_normal(u.shape) if complex_data else u)


def dense_coefficients(u, kept, real):
    """The definition: the sum over all points, wavenumber by wavenumber."""
    c = np.asarray(u, complex)
    for axis, (count, points) in enumerate(zip(kept, u.shape[1:], strict=True), start=1):
        k = wavenumbers(count, half=real and axis == len(kept))
        matrix = np.exp(-2j * np.pi * np.outer(k, np.arange(points)) / points) / points
        c = np.moveaxis(np.tensordot(matrix, c, (1, axis)), 0, axis)
    c = np.moveaxis(c, 0, -1)
    return np.stack([c.real, c.imag])


@pytest.mark.parametrize("complex_data", [False, True])
@pytest.mark.parametrize("shape, n_modes", CASES)
def test_both_transforms_are_the_sum_over_points(shape, n_modes, complex_data):
    u = draw(shape, complex_data)
    kept = kept_modes(n_modes, shape, real=not complex_data)
    expected = dense_coefficients(u, kept, not complex_data)
    np.testing.assert_allclose(fft_forward(u, kept), expected, atol=1e-14)
    np.testing.assert_allclose(dft_forward(u, kept), expected, atol=1e-14)


@pytest.mark.parametrize("complex_data", [False, True])
@pytest.mark.parametrize("shape, n_modes", CASES)
def test_both_inverses_agree_on_finer_and_coarser_grids(shape, n_modes, complex_data):
    c = fft_forward(draw(shape, complex_data), kept_modes(n_modes, shape, real=not complex_data))
    targets = [tuple(n + change for n in shape) for change in (0, 3, -2)]

    @jax.jit
    def both(c):
        return [[inverse(c, target, real=not complex_data) for target in targets] for inverse in (fft_inverse, dft_inverse)]

    for a, b in zip(*both(c), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


@pytest.mark.parametrize("dtype, bound", [(jnp.float32, 2e-6), (jnp.bfloat16, 2e-2)])
def test_transforms_run_in_single_precision_at_least(dtype, bound):
    u = draw((12, 10), False)
    exact = fft_forward(u, (6, 4))
    for forward in (fft_forward, dft_forward):
        c = forward(u.astype(dtype), (6, 4))
        assert c.dtype == jnp.float32
        assert np.abs(c - np.asarray(exact)).max() < bound


@pytest.mark.parametrize("points", [15, 16])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivative_of_a_wave(points, order):
    x = np.arange(points) / points * 3.0
    k = 2 * np.pi * 4 / 3.0
    u = np.stack([np.sin(k * x), np.cos(k * x)])[:, None] * np.ones((1, 2, 1))
    angle = k * x + order * np.pi / 2
    expected = k**order * np.stack([np.sin(angle), np.cos(angle)])
    slope = derivative(jnp.asarray(u), 1, order=order, extent=3.0)
    np.testing.assert_allclose(slope[:, 0], expected, atol=1e-9)


def wave(shape, *k):
    phase = sum(
        2 * np.pi * k_ * np.arange(n).reshape(-1, *(1,) * (len(shape) - 1 - i)) / n for i, (n, k_) in enumerate(zip(shape, k))
    )
    return jnp.asarray(np.cos(phase + 0.3))[None]


@pytest.mark.parametrize(
    "old, new", [((8, 8), (16, 16)), ((16, 16), (8, 8)), ((12, 12), (20, 20)), ((7, 9), (10, 8)), ((15, 8), (9, 21))]
)
@pytest.mark.parametrize("k", [(1, 0), (1, -3), (-2, 3), (0, 3)])
def test_resampling_keeps_every_wave_in_place(old, new, k):
    np.testing.assert_allclose(resample(wave(old, *k), new), wave(new, *k), atol=1e-13)
    single = resample(wave(old, *k).astype(jnp.float32), new)
    assert single.dtype == jnp.float32 and np.abs(single - np.asarray(wave(new, *k))).max() < 1e-5


def test_nyquist_rule():
    alternating = jnp.asarray([[1.0, -1.0] * 4])
    np.testing.assert_allclose(resample(alternating, (16,)), np.cos(2 * np.pi * 4 * np.arange(16) / 16)[None], atol=1e-14)
    x = 2 * np.pi * np.arange(16) / 16
    np.testing.assert_allclose(resample(jnp.asarray(np.cos(4 * x + 0.5))[None], (8,))[0], np.cos(4 * x + 0.5)[::2], atol=1e-14)


def test_resampling_complex_fields():
    u = draw((9, 10), True)
    np.testing.assert_allclose(resample(resample(u, (18, 25)), (9, 10)), u, atol=1e-13)


@pytest.mark.parametrize("transform", ["fft", "dft"])
def test_gradient_is_the_adjoint(transform):
    forward = {"fft": fft_forward, "dft": dft_forward}[transform]
    u, kept = draw((8, 6), False), (4, 3)
    c = jnp.asarray(np.random.default_rng(1).standard_normal((2, 4, 3, 2)))
    pulled = jax.jit(lambda u, c: jax.vjp(lambda u: forward(u, kept), u)[1](c)[0])(u, c)
    v = draw((8, 6), False, seed=2)
    np.testing.assert_allclose(np.vdot(forward(v, kept), c), np.vdot(v, pulled), rtol=1e-12)


@pytest.mark.parametrize("real", [True, False])
def test_tables_for_a_number_of_points_that_only_the_program_knows(real, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # by which symbols are no int
    points = jax.export.symbolic_shape("n, m", constraints=["n >= 5", "m >= 8"])
    kept = kept_modes((5, 8), points, real=real)
    assert kept == kept_modes((5, 8), (5, 8), real=real)

    def function(u):
        c = kernels.forward_transform(u, kept)
        return c, kernels.inverse_transform(c, u.shape[1:], real=real)

    dtype = np.float64 if real else np.complex128
    program = jax.export.export(jax.jit(function))(jax.ShapeDtypeStruct((2, *points), dtype))
    rng = np.random.default_rng(0)
    for shape in ((5, 8), (6, 9), (11, 16)):  # with and without a wavenumber at half of the points
        u = rng.normal(size=(2, *shape)) + (0 if real else 1j * rng.normal(size=(2, *shape)))
        for found, wanted in zip(program.call(u.astype(dtype)), jax.jit(function)(u.astype(dtype)), strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-13)
